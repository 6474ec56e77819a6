//! Where images come from.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ByteImage;

/// A source of images. Building one reads nothing; [`open`](Self::open) lists, and reads no image.
pub trait Dataset: Send + Sync {
    /// The images it has.
    ///
    /// # Errors
    /// If there is no such place, or nothing in it.
    fn open(&self) -> Result<Splits, DatasetError>;

    /// The channels of every image that it has; 3 for RGB.
    fn channels(&self) -> usize {
        3
    }

    /// The image in the bytes of a file, as this dataset reads its own files: other images that a trained encoder is given
    /// must look alike. `None` where it reads no image files.
    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        let _ = bytes;
        None
    }

    /// How it reads its own files, as the field `read` of the dataset `pack` has it, in RON: a pack of the files is read so. `None`
    /// where it reads no image files, or as they come.
    fn read_options(&self) -> Option<String> {
        None
    }

    /// One line for the start of a run: `class folders of data/cifar10`.
    fn describe(&self) -> String;
}

/// A dataset needs only the seed of the run, for those that generate.
#[derive(Clone, Copy, Debug, Default)]
pub struct DatasetContext {
    /// The pipeline's seed.
    pub seed: u64,
}

/// What to train on and what to measure on.
#[derive(Clone)]
pub struct Splits {
    /// Training images.
    pub train: Arc<dyn Images>,
    /// Images that training never sees, if there are any.
    pub test: Option<Arc<dyn Images>>,
    /// What listing left out or found odd, one sentence each, for the person who runs it.
    pub notes: Vec<String>,
}

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Training images.
    Train,
    /// Images that training never sees.
    Test,
}

/// A numbered set of images, read from many threads at once.
pub trait Images: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of image `index`, in `0..class_names().len()`; `None` where images have no labels.
    fn label(&self, index: usize) -> Option<u32>;

    /// The classes in order of their number; empty where images have no labels.
    fn class_names(&self) -> &[String];

    /// How messages call image `index`: its path, or its place in a file.
    fn name(&self, index: usize) -> String;

    /// What tells image `index` from the others wherever they lie: its path below the folder of the dataset. The same image has the
    /// same key when other images come or go. Without an implementation it is the name.
    fn key(&self, index: usize) -> String {
        self.name(index)
    }

    /// Image `index`, in as many channels as the dataset says. The same index gives the same bytes each time.
    ///
    /// # Errors
    /// If the image cannot be decoded; the run goes on without it.
    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage>;

    /// What a person should know of how the images are read, one sentence each: the same ones each time.
    ///
    /// It reads a few images, so that it is asked once, when a person is there.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The bytes of the file of image `index`, if it is an image file.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let _ = index;
        Ok(None)
    }

    /// The first bytes of the file of image `index`, if it is an image file: `n_bytes` of them, or more, or all that there are.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn beginning(&self, index: usize, n_bytes: usize) -> Result<Option<Vec<u8>>, UnreadableImage> {
        let _ = n_bytes;
        self.encoded(index)
    }
}

/// An image that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct UnreadableImage {
    /// Its path, or its place in a file.
    pub name: String,
    /// Why, in a few words.
    pub reason: String,
}

/// A dataset that cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct DatasetError {
    /// What was opened.
    pub path: PathBuf,
    /// What is wrong with it, and what was expected.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}
