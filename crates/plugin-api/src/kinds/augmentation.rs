//! One step of a view's recipe.

use crate::ConfigError;
use crate::{Image, ImageShape, Rng};

/// Turns an image into another, at random.
///
/// Called from many threads at once; all randomness comes from `rng`.
pub trait Augmentation: Send + Sync {
    /// The shape of what [`apply`](Self::apply) gives for an image of shape `input`.
    ///
    /// # Errors
    /// If it cannot work on such images: on bytes after normalization, on an image that may be too small.
    fn output(&self, input: ImageShape) -> Result<ImageShape, ConfigError>;

    /// The augmented image. `output` has accepted the shape of `image`; other values (a `Floats` where bytes are
    /// needed) are passed on unchanged.
    fn apply(&self, image: Image, rng: &mut Rng) -> Image;

    /// The `(H, W)` central pixels of an image, if [`apply`](Self::apply) keeps no others: the step before it need not make
    /// more. Where an odd number of pixels is left over, half of it, rounded to the even number, is above or to the left.
    ///
    /// An image that was cut to these pixels before must give the same as the whole one.
    fn center(&self) -> Option<(usize, usize)> {
        None
    }

    /// As [`apply`](Self::apply), where the step that follows keeps only the [`center`](Self::center) `(H, W)`: the result
    /// may be cut to it, along each axis on which it is longer. Makes the same draws.
    fn apply_for_center(&self, image: Image, center: (usize, usize), rng: &mut Rng) -> Image {
        let _ = center;
        self.apply(image, rng)
    }

    /// How it turns bytes into normalized floats, if it does nothing else: what other programs must do to the images that
    /// they give an exported encoder.
    fn normalization(&self) -> Option<Normalization> {
        None
    }
}

/// `(v / 255 - mean) / std` of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// What is subtracted: a value for each channel.
    pub mean: Vec<f32>,
    /// What it is divided by: as many values.
    pub std: Vec<f32>,
}

/// An augmentation needs nothing but its config.
#[derive(Clone, Copy, Debug, Default)]
pub struct AugmentationContext;
