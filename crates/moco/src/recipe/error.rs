//! What can be wrong with a folder, or with what is wished for.

/// No pipeline can be made for these images and wishes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// There are not enough images for the smallest batch.
    #[error("there {} to train on, and training needs at least {least}: an image is told apart from the others of its time", are(*n_images))]
    TooFewImages {
        /// Those there are, without those held out.
        n_images: usize,
        /// Those needed.
        least: usize,
    },
    /// There are not enough images for the batch that was given.
    #[error("a batch of {batch} images is asked for, and there {} to train on", are(*n_images))]
    Batch {
        /// The batch.
        batch: usize,
        /// Training images.
        n_images: usize,
    },
    /// A number that was given is out of range.
    #[error("{what} is {value}, but it must be {must}")]
    OutOfRange {
        /// What it is.
        what: &'static str,
        /// The number.
        value: usize,
        /// What it may be.
        must: String,
    },
}

impl RecipeError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::TooFewImages { .. } => {
                "give a folder with more images, several folders, or one that is further up".into()
            }
            Self::Batch { n_images, .. } => {
                format!("use a batch of at most {}, or leave it to be chosen", (n_images / 4).max(2))
            }
            Self::OutOfRange { .. } => "leave it out, and it is chosen".into(),
        }
    }
}

fn are(n: usize) -> String {
    match n {
        0 => "are no images".into(),
        1 => "is 1 image".into(),
        n => format!("are {n} images"),
    }
}
