//! Errors of the data loader.

use plugin_api::{ImageShape, ImageValues, UnreadableImage, WrongStep};

/// What ends a loader.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoaderError {
    /// The dataset is smaller than a batch.
    #[error("there are {n_images} images, and a batch takes {batch}")]
    TooFewImages {
        /// Images in the dataset.
        n_images: usize,
        /// The batch size.
        batch: usize,
    },
    /// Too many images cannot be decoded: training on the rest would be a different experiment.
    #[error(
        "{n_unreadable} of {n_images} images cannot be read, and at most {n_allowed} may be{}",
        named(first, *n_unreadable)
    )]
    TooManyUnreadable {
        /// Distinct unreadable images found so far.
        n_unreadable: usize,
        /// Images in the dataset.
        n_images: usize,
        /// The largest allowed number.
        n_allowed: usize,
        /// The first few of them, by name.
        first: Vec<UnreadableImage>,
    },
    /// No image can be decoded.
    #[error("none of the {n_images} images can be read")]
    NoneReadable {
        /// Images in the dataset.
        n_images: usize,
    },
    /// In place of one image, many others were tried.
    #[error("{n_tried} images in a row cannot be read; the last one: {last}")]
    NoneFound {
        /// How many.
        n_tried: usize,
        /// The last of them.
        last: UnreadableImage,
    },
    /// A view gives images of different sizes.
    #[error(
        "view `{view}` of {image} is {} by {} pixels, but others in its batch are {} by {}",
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
    /// Images of a view have different numbers of channels.
    #[error("view `{view}` of {image} has {found} channels, but others in its batch have {expected}")]
    Channels {
        /// The view.
        view: String,
        /// The image.
        image: String,
        /// The channels of this image.
        found: usize,
        /// Those of the others.
        expected: usize,
    },
    /// An augmentation gives another image than it declares: a bug in a plugin.
    #[error(
        "step {} of the view `{view}` declares {} and gives {}, of {image}",
        wrong.step_idx + 1, described(wrong.declared, wrong.given), described(wrong.given, wrong.declared)
    )]
    Declared {
        /// The view.
        view: String,
        /// The image.
        image: String,
        /// The step.
        wrong: Box<WrongStep>,
    },
    /// A worker panicked: a bug in the program or in a plugin.
    #[error("loading {image} panicked: {message}")]
    Panicked {
        /// The image that was being loaded.
        image: String,
        /// The panic message.
        message: String,
    },
    /// The system could not start a thread.
    #[error("a data loader worker cannot be started: {message}")]
    Thread {
        /// The system's message.
        message: String,
    },
}

impl LoaderError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooFewImages { .. } => Some("make the batch smaller, or add images"),
            Self::TooManyUnreadable { .. } => Some(
                "check the files named above; if the rest is fine, allow a larger share with `data.max_unreadable`",
            ),
            Self::NoneReadable { .. } => Some("check that the dataset has images in a supported format"),
            Self::NoneFound { .. } => Some("check that the images are still where they were"),
            Self::Size { .. } => {
                Some("add a step to the view that gives all images the same size, such as a crop")
            }
            Self::Channels { .. } => {
                Some("a dataset must give all images as many channels as it says that they have")
            }
            Self::Declared { .. } => Some(
                "this is a fault of the augmentation in that step: its `output` must say what its `apply` gives",
            ),
            Self::Panicked { .. } => Some("this is a bug in the program or in a plugin: please report it"),
            Self::Thread { .. } => Some("use fewer data loader workers"),
        }
    }
}

/// What differs between an image and another.
fn described(shape: ImageShape, from: ImageShape) -> String {
    match shape {
        ImageShape { size: Some((height, width)), .. }
            if from.size.is_some_and(|other| other != (height, width)) =>
        {
            format!("images of {height} by {width} pixels")
        }
        ImageShape { channels, .. } if channels != from.channels => format!("images of {channels} channels"),
        ImageShape { values: ImageValues::Bytes, .. } => "bytes".into(),
        ImageShape { values: ImageValues::Floats, .. } => "floats".into(),
    }
}

fn named(first: &[UnreadableImage], n_unreadable: usize) -> String {
    let mut text: String = first.iter().map(|image| format!("\n  {image}")).collect();
    if n_unreadable > first.len() {
        text += &format!("\n  and {} more", n_unreadable - first.len());
    }
    text
}
