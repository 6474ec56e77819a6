//! Both splits of a dataset as one.

use std::sync::Arc;

use plugin_api::{ByteImage, Images, Splits, UnreadableImage};

/// The training images of a dataset, and its test images after them. Both have the same classes.
pub(crate) struct Joined {
    train: Arc<dyn Images>,
    test: Arc<dyn Images>,
}

impl Joined {
    /// The images of `splits`.
    pub(crate) fn of(splits: &Splits) -> Arc<dyn Images> {
        let train = Arc::clone(&splits.train);
        match &splits.test {
            Some(test) => Arc::new(Self { train, test: Arc::clone(test) }),
            None => train,
        }
    }

    /// The split of image `index`, and its place there.
    fn at(&self, index: usize) -> (&dyn Images, usize) {
        match index.checked_sub(self.train.len()) {
            None => (&*self.train, index),
            Some(index) => (&*self.test, index),
        }
    }
}

impl Images for Joined {
    fn len(&self) -> usize {
        self.train.len() + self.test.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (images, index) = self.at(index);
        images.label(index)
    }

    fn class_names(&self) -> &[String] {
        self.train.class_names()
    }

    fn name(&self, index: usize) -> String {
        let (images, index) = self.at(index);
        images.name(index)
    }

    fn key(&self, index: usize) -> String {
        let (images, index) = self.at(index);
        images.key(index)
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let (images, index) = self.at(index);
        images.load(index)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.train.notes();
        for note in self.test.notes() {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let (images, index) = self.at(index);
        images.encoded(index)
    }

    fn beginning(&self, index: usize, n_bytes: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let (images, index) = self.at(index);
        images.beginning(index, n_bytes)
    }
}
