//! Views that show little of large images.

use std::io::Cursor;

use image::ImageReader;
use pipeline::Pipeline;
use plugin_api::Images;

/// Images whose sizes are read, spread over all.
const N_LOOKED_AT: usize = 8;

/// Images whose shorter side is so many times that of the views lose their details.
const MUCH_LARGER: usize = 4;

/// Views of so many pixels or more are what encoders for photographs are trained on.
const LARGE_VIEW: usize = 128;

pub(super) fn advice(pipeline: &Pipeline, train: &dyn Images) -> Option<String> {
    let (height, width) = pipeline.trained_size;
    let view = height.min(width);
    if view >= LARGE_VIEW {
        return None;
    }
    let n = train.len().min(N_LOOKED_AT);
    let mut sides: Vec<usize> = (0..n).filter_map(|i| shorter_side(train, i * train.len() / n)).collect();
    sides.sort_unstable();
    let median = *sides.get(sides.len() / 2)?;
    // As everywhere, height before width.
    let order = if height == width { "" } else { " (height and width)" };
    (median >= MUCH_LARGER * view).then(|| {
        format!(
            "the images are much larger than what the encoder sees of them, {median} px (the median shorter side of {}) and {height} × \
             {width} px{order}: small things vanish, which a larger `size` in the views would show; 224 is usual for photographs",
            sides.len()
        )
    })
}

/// The shorter side of an image in pixels, by the header of its file where it has one that tells.
fn shorter_side(images: &dyn Images, index: usize) -> Option<usize> {
    let of_header = |bytes: Vec<u8>| {
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
        let (width, height) = reader.into_dimensions().ok()?;
        Some(width.min(height) as usize)
    };
    let header = images.encoded(index).ok()?.and_then(of_header);
    header.or_else(|| images.load(index).ok().map(|image| image.width.min(image.height)))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::super::tests::pipeline;
    use super::advice;
    use crate::{Given, ImageSource as _, source::GivenImages};

    fn images(sizes: &[u32]) -> GivenImages {
        GivenImages(sizes.iter().map(|&size| RgbImage::new(size + 9, size).give()).collect())
    }

    #[test]
    fn small_views_of_large_images_are_told() {
        let pipeline = pipeline(&[]);
        let text = advice(&pipeline, &images(&[500, 128, 20])).unwrap();
        assert!(text.contains("128 px (the median shorter side of 3) and 32 × 32 px"), "{text}");
        assert_eq!(advice(&pipeline, &images(&[500, 127, 20])), None);
        assert_eq!(advice(&pipeline, &images(&[])), None);
    }

    #[test]
    fn large_views_are_no_matter_how_large_the_images_are() {
        let size = ["query", "key"].map(|view| {
            format!("views.{view}=[(\"resize\", (shorter: 128)), (\"center-crop\", (size: 128)), (\"normalize\", (statistics: ImageNet))]")
        });
        assert_eq!(advice(&pipeline(&[&size[0], &size[1]]), &images(&[4000])), None);
    }

    #[test]
    fn files_are_looked_at_and_those_that_cannot_be_read_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        RgbImage::new(300, 200).save(path("a.png")).unwrap();
        // A header is enough.
        let whole = std::fs::read(path("a.png")).unwrap();
        std::fs::write(path("b.png"), &whole[..60]).unwrap();
        std::fs::write(path("c.png"), "nothing").unwrap();
        let files = ["a.png", "b.png", "c.png"].map(|name| Given::File(path(name)));
        let text = advice(&pipeline(&[]), &GivenImages(files.into())).unwrap();
        assert!(text.contains("200 px (the median shorter side of 2)"), "{text}");
    }
}
