//! Training and testing on labeled images.

use std::sync::Arc;

use evaluate::linear::{ClassifierScore, ProbeError};
use loader::{EvalLoader, EvalPlan, Loader, LoaderError, LoaderPlan, Rest, UnreadableLog};
use pipeline::{Parts, View};
use plugin_api::Images;
use tensor_ops::{Device, FeatureMap, Recording};

use super::super::EvaluationError;
use super::{FineTune, FineTuneProtocol};

/// Labeled images, and how they are loaded.
pub(super) struct FineTuneOn<'a> {
    /// The images.
    pub(super) images: &'a Arc<dyn Images>,
    /// The view that they are passed through.
    pub(super) view: &'a View,
    /// The device of the encoder.
    pub(super) device: &'a Device,
    /// The seed for views and order.
    pub(super) seed: u64,
    /// Data loader workers.
    pub(super) n_workers: usize,
    /// Where unreadable images are counted.
    pub(super) unreadable: &'a Arc<UnreadableLog>,
}

/// Trains `model`, and returns the mean loss of each epoch, in nats. After each step, `watch` gets the number of images
/// processed so far, over all epochs.
///
/// If there are fewer images than a batch, the batch is smaller. Images that do not fill a batch are dropped, other
/// ones in each epoch.
///
/// # Errors
/// If labels or images are missing, or a setting is invalid.
pub(super) fn fine_tune(
    model: &mut FineTune,
    on: &FineTuneOn<'_>,
    protocol: &FineTuneProtocol,
    watch: &mut dyn FnMut(usize),
) -> Result<Vec<f64>, EvaluationError> {
    protocol.check()?;
    let n_images = on.images.len();
    let splits = model.splits();
    let batch = protocol.batch.min(n_images) / splits * splits;
    if batch == 0 {
        return Err(LoaderError::TooFewImages { n_images, batch: splits }.into());
    }
    let steps_per_epoch = n_images / batch;
    let mut loader = Loader::start(LoaderPlan {
        images: Arc::clone(on.images),
        views: vec![(on.view.name.clone(), Arc::clone(&on.view.transform))],
        seed: on.seed,
        shuffle_seed: on.seed,
        batch,
        rest: Rest::LeftOut,
        parts: Parts::whole_of(1),
        first: (0, 0),
        epochs: protocol.epochs as u64,
        n_workers: on.n_workers,
        prefetch_batches: 2,
        unreadable: Arc::clone(on.unreadable),
    })?;
    let mut losses = vec![0.0; protocol.epochs];
    let mut n_done = 0;
    while let Some(loaded) = loader.next()? {
        let labels = labels_of(on.images, &loaded.images)?;
        let Some(view) = loaded.views.first() else { continue };
        let images = images(on.device, view.size, &view.values)?;
        let epochs_done = loaded.epoch as f64 + loaded.step as f64 / steps_per_epoch as f64;
        let loss = model.step(images, &labels, protocol.label_smoothing, protocol.lr(epochs_done))?;
        if !loss.is_finite() {
            return Err(ProbeError::NotFinite.into());
        }
        losses[loaded.epoch as usize] += loss / steps_per_epoch as f64;
        n_done += labels.len();
        watch(n_done);
    }
    Ok(losses)
}

/// The accuracy of `model` on images, in eval mode.
///
/// # Errors
/// If labels or images are missing.
pub(super) fn score(
    model: &mut FineTune,
    on: &FineTuneOn<'_>,
    batch: usize,
    watch: &mut dyn FnMut(usize),
) -> Result<ClassifierScore, EvaluationError> {
    let mut loader = EvalLoader::start(EvalPlan {
        images: Arc::clone(on.images),
        view: (on.view.name.clone(), Arc::clone(&on.view.transform)),
        seed: on.seed,
        batch,
        n_workers: on.n_workers,
        prefetch_batches: 2,
        unreadable: Arc::clone(on.unreadable),
    })?;
    let n_classes = model.n_classes();
    let mut score = ClassifierScore::empty(n_classes.max(on.images.class_names().len()));
    while let Some(loaded) = loader.next()? {
        let labels = labels_of(on.images, &loaded.images)?;
        let logits = model.logits(images(on.device, loaded.size, &loaded.values)?)?;
        for (logits, &label) in logits.chunks_exact(n_classes).zip(&labels) {
            score.count(logits, label as usize);
        }
        watch(score.n() as usize);
    }
    if score.n() == 0 { Err(ProbeError::NoImages.into()) } else { Ok(score) }
}

fn labels_of(images: &Arc<dyn Images>, batch: &[usize]) -> Result<Vec<u32>, EvaluationError> {
    Ok(batch.iter().map(|&image| images.label(image)).collect::<Option<_>>().ok_or(ProbeError::NoLabels)?)
}

fn images(
    device: &Device,
    (height, width): (usize, usize),
    values: &[f32],
) -> Result<FeatureMap, EvaluationError> {
    let shape = [values.len() / (height * width * 3), height, width, 3];
    Ok(FeatureMap::from_nhwc(device, shape, values, Recording::Off)?)
}
