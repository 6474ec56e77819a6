//! Small images, kept decoded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use plugin_api::{ByteImage, Images, Splits, UnreadableImage};

/// Memory for decoded images: 256 MiB, enough for CIFAR-10 or CIFAR-100.
pub const KEPT_BYTES: usize = 1 << 28;

/// Datasets of more images are not kept, because too small a part of them would fit.
const MOST_IMAGES: usize = 1 << 18;

/// Larger images take longer to augment than to decode.
const MOST_IMAGE_BYTES: usize = 1 << 16;

/// `splits`, of which the small images are decoded once and then kept, up to [`KEPT_BYTES`] in all.
///
/// Splits of more than 262,144 images, and images of more than 64 KiB, are read each time. The images are the same, bit for
/// bit.
pub fn keep_small(splits: Splits) -> Splits {
    let n_bytes_left = Arc::new(AtomicUsize::new(KEPT_BYTES));
    let keep = |images: Arc<dyn Images>| -> Arc<dyn Images> {
        if images.len() > MOST_IMAGES {
            return images;
        }
        let kept = (0..images.len()).map(|_| OnceLock::new()).collect();
        Arc::new(Kept { images, kept, n_bytes_left: Arc::clone(&n_bytes_left) })
    };
    Splits { train: keep(splits.train), test: splits.test.map(keep), notes: splits.notes }
}

struct Kept {
    images: Arc<dyn Images>,
    kept: Vec<OnceLock<Box<ByteImage>>>,
    /// Shared by both splits.
    n_bytes_left: Arc<AtomicUsize>,
}

impl Kept {
    fn keep(&self, index: usize, image: &ByteImage) {
        let n_bytes = size_of::<ByteImage>() + image.values.len();
        if image.values.len() > MOST_IMAGE_BYTES {
            return;
        }
        let left = |left: usize| left.checked_sub(n_bytes);
        if self.n_bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
            return;
        }
        if self.kept[index].set(Box::new(image.clone())).is_err() {
            // Another worker was faster.
            self.n_bytes_left.fetch_add(n_bytes, Ordering::Relaxed);
        }
    }
}

impl Images for Kept {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }

    fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn key(&self, index: usize) -> String {
        self.images.key(index)
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        if let Some(image) = self.kept[index].get() {
            return Ok(ByteImage::clone(image));
        }
        let image = self.images.load(index)?;
        self.keep(index, &image);
        Ok(image)
    }

    fn notes(&self) -> Vec<String> {
        self.images.notes()
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        self.images.encoded(index)
    }

    fn beginning(&self, index: usize, n_bytes: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        self.images.beginning(index, n_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Image `i` is `i` pixels wide; it counts how often it was read, and the last one cannot be.
    struct Counted(Vec<AtomicUsize>);

    impl Images for Counted {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn label(&self, _: usize) -> Option<u32> {
            None
        }

        fn class_names(&self) -> &[String] {
            &[]
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
            self.0[index].fetch_add(1, Ordering::Relaxed);
            if index + 1 == self.0.len() {
                return Err(UnreadableImage { name: self.name(index), reason: "cut".into() });
            }
            Ok(ByteImage::rgb(index + 1, 1, vec![index as u8; 3 * (index + 1)]))
        }
    }

    fn counted(n: usize) -> Arc<Counted> {
        Arc::new(Counted((0..n).map(|_| AtomicUsize::new(0)).collect()))
    }

    fn kept(images: &Arc<Counted>) -> Arc<dyn Images> {
        keep_small(Splits { train: Arc::clone(images) as _, test: None, notes: Vec::new() }).train
    }

    fn n_reads(images: &Counted, index: usize) -> usize {
        images.0[index].load(Ordering::Relaxed)
    }

    #[test]
    fn a_small_image_is_read_once_and_an_unreadable_one_each_time() {
        let images = counted(3);
        let kept = kept(&images);
        for _ in 0..3 {
            assert_eq!(kept.load(1).unwrap(), ByteImage::rgb(2, 1, vec![1; 6]));
            assert_eq!(kept.load(2).unwrap_err().reason, "cut");
        }
        assert_eq!([n_reads(&images, 0), n_reads(&images, 1), n_reads(&images, 2)], [0, 1, 3]);
    }

    #[test]
    fn large_images_and_large_datasets_are_not_kept() {
        let images = counted(MOST_IMAGE_BYTES / 3 + 2);
        let kept = kept(&images);
        let (fits, large) = (MOST_IMAGE_BYTES / 3 - 1, MOST_IMAGE_BYTES / 3);
        for _ in 0..2 {
            kept.load(fits).unwrap();
            kept.load(large).unwrap();
        }
        assert_eq!((n_reads(&images, fits), n_reads(&images, large)), (1, 2));
        let images = counted(MOST_IMAGES + 1);
        let kept = self::kept(&images);
        for _ in 0..2 {
            kept.load(0).unwrap();
        }
        assert_eq!(n_reads(&images, 0), 2);
    }

    #[test]
    fn memory_ends_at_the_limit() {
        let images = counted(20_000);
        let kept = kept(&images);
        // About 30 kB on average, 600 MB in all.
        for index in (0..19_999).chain(0..19_999) {
            kept.load(index).unwrap();
        }
        let is_kept = |index: &usize| n_reads(&images, *index) == 1;
        let n_bytes: usize = (0..19_999).filter(is_kept).map(|index| 3 * (index + 1)).sum();
        assert!(n_bytes <= KEPT_BYTES && n_bytes > KEPT_BYTES * 9 / 10, "{n_bytes}");
    }
}
