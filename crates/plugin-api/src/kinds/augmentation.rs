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

    /// How it turns bytes into normalized floats, if it does nothing else: what other programs must do to the images that
    /// they give an exported encoder.
    fn normalization(&self) -> Option<Normalization> {
        None
    }
}

/// `(v / 255 - mean) / std` of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// What is subtracted.
    pub mean: [f32; 3],
    /// What it is divided by.
    pub std: [f32; 3],
}

/// An augmentation needs nothing but its config.
#[derive(Clone, Copy, Debug, Default)]
pub struct AugmentationContext;
