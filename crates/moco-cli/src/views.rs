//! `moco views`: draws a sheet of augmented images.

use std::io::{ErrorKind, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use image::RgbImage;
use moco::{colors_note, seen_images, view_sheet};
use pipeline::View;
use run_store::write_new;

use crate::failure::Failure;
use crate::{compute, notes, pipeline_file};

/// Draw a sheet of augmented images.
///
/// Shows what the encoder will see. Each row has one image: first the original, then each view in the graph twice, as
/// in two epochs. Check this before training: the encoder learns nothing from crops that miss the object, or from
/// unrecognizable colors.
///
/// The name of its view is below each picture, with the epoch. Normalization is undone, exactly. Small views are enlarged.
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
    arguments.out.as_deref().map_or(Ok(()), check_ending)?;
    let device = compute::start(None)?;
    let pipeline = pipeline_file::read(&arguments.file, &arguments.set, &device)?;
    let splits = pipeline.dataset.open()?;
    notes::print(&notes::of(&splits));
    let images = splits.train;
    let views: Vec<&View> =
        pipeline.network.graph.views.iter().filter_map(|name| pipeline.view(name)).collect();
    let (seen, unreadable) = seen_images(&views, pipeline.seed, images.as_ref(), count, N_EPOCHS);
    if seen.is_empty() {
        let tried: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
        return Err(Failure::new(
            format!("none of the images that were tried can be read: {}", tried.join(", ")),
            "check that the dataset has images in a supported format",
        ));
    }
    let mut columns = vec!["original".to_owned()];
    columns.extend(
        views.iter().flat_map(|view| (1..=N_EPOCHS).map(|epoch| format!("{} (epoch {epoch})", view.name))),
    );
    let sheet = view_sheet(&views, &seen, N_EPOCHS);
    let path = write(&sheet, arguments.out.as_deref())?;
    writeln!(out, "{}: {} x {} px", path.display(), sheet.width(), sheet.height())?;
    writeln!(out, "columns: {}", columns.join(", "))?;
    for (row, image) in seen.iter().enumerate() {
        writeln!(out, "row {:>2}: {}", row + 1, image.name)?;
    }
    if let Some(note) = colors_note(pipeline.dataset.channels()) {
        writeln!(out, "note: {note}")?;
    }
    for name in unreadable {
        writeln!(out, "skipped: {name}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A sheet under the name of another format would be taken for an image of a dataset.
///
/// # Errors
/// If `path` does not end in `.png`.
fn check_ending(path: &Path) -> Result<(), Failure> {
    match path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        true => Ok(()),
        false => Err(Failure::usage(
            format!("`{}` does not end in `.png`, and the sheet is a PNG file", path.display()),
            format!("name it `{}`", path.with_extension("png").display()),
        )),
    }
}

/// Writes the sheet to `asked`, or to the next free name, without overwriting a file. Returns the path.
fn write(sheet: &RgbImage, asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let mut picture = Vec::new();
    moco::write_picture(&mut picture, sheet)?;
    create(Path::new("views.png"), asked, &picture)
}

/// Writes `contents` whole or not at all.
fn create(usual: &Path, asked: Option<&Path>, contents: &[u8]) -> Result<PathBuf, Failure> {
    let new = |path: &Path| write_new(path, |file| file.write_all(contents));
    let cannot =
        |path: &Path, error| Failure::plain(format!("`{}` cannot be written: {error}", path.display()));
    if let Some(path) = asked {
        return match new(path) {
            Ok(()) => Ok(path.into()),
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
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(cannot(&path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sheet_is_called_what_it_is() {
        assert!(check_ending(Path::new("a/sheet.PNG")).is_ok());
        let error = check_ending(Path::new("a/sheet.jpg")).unwrap_err();
        assert_eq!(error.hint().unwrap(), "name it `a/sheet.png`");
        assert!(check_ending(Path::new("sheet")).is_err());
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join("views.png");
        for expected in ["views.png", "views-2.png", "views-3.png"] {
            let path = create(&usual, None, b"a picture").unwrap();
            assert_eq!(path, folder.path().join(expected));
            assert_eq!(std::fs::read(path).unwrap(), b"a picture");
        }
        assert!(create(&usual, Some(&usual), b"").unwrap_err().to_string().contains("already exists"));
    }
}
