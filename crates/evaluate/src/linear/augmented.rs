//! A probe on new random views of the images in each epoch, as papers have it.

use std::sync::Arc;

use pipeline::{Parts, View};
use plugin_api::{Images, Level};
use tensor_ops::{FeatureMap, Recording};
use train_core::engine::Engine;
use train_core::loader::{Loader, LoaderPlan, Rest, UnreadableLog};

use super::cached::MeanLosses;
use super::{LinearProbe, ProbeError, ProbeProtocol, TrainedProbe};

/// Images that go through the encoder at once, at most, which bounds memory; it works on each by itself.
const IMAGES_AT_ONCE: usize = 256;

/// What a probe is trained on.
pub struct Augmented<'a> {
    /// Labeled images.
    pub images: &'a Arc<dyn Images>,
    /// The random view through which they are seen.
    pub view: &'a View,
    /// Which features.
    pub level: Level,
    /// What views, order and initial weights are drawn from.
    pub seed: u64,
    /// Loader threads.
    pub n_workers: usize,
    /// Where unreadable images are counted; another image takes their place.
    pub unreadable: &'a Arc<UnreadableLog>,
}

/// Trains linear classifiers on the features that `engine`'s query encoder gives, in eval mode and without a gradient: it
/// stays as it is. `watch` is told after each batch how many images have been through it, over all epochs.
///
/// # Errors
/// If labels or images are missing, a feature is not finite, or a setting makes no sense.
pub fn train_augmented(
    engine: &mut Engine,
    of: &Augmented<'_>,
    protocol: &ProbeProtocol,
    watch: &mut dyn FnMut(usize),
) -> Result<TrainedProbe, ProbeError> {
    protocol.check()?;
    let n_classes = of.images.class_names().len();
    match n_classes {
        0 => return Err(ProbeError::NoLabels),
        1 => return Err(ProbeError::Classes(1)),
        _ => {}
    }
    let mut loader = Loader::start(LoaderPlan {
        images: Arc::clone(of.images),
        views: vec![(of.view.name.clone(), Arc::clone(&of.view.transform))],
        seed: of.seed,
        shuffle_seed: of.seed,
        batch: protocol.batch,
        rest: Rest::Kept,
        parts: Parts::whole_of(1),
        first: (0, 0),
        epochs: protocol.epochs as u64,
        n_workers: of.n_workers,
        prefetch_batches: 2,
        unreadable: Arc::clone(of.unreadable),
    })?;
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
        let labels: Option<Vec<u32>> = batch.images.iter().map(|&image| of.images.label(image)).collect();
        let labels = labels.ok_or(ProbeError::NoLabels)?;
        let Some(view) = batch.views.first() else { continue };
        let (rows, d) = embed(engine, view, of.level)?;
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
fn embed(
    engine: &mut Engine,
    view: &train_core::loader::View,
    level: Level,
) -> Result<(Vec<f32>, usize), ProbeError> {
    let (height, width) = view.size;
    let len = height * width * 3;
    let mut all = Vec::new();
    let mut d = 0;
    for values in view.values.chunks(IMAGES_AT_ONCE * len) {
        let shape = [values.len() / len, height, width, 3];
        let images = FeatureMap::from_nhwc(engine.device(), shape, values, Recording::Off)?;
        let (rows, width) = engine.embed(images, level)?;
        all.extend(rows);
        d = width;
    }
    if all.iter().all(|value| value.is_finite()) { Ok((all, d)) } else { Err(ProbeError::NotFinite) }
}
