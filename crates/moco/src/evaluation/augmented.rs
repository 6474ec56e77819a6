//! A linear probe on new random views of the images in each epoch, as in the papers.

use std::collections::BTreeMap;

use evaluate::linear::{LinearProbe, MeanLosses, ProbeError, ProbeProtocol, TrainedProbe};
use loader::Rest;
use run_store::checkpoint::{Snapshot, Stored};
use train_core::features::BatchEncoder;

use super::EvaluationError;
use super::course::{Course, Position, doubles, lacking, take_doubles};
use super::labeled_images::LabeledImages;

/// The most images per forward pass, which bounds memory. Features do not depend on it.
const IMAGES_AT_ONCE: usize = 256;

/// Trains linear classifiers on the features of `encoder`; `None` if it was stopped. After each batch, `watch` gets the number
/// of images processed so far, over all epochs.
///
/// # Errors
/// If labels or images are missing, a feature is not finite, a setting is invalid, or what `course` goes on from does not fit.
pub(super) fn train_augmented(
    encoder: &mut dyn BatchEncoder,
    of: &LabeledImages<'_>,
    protocol: &ProbeProtocol,
    course: &mut Course<'_>,
    settings: BTreeMap<String, String>,
    watch: &mut dyn FnMut(usize),
) -> Result<Option<TrainedProbe>, EvaluationError> {
    protocol.check()?;
    let n_classes = of.images.class_names().len();
    match n_classes {
        0 => return Err(ProbeError::NoLabels.into()),
        1 => return Err(ProbeError::Classes(1).into()),
        _ => {}
    }
    course.check(&settings)?;
    let mut state = match course.from {
        None => State::new(protocol, settings),
        Some(snapshot) => State::load(snapshot, protocol, n_classes, settings)?,
    };
    let mut loader = of.shuffled(protocol.batch, Rest::Kept, protocol.epochs, state.position.next)?;
    let steps_per_epoch = loader.steps_per_epoch();
    while let Some(batch) = loader.next()? {
        let labels = of.labels(&batch.images)?;
        let Some(view) = batch.views.first() else { continue };
        let (rows, d) = embed(encoder, view)?;
        let probe =
            state.probe.get_or_insert_with(|| LinearProbe::new(d, n_classes, protocol.lrs(), of.seed));
        let factor = protocol.decay.factor(batch.epoch as usize, protocol.epochs);
        state.mean.add(&probe.step(&rows, &labels, factor)?, labels.len());
        state.position =
            Position { next: (batch.epoch, batch.step + 1), n_done: state.position.n_done + labels.len() };
        let ends_epoch = batch.step + 1 == steps_per_epoch;
        if ends_epoch {
            let done = std::mem::replace(&mut state.mean, MeanLosses::new(protocol.base_lrs.len()));
            state.losses.push(done.finish());
        }
        watch(state.position.n_done);
        let is_last = ends_epoch && batch.epoch + 1 == protocol.epochs as u64;
        let stops = course.is_stopped();
        if stops || ends_epoch && !is_last {
            (course.save)(&state.snapshot())?;
        }
        if stops {
            return Ok(None);
        }
    }
    Ok(Some(TrainedProbe { probe: state.probe.ok_or(ProbeError::NoImages)?, losses: state.losses }))
}

/// Names of what is saved.
const PROBE: [&str; 4] = ["probe.weight", "probe.bias", "probe.weight_velocity", "probe.bias_velocity"];
const LOSSES: &str = "losses";
const MEAN: &str = "losses.epoch";
const MEAN_OF: &str = "losses.epoch.images";

/// All that the training depends on.
struct State {
    /// There from the first step on.
    probe: Option<LinearProbe>,
    /// Of the epochs that are done.
    losses: Vec<Vec<f64>>,
    /// Of the epoch under way.
    mean: MeanLosses,
    position: Position,
    settings: BTreeMap<String, String>,
}

impl State {
    fn new(protocol: &ProbeProtocol, settings: BTreeMap<String, String>) -> Self {
        let mean = MeanLosses::new(protocol.base_lrs.len());
        Self { probe: None, losses: Vec::new(), mean, position: Position::default(), settings }
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { metadata: self.settings.clone(), ..Snapshot::default() };
        let tensors = &mut snapshot.tensors;
        if let Some(probe) = &self.probe {
            for (name, values) in PROBE.into_iter().zip(probe.state()) {
                let stored = Stored::F32 { shape: vec![values.len()], values: values.to_vec() };
                tensors.insert(name.into(), stored);
            }
        }
        let (sums, n) = self.mean.state();
        tensors.insert(LOSSES.into(), doubles(&self.losses.concat()));
        tensors.insert(MEAN.into(), doubles(sums));
        tensors.insert(MEAN_OF.into(), Stored::U64(vec![n as u64]));
        self.position.save(tensors);
        snapshot
    }

    /// What [`snapshot`](Self::snapshot) has saved.
    ///
    /// # Errors
    /// If something is missing or has another shape.
    fn load(
        snapshot: &Snapshot,
        protocol: &ProbeProtocol,
        n_classes: usize,
        settings: BTreeMap<String, String>,
    ) -> Result<Self, EvaluationError> {
        let n_classifiers = protocol.base_lrs.len();
        let mut values = Vec::with_capacity(PROBE.len());
        for name in PROBE {
            match snapshot.tensors.get(name) {
                Some(Stored::F32 { values: found, .. }) => values.push(found.clone()),
                _ => return Err(lacking(name)),
            }
        }
        let values: [Vec<f32>; 4] = values.try_into().expect("there is one for each name");
        let d = values[0].len() / (n_classifiers * n_classes);
        let probe = LinearProbe::restored(d, n_classes, protocol.lrs(), values);
        let position = Position::of(snapshot)?;
        let Some(Stored::U64(flat)) = snapshot.tensors.get(LOSSES) else { return Err(lacking(LOSSES)) };
        let losses = take_doubles(snapshot, LOSSES, flat.len())?;
        let n_of_mean = match snapshot.tensors.get(MEAN_OF) {
            Some(Stored::U64(n)) if n.len() == 1 => n[0] as usize,
            _ => return Err(lacking(MEAN_OF)),
        };
        Ok(Self {
            probe: Some(probe.ok_or_else(|| lacking(PROBE[0]))?),
            losses: losses.chunks(n_classifiers).map(<[f64]>::to_vec).collect(),
            mean: MeanLosses::restored(take_doubles(snapshot, MEAN, n_classifiers)?, n_of_mean),
            position,
            settings,
        })
    }
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
