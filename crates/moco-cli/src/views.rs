//! `moco views`: draws a sheet of augmented images.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use image::RgbImage;
use pipeline::{Pipeline, View};
use plugin_api::{ByteImage, FloatImage, Image, Images, Rng};

use crate::failure::Failure;
use crate::sheet::{self, fitted, rgb};
use crate::{compute, notes, pipeline_file};

/// Draw a sheet of augmented images.
///
/// Shows what the encoder will see. Each row has one image: first the original, then each view in the graph twice, as
/// in two epochs. Check this before training: the encoder learns nothing from crops that miss the object, or from
/// unrecognizable colors.
///
/// Normalization is undone, exactly. Small views are enlarged.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Pipeline file (RON).
    file: PathBuf,
    /// Number of images, spread evenly over the training split.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(8).expect("8 is not 0"))]
    count: NonZeroUsize,
    /// Output file (PNG), which must not exist [default: views.png, or the next free number].
    #[arg(long, value_name = "PNG")]
    out: Option<PathBuf>,
    /// Override a value in the pipeline, for instance `views.query.color-jitter.p=1`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco views pipelines/mocov2.ron
  moco views pipelines/mocov2.ron --count 16 --out augmented.png
  moco views pipelines/mocov2.ron --set views.query.color-jitter.p=1";

