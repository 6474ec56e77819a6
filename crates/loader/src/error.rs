//! Why there is no next batch.

use plugin_api::UnreadableImage;

/// What ends a loader.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// The dataset does not fill one batch.
    #[error("there are {n_images} images, and a batch takes {batch}")]
    TooFewImages {
        /// Images in the dataset.
        n_images: usize,
        /// Images in a batch.
        batch: usize,
    },
    /// So many images cannot be decoded that training on the rest would be a different experiment.
    #[error(
        "{n_unreadable} of {n_images} images cannot be read, and at most {n_allowed} may be{}",
        named(first, *n_unreadable)
    )]
    TooManyUnreadable {
        /// Distinct unreadable images met so far.
        n_unreadable: usize,
        /// Images in the dataset.
        n_images: usize,
        /// The most that is put up with.
        n_allowed: usize,
        /// The first few of them, by name.
        first: Vec<UnreadableImage>,
    },
    /// Not one image can be decoded.
    #[error("none of the {n_images} images can be read")]
    NoneReadable {
        /// Images in the dataset.
        n_images: usize,
    },
    /// The images of a batch became different sizes.
    #[error(
        "view `{view}` of {image} is {} by {} pixels where others of its batch are {} by {}",
        found.0, found.1, expected.0, expected.1
    )]
    Size {
        /// The view.
        view: String,
        /// The image.
        image: String,
        /// `(H, W)` of this image.
        found: (usize, usize),
        /// `(H, W)` of the others.
        expected: (usize, usize),
    },
    /// A worker panicked: a fault of the program or of a plugin.
    #[error("loading {image} panicked: {message}")]
    Panicked {
        /// The image that was being loaded.
        image: String,
        /// What the panic said.
        message: String,
    },
    /// The system gives no more threads.
    #[error("a loader thread cannot be started: {message}")]
    Thread {
        /// What the system said.
        message: String,
    },
}

impl LoaderError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooFewImages { .. } => Some("make the batch smaller, or add images"),
            Self::TooManyUnreadable { .. } => Some(
                "look at the files named above; if the rest is fine, allow a larger share with `data.max_unreadable`",
            ),
            Self::NoneReadable { .. } => {
                Some("check that the dataset holds images of a format that can be decoded")
            }
            Self::Size { .. } => Some("end the view with a step that gives one size, such as a crop"),
            Self::Panicked { .. } => Some("this is a fault of the program or of a plugin: please report it"),
            Self::Thread { .. } => Some("use fewer loader threads"),
        }
    }
}

fn named(first: &[UnreadableImage], n_unreadable: usize) -> String {
    let mut text: String = first.iter().map(|image| format!("\n  {image}")).collect();
    if n_unreadable > first.len() {
        text += &format!("\n  and {} more", n_unreadable - first.len());
    }
    text
}
