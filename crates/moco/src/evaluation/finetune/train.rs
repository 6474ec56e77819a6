//! Training and testing on labeled images.

use evaluate::linear::{ClassifierScore, ProbeError};
use loader::{LoaderError, Rest};
use tensor_ops::{Device, FeatureMap, Recording};

use super::super::EvaluationError;
use super::super::labeled_images::LabeledImages;
use super::{FineTune, FineTuneProtocol, Targets};
use plugin_api::Rng;

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
    device: &Device,
    on: &LabeledImages<'_>,
    protocol: &FineTuneProtocol,
    watch: &mut dyn FnMut(usize),
) -> Result<Vec<f64>, EvaluationError> {
    let n_images = on.images.len();
    let splits = model.splits();
    let batch = protocol.batch.min(n_images) / splits * splits;
    if batch == 0 {
        return Err(LoaderError::TooFewImages { n_images, batch: splits }.into());
    }
    let steps_per_epoch = n_images / batch;
    let mut loader = on.shuffled(batch, Rest::LeftOut, protocol.epochs)?;
    let mut losses = vec![0.0; protocol.epochs];
    let mut n_done = 0;
    while let Some(mut loaded) = loader.next()? {
        let labels = on.labels(&loaded.images)?;
        let Some(view) = loaded.views.first_mut() else { continue };
        let shape = [view.size.0, view.size.1, view.channels];
        let mut targets = Targets::of_labels(&labels, model.n_classes(), protocol.label_smoothing);
        let mut rng = Rng::new(on.seed, "mixed images", &[loaded.epoch, loaded.step]);
        protocol.mixing.apply(&mut view.values, shape, &mut targets, &mut rng);
        let images = images(device, shape, &view.values)?;
        let epochs_done = loaded.epoch as f64 + loaded.step as f64 / steps_per_epoch as f64;
        let loss = model.step(images, &targets, protocol.lr(epochs_done))?;
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
    device: &Device,
    on: &LabeledImages<'_>,
    batch: usize,
    watch: &mut dyn FnMut(usize),
) -> Result<ClassifierScore, EvaluationError> {
    let mut loader = on.in_order(batch)?;
    let n_classes = model.n_classes();
    let mut score = ClassifierScore::empty(n_classes.max(on.images.class_names().len()));
    while let Some(loaded) = loader.next()? {
        let labels = on.labels(&loaded.images)?;
        let logits =
            model.logits(images(device, [loaded.size.0, loaded.size.1, loaded.channels], &loaded.values)?)?;
        for (logits, &label) in logits.chunks_exact(n_classes).zip(&labels) {
            score.count(logits, label as usize);
        }
        watch(score.n() as usize);
    }
    if score.n() == 0 { Err(ProbeError::NoImages.into()) } else { Ok(score) }
}

fn images(
    device: &Device,
    [height, width, channels]: [usize; 3],
    values: &[f32],
) -> Result<FeatureMap, EvaluationError> {
    let shape = [values.len() / (height * width * channels), height, width, channels];
    Ok(FeatureMap::from_nhwc(device, shape, values, Recording::Off)?)
}
