//! Computes features of images, for monitors, probes, kNN and embeddings.

use std::ops::ControlFlow;

use plugin_api::{Embeddings, Level};
use tensor_ops::{Device, FeatureMap, OpError, Recording};

use crate::engine::{Engine, EngineError, FrozenEncoder};
use loader::{EvalLoader, EvalPlan, LoaderError};

/// Computes features of images, in eval mode and without gradients. It does not change.
pub trait BatchEncoder {
    /// The features of images `(N, H, W, C)`, whose `shape` is `[H, W, C]`: `(N, D)` row by row, and `D`.
    ///
    /// # Errors
    /// If a module rejects the images.
    fn features(&mut self, shape: [usize; 3], values: &[f32]) -> Result<(Vec<f32>, usize), EngineError>;
}

impl BatchEncoder for FrozenEncoder {
    fn features(&mut self, shape: [usize; 3], values: &[f32]) -> Result<(Vec<f32>, usize), EngineError> {
        let images = feature_map(self.device(), shape, values)?;
        Ok((self.embed(images)?, self.n_features()))
    }
}

/// The current encoder of an engine in training.
pub struct EncoderInTraining<'a> {
    /// The engine.
    pub engine: &'a mut Engine,
    /// Where in the encoder features are taken.
    pub level: Level,
}

impl BatchEncoder for EncoderInTraining<'_> {
    fn features(&mut self, shape: [usize; 3], values: &[f32]) -> Result<(Vec<f32>, usize), EngineError> {
        let images = feature_map(self.engine.device(), shape, values)?;
        self.engine.embed(images, self.level)
    }
}

/// Images `(N, H, W, C)` on the device, of `[H, W, C]` values each.
///
/// # Errors
/// If the device has no room.
pub fn feature_map(
    device: &Device,
    [height, width, channels]: [usize; 3],
    values: &[f32],
) -> Result<FeatureMap, OpError> {
    let shape = [values.len() / (height * width * channels).max(1), height, width, channels];
    FeatureMap::from_nhwc(device, shape, values, Recording::Off)
}

/// Features that cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// Images cannot be loaded.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The encoder rejects the images.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The caller stopped the computation.
    #[error("stopped after {n_images} images")]
    Stopped {
        /// Images that were done.
        n_images: usize,
    },
}

impl FeaturesError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Loader(error) => error.hint().map(str::to_owned),
            Self::Engine(error) => error.hint(),
            Self::Stopped { .. } => None,
        }
    }
}

/// Computes the features of the images of `plan`, in order. After each batch, `watch` gets the number of images done,
/// and returns whether to continue.
///
/// # Errors
/// If more images are unreadable than the plan allows, if features cannot be computed, or [`FeaturesError::Stopped`].
pub fn embed(
    encoder: &mut dyn BatchEncoder,
    plan: EvalPlan,
    watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Embeddings, FeaturesError> {
    let mut embeddings: Option<Embeddings> = None;
    let mut loader = EvalLoader::start(plan)?;
    while let Some(batch) = loader.next()? {
        let (rows, d) = encoder.features([batch.size.0, batch.size.1, batch.channels], &batch.values)?;
        embeddings.get_or_insert_with(|| Embeddings::new(d)).append(&batch.images, &rows);
        let n_images = batch.images.last().map_or(0, |last| last + 1);
        if watch(n_images).is_break() {
            return Err(FeaturesError::Stopped { n_images });
        }
    }
    Ok(embeddings.unwrap_or_default())
}