/// Larger sheets are mistakes, and would not fit into memory.
const MAX_COUNT: usize = 256;
/// Small views are enlarged to at least this size, by a whole number.
const MIN_CELL_PX: u32 = 96;
/// How often each view is drawn.
const N_EPOCHS: u64 = 2;

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let count = arguments.count.get();
    if count > MAX_COUNT {
        return Err(Failure::usage(
            format!("a sheet of {count} images is too large"),
            format!("use at most {MAX_COUNT}"),
        ));
    }
    let device = compute::start(None)?;
    let pipeline = pipeline_file::read(&arguments.file, &arguments.set, &device)?;
    let splits = pipeline.dataset.open()?;
    notes::print(&notes::of(&splits));
    let images = splits.train;
    let views: Vec<&View> =
        pipeline.network.graph.views.iter().filter_map(|name| pipeline.view(name)).collect();
    let (rows, unreadable) = rows(&pipeline, images.as_ref(), &views, count);
    if rows.is_empty() {
        return Err(Failure::new(
            format!(
                "none of the images that were tried can be read; the last one: {}",
                unreadable.join(", ")
            ),
            "check that the dataset has images in a supported format",
        ));
    }
    let cells: Vec<&[RgbImage]> = rows.iter().map(|(_, cells)| &cells[..]).collect();
    let sheet = sheet::draw(&cells);
    let path = write(&sheet, arguments.out.as_deref())?;
    let mut columns = vec!["original".to_owned()];
    columns.extend(
        views.iter().flat_map(|view| (1..=N_EPOCHS).map(|epoch| format!("{} (epoch {epoch})", view.name))),
    );
    writeln!(out, "{}: {} x {} px", path.display(), sheet.width(), sheet.height())?;
    writeln!(out, "columns: {}", columns.join(", "))?;
    for (row, (name, _)) in rows.iter().enumerate() {
        writeln!(out, "row {:>2}: {name}", row + 1)?;
    }
    if let Some(note) = sheet::colors_note(pipeline.dataset.channels()) {
        writeln!(out, "note: {note}")?;
    }
    for name in unreadable {
        writeln!(out, "skipped: {name}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A name and its cells for each of `count` readable images, and the images that were skipped.
fn rows(
    pipeline: &Pipeline,
    images: &dyn Images,
    views: &[&View],
    count: usize,
) -> (Vec<(String, Vec<RgbImage>)>, Vec<String>) {
    let n = images.len();
    let count = count.min(n);
    let cell = views.iter().map(|view| cell_size(view.size)).max().unwrap_or((MIN_CELL_PX, MIN_CELL_PX));
    let ranges: Vec<Range> = views.iter().map(|view| Range::of(view)).collect();
    let mut rows = Vec::new();
    let mut unreadable = Vec::new();
    for row in 0..count {
        // The first readable image of this image's part of the dataset.
        for index in row * n / count..(row + 1) * n / count {
            let picture = match images.load(index) {
                Ok(picture) => picture,
                Err(error) => {
                    unreadable.push(error.to_string());
                    continue;
                }
            };
            let mut cells = vec![fitted(&rgb(picture.clone()), cell)];
            for (view, range) in views.iter().zip(&ranges) {
                for epoch in 0..N_EPOCHS {
                    let seen =
                        view.transform.apply(picture.clone(), pipeline.seed, epoch, index as u64, &view.name);
                    cells.push(enlarged(&range.undo(&seen), cell));
                }
            }
            rows.push((images.name(index), cells));
            break;
        }
    }
    (rows, unreadable)
}

/// What a view makes of black and of white, per channel. Normalization is a linear map between the two.
struct Range {
    black: Vec<f32>,
    white: Vec<f32>,
}

impl Range {
    fn of(view: &View) -> Self {
        Self { black: normalized(view, 0), white: normalized(view, 255) }
    }

    fn undo(&self, image: &FloatImage) -> RgbImage {
        let mut bytes = Vec::with_capacity(image.values.len());
        for pixel in image.values.chunks_exact(image.channels) {
            for ((value, black), white) in pixel.iter().zip(&self.black).zip(&self.white) {
                let share = if white == black { 0.5 } else { (value - black) / (white - black) };
                bytes.push((share * 255.0).round().clamp(0.0, 255.0) as u8);
            }
        }
        let FloatImage { width, height, channels, .. } = *image;
        rgb(ByteImage { width, height, channels, values: bytes })
    }
}

/// The values of a `byte` in each channel after the step of `view` that converts bytes to floats.
fn normalized(view: &View, byte: u8) -> Vec<f32> {
    let ((height, width), channels) = (view.size, view.channels);
    let probe = ByteImage { width, height, channels, values: vec![byte; width * height * channels] };
    for step in &view.transform.steps {
        let mut rng = Rng::new(0, "what is black and what is white", &[]);
        if let Image::Floats(image) = step.apply(Image::Bytes(probe.clone()), &mut rng)
            && let Some(pixel) = image.values.get(..channels)
        {
            return pixel.to_vec();
        }
    }
    vec![f32::from(byte) / 255.0; channels]
}

/// `(width, height)` of a cell: the size of the view, enlarged by a whole number if it is small.
fn cell_size((height, width): (usize, usize)) -> (u32, u32) {
    let (height, width) = (height as u32, width as u32);
    let factor = MIN_CELL_PX.div_ceil(height.min(width).max(1));
    (width * factor, height * factor)
}

fn enlarged(image: &RgbImage, cell: (u32, u32)) -> RgbImage {
    if image.dimensions() == cell { image.clone() } else { fitted(image, cell) }
}

/// Writes the sheet to `asked`, or to the next free name, without overwriting a file. Returns the path.
fn write(sheet: &RgbImage, asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let (file, path) = create(Path::new("views.png"), asked)?;
    let mut buffer = BufWriter::new(file);
    let written = moco::write_picture(&mut buffer, sheet).and_then(|()| buffer.flush());
    written.map_err(|error| Failure::plain(format!("`{}` cannot be written: {error}", path.display())))?;
    Ok(path)
}

fn create(usual: &Path, asked: Option<&Path>) -> Result<(File, PathBuf), Failure> {
    let new = |path: &Path| File::options().write(true).create_new(true).open(path);
    let cannot =
        |path: &Path, error| Failure::plain(format!("`{}` cannot be written: {error}", path.display()));
    if let Some(path) = asked {
        return match new(path) {
            Ok(file) => Ok((file, path.into())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failure::new(
                format!("`{}` already exists", path.display()),
                "choose another name, or remove it first",
            )),
            Err(error) => Err(cannot(path, error)),
        };
    }
    let stem = usual.file_stem().unwrap_or_default().to_string_lossy();
    let mut number = 1;
    loop {
        let path =
            if number == 1 { usual.to_owned() } else { usual.with_file_name(format!("{stem}-{number}.png")) };
        match new(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(cannot(&path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use plugin_api::{Augmentation, ConfigError, ImageShape, ViewTransform};

    use super::*;

    /// (byte / 255 - 0.5) / 0.25 for red; twice and three times as far for green and blue.
    struct Line;

    impl Augmentation for Line {
        fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError> {
            Ok(input)
        }

        fn apply(&self, picture: Image, _: &mut Rng) -> Image {
            let Image::Bytes(ByteImage { width, height, channels, values }) = picture else { return picture };
            let value =
                |(i, byte): (usize, &u8)| (f32::from(*byte) / 255.0 - 0.5) / 0.25 * (i % 3 + 1) as f32;
            let values = values.iter().enumerate().map(value).collect();
            Image::Floats(FloatImage { width, height, channels, values })
        }
    }

    #[test]
    fn normalization_is_undone_exactly() {
        let view = View {
            name: "x".into(),
            transform: std::sync::Arc::new(ViewTransform { steps: vec![Box::new(Line)] }),
            size: (2, 128),
            channels: 3,
        };
        let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte, 255 - byte, byte / 2]).collect();
        let image = ByteImage::rgb(128, 2, bytes.clone());
        let seen = view.transform.apply(image, 0, 0, 0, "x");
        assert_eq!(Range::of(&view).undo(&seen).into_raw(), bytes);
    }

    #[test]
    fn a_sheet_has_a_cell_for_each_view_and_fits_images_of_any_shape() {
        assert_eq!((cell_size((32, 32)), cell_size((224, 224))), ((96, 96), (224, 224)));
        let long = fitted(&RgbImage::from_pixel(1, 1000, Rgb([9; 3])), (96, 96));
        assert_eq!(
            (long.dimensions(), *long.get_pixel(47, 50), long.get_pixel(0, 0)[0]),
            ((96, 96), Rgb([9; 3]), 128)
        );
        let row = [long.clone(), long.clone(), long];
        assert_eq!(sheet::draw(&[&row]).dimensions(), (3 * 100 + 4, 104));
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join("views.png");
        for expected in ["views.png", "views-2.png", "views-3.png"] {
            assert_eq!(create(&usual, None).unwrap().1, folder.path().join(expected));
        }
        assert!(create(&usual, Some(&usual)).unwrap_err().to_string().contains("already exists"));
    }
}
