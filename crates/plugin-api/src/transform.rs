//! The augmentations that make one view of an image.

use std::convert::Infallible;

use crate::Augmentation;
use crate::{ByteImage, FloatImage, Image, ImageShape, ImageValues, Rng};

/// What turns a decoded image into a view: augmentations, in order.
pub struct ViewTransform {
    /// The steps. Each has accepted the shape that the one before it gives.
    pub steps: Vec<Box<dyn Augmentation>>,
}

/// A step that gives another image than its [`Augmentation::output`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongStep {
    /// Its place in the recipe, from 0.
    pub step_idx: usize,
    /// What it says.
    pub declared: ImageShape,
    /// What it gives.
    pub given: ImageShape,
}

impl ViewTransform {
    /// The view `view_name` of `image`.
    ///
    /// Every step has draws of its own, keyed by seed, epoch, image, view and the step's place, so no view depends on
    /// another, nor on the order in which images arrive. A step makes no more than the [`center`](Augmentation::center)
    /// that the next one keeps. Bytes that no step normalized are scaled to 0–1.
    pub fn apply(
        &self,
        image: ByteImage,
        seed: u64,
        epoch: u64,
        image_index: u64,
        view_name: &str,
    ) -> FloatImage {
        let keys = Keys { seed, epoch, image_index, view_name };
        match self.run(image, keys, |_, _| Ok::<_, Infallible>(())) {
            Ok(image) => floats(image),
            Err(never) => match never {},
        }
    }

    /// [`apply`](Self::apply), where each step is held to what it declares.
    ///
    /// # Errors
    /// The first step that gives an image of another size or of other channels, or bytes where it declares floats.
    pub fn apply_checked(
        &self,
        image: ByteImage,
        seed: u64,
        epoch: u64,
        image_index: u64,
        view_name: &str,
    ) -> Result<FloatImage, WrongStep> {
        let keys = Keys { seed, epoch, image_index, view_name };
        let mut shape = Some(ImageShape { size: None, channels: image.channels, values: ImageValues::Bytes });
        let image = self.run(image, keys, |step_idx, made| {
            // The check of a pipeline has refused what a step does not take.
            shape = shape.and_then(|shape| self.steps[step_idx].output(shape).ok());
            match (shape, made) {
                (Some(declared), Some(image)) if !is_as_declared(declared, image.shape()) => {
                    Err(WrongStep { step_idx, declared, given: image.shape() })
                }
                _ => Ok(()),
            }
        })?;
        Ok(floats(image))
    }

    /// Calls `made` after each step with its place and what it has made, if that was not cut for the next one.
    fn run<E>(
        &self,
        image: ByteImage,
        keys: Keys<'_>,
        mut made: impl FnMut(usize, Option<&Image>) -> Result<(), E>,
    ) -> Result<Image, E> {
        let purpose = format!("view {}", keys.view_name);
        let mut image = Image::Bytes(image);
        for (step_idx, step) in self.steps.iter().enumerate() {
            let mut rng = Rng::new(keys.seed, &purpose, &[keys.epoch, keys.image_index, step_idx as u64]);
            let center = self.steps.get(step_idx + 1).and_then(|next| next.center());
            image = match center {
                Some(center) => step.apply_for_center(image, center, &mut rng),
                None => step.apply(image, &mut rng),
            };
            made(step_idx, if center.is_some() { None } else { Some(&image) })?;
        }
        Ok(image)
    }
}

/// What the draws of a view are keyed by, besides the step.
#[derive(Clone, Copy)]
struct Keys<'a> {
    seed: u64,
    epoch: u64,
    image_index: u64,
    view_name: &'a str,
}

/// Floats where bytes were declared do no harm: what follows takes either.
fn is_as_declared(declared: ImageShape, given: ImageShape) -> bool {
    declared.size.is_none_or(|size| given.size == Some(size))
        && declared.channels == given.channels
        && (declared.values, given.values) != (ImageValues::Floats, ImageValues::Bytes)
}

fn floats(image: Image) -> FloatImage {
    match image {
        Image::Floats(image) => image,
        Image::Bytes(ByteImage { width, height, channels, values: bytes }) => {
            let values = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
            FloatImage { width, height, channels, values }
        }
    }
}
