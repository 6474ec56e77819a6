//! A part of the images of a dataset, spread evenly over it.

use std::sync::Arc;

use plugin_api::{ByteImage, Images, UnreadableImage};

/// At most `n` images of `images`, evenly spaced, because the first ones may all be of one class.
pub(super) fn spread(images: &Arc<dyn Images>, n: usize) -> Arc<dyn Images> {
    if n >= images.len() { Arc::clone(images) } else { Arc::new(Spread { images: Arc::clone(images), n }) }
}

struct Spread {
    images: Arc<dyn Images>,
    n: usize,
}

impl Spread {
    fn place(&self, index: usize) -> usize {
        index * self.images.len() / self.n
    }
}

impl Images for Spread {
    fn len(&self) -> usize {
        self.n
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(self.place(index))
    }

    fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    fn name(&self, index: usize) -> String {
        self.images.name(self.place(index))
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        self.images.load(self.place(index))
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        self.images.encoded(self.place(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten images whose names are their numbers.
    struct Ten;

    impl Images for Ten {
        fn len(&self) -> usize {
            10
        }

        fn label(&self, index: usize) -> Option<u32> {
            Some(index as u32 / 5)
        }

        fn class_names(&self) -> &[String] {
            &[]
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
            Ok(ByteImage::rgb(1, 1, vec![index as u8; 3]))
        }
    }

    #[test]
    fn a_part_is_spread_over_the_whole() {
        let ten: Arc<dyn Images> = Arc::new(Ten);
        let part = spread(&ten, 4);
        let names: Vec<String> = (0..part.len()).map(|index| part.name(index)).collect();
        assert_eq!(names, ["0", "2", "5", "7"]);
        assert_eq!((part.label(3), part.load(2).unwrap().values[0]), (Some(1), 5));
        assert_eq!(spread(&ten, 11).len(), 10);
    }
}
