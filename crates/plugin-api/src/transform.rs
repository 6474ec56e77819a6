//! The augmentations that make one view of an image.

use crate::Augmentation;
use crate::{ByteImage, FloatImage, Image, Rng};

/// What turns a decoded image into a view: augmentations, in order.
pub struct ViewTransform {
    /// The steps. Each has accepted the shape that the one before it gives.
    pub steps: Vec<Box<dyn Augmentation>>,
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
        let purpose = format!("view {view_name}");
        let mut image = Image::Bytes(image);
        for (step_idx, step) in self.steps.iter().enumerate() {
            let mut rng = Rng::new(seed, &purpose, &[epoch, image_index, step_idx as u64]);
            let center = self.steps.get(step_idx + 1).and_then(|next| next.center());
            image = match center {
                Some(center) => step.apply_for_center(image, center, &mut rng),
                None => step.apply(image, &mut rng),
            };
        }
        match image {
            Image::Floats(image) => image,
            Image::Bytes(ByteImage { width, height, channels, values: bytes }) => {
                let values = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
                FloatImage { width, height, channels, values }
            }
        }
    }
}
