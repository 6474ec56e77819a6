//! Images as the encoder sees them in training.

use image::RgbImage;
use pages::{captioned, fitted, sheet};
use pipeline::View;
use plugin_api::{ByteImage, FloatImage, Image, Images, Rng, UnreadableImage};

use crate::rgb_of;

/// An image, and what views make of it.
#[derive(Clone, Debug)]
pub struct SeenImage {
    /// Its name.
    pub name: String,
    /// As it is.
    pub original: RgbImage,
    /// Each view in turn, in each of the first epochs; normalization is undone.
    pub views: Vec<RgbImage>,
}

/// `count` readable images, spread evenly over `images`, through `views` in `n_epochs` epochs of a run with `seed`; and the
/// images that could not be read in their places.
pub fn seen_images(
    views: &[&View],
    seed: u64,
    images: &dyn Images,
    count: usize,
    n_epochs: u64,
) -> (Vec<SeenImage>, Vec<UnreadableImage>) {
    let n = images.len();
    let count = count.min(n);
    let ranges: Vec<Range> = views.iter().map(|view| Range::of(view)).collect();
    let (mut seen, mut unreadable) = (Vec::new(), Vec::new());
    for place in 0..count {
        // The first readable image of this image's part of the dataset.
        for index in place * n / count..(place + 1) * n / count {
            let picture = match images.load(index) {
                Ok(picture) => picture,
                Err(error) => {
                    unreadable.push(error);
                    continue;
                }
            };
            let mut of_views = Vec::new();
            for (view, range) in views.iter().zip(&ranges) {
                for epoch in 0..n_epochs {
                    let floats = view.transform.apply(picture.clone(), seed, epoch, index as u64, &view.name);
                    of_views.push(range.undo(&floats));
                }
            }
            seen.push(SeenImage { name: images.name(index), original: rgb_of(picture), views: of_views });
            break;
        }
    }
    (seen, unreadable)
}

/// A sheet with a row for each image: the original, and what `views` made of it in `n_epochs` epochs, each with its name below it.
/// Small views are enlarged by a whole number.
pub fn view_sheet(views: &[&View], seen: &[SeenImage], n_epochs: u64) -> RgbImage {
    let mut captions = vec!["original".to_owned()];
    // A cell is narrower than most names, and the epoch matters less.
    captions.extend(
        views.iter().flat_map(|view| (1..=n_epochs).map(move |epoch| format!("{} {epoch}", view.name))),
    );
    let size = views.iter().map(|view| cell_size(view.size)).max().unwrap_or((MIN_CELL_PX, MIN_CELL_PX));
    let rows: Vec<Vec<RgbImage>> = seen.iter().map(|image| cells(image, &captions, size)).collect();
    let rows: Vec<&[RgbImage]> = rows.iter().map(Vec::as_slice).collect();
    sheet(&rows)
}

/// Small views are enlarged to at least this size.
const MIN_CELL_PX: u32 = 96;

/// An image and its views as cells of one size, each with its name below it.
fn cells(image: &SeenImage, columns: &[String], size: (u32, u32)) -> Vec<RgbImage> {
    let original = [fitted(&image.original, size)].into_iter();
    let views = image.views.iter().map(|view| enlarged(view, size));
    let captioned = |(cell, column): (RgbImage, &String)| captioned(&cell, std::slice::from_ref(column));
    original.chain(views).zip(columns).map(captioned).collect()
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
        rgb_of(ByteImage { width, height, channels, values: bytes })
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

#[cfg(test)]
mod tests {
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
    fn a_cell_has_the_size_of_the_view_or_a_multiple_of_it() {
        assert_eq!((cell_size((32, 32)), cell_size((224, 224))), ((96, 96), (224, 224)));
    }

    #[test]
    fn every_cell_has_its_name_below_it() {
        let white = RgbImage::from_pixel(8, 8, image::Rgb([255; 3]));
        let seen = SeenImage { name: "a".into(), original: white.clone(), views: vec![white] };
        let cells = cells(&seen, &["original".into(), "query 1".into()], (96, 96));
        assert_eq!(cells.len(), 2);
        for cell in cells {
            assert!(cell.height() > 96 && cell.pixels().any(|pixel| pixel.0 == [0; 3]));
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
}
