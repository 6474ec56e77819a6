//! A linear probe on new random views of the images in each epoch, as in the papers.

use evaluate::linear::{LinearProbe, MeanLosses, ProbeError, ProbeProtocol, TrainedProbe};
use loader::Rest;
use train_core::features::BatchEncoder;

use super::EvaluationError;
use super::labeled_images::LabeledImages;

/// The most images per forward pass, which bounds memory. Features do not depend on it.
const IMAGES_AT_ONCE: usize = 256;

/// Trains linear classifiers on the features of `encoder`. After each batch, `watch` gets the number of images
/// processed so far, over all epochs.
///
/// # Errors
/// If labels or images are missing, a feature is not finite, or a setting is invalid.
pub(super) fn train_augmented(
    encoder: &mut dyn BatchEncoder,
    of: &LabeledImages<'_>,
    protocol: &ProbeProtocol,
    watch: &mut dyn FnMut(usize),
) -> Result<TrainedProbe, EvaluationError> {
    protocol.check()?;
    let n_classes = of.images.class_names().len();
    match n_classes {
        0 => return Err(ProbeError::NoLabels.into()),
        1 => return Err(ProbeError::Classes(1).into()),
        _ => {}
    }
    let mut loader = of.shuffled(protocol.batch, Rest::Kept, protocol.epochs)?;
    let mut probe = None;
    let mut losses = Vec::new();
    let mut mean = MeanLosses::new(protocol.base_lrs.len());
    let (mut epoch, mut n_done) = (0, 0);
    while let Some(batch) = loader.next()? {
        if batch.epoch != epoch {
            epoch = batch.epoch;
            let done = std::mem::replace(&mut mean, MeanLosses::new(protocol.base_lrs.len()));
            losses.push(done.finish());
        }
        let labels = of.labels(&batch.images)?;
        let Some(view) = batch.views.first() else { continue };
        let (rows, d) = embed(encoder, view)?;
        let probe = probe.get_or_insert_with(|| LinearProbe::new(d, n_classes, protocol.lrs(), of.seed));
        let factor = protocol.decay.factor(epoch as usize, protocol.epochs);
        mean.add(&probe.step(&rows, &labels, factor)?, labels.len());
        n_done += labels.len();
        watch(n_done);
    }
    losses.push(mean.finish());
    Ok(TrainedProbe { probe: probe.ok_or(ProbeError::NoImages)?, losses })
}

/// Features of a batch, `(N, D)` row by row, and `D`.
fn embed(encoder: &mut dyn BatchEncoder, view: &loader::View) -> Result<(Vec<f32>, usize), EvaluationError> {
    let shape = [view.size.0, view.size.1, view.channels];
    let mut all = Vec::new();
    let mut d = 0;
    for values in view.values.chunks(IMAGES_AT_ONCE * shape.iter().product::<usize>()) {
        let (rows, width) = encoder.features(shape, values)?;
        all.extend(rows);
        d = width;
    }
    if all.iter().all(|value| value.is_finite()) { Ok((all, d)) } else { Err(ProbeError::NotFinite.into()) }
}
