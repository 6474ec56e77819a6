//! Training and testing on labeled images.

use std::collections::BTreeMap;

use evaluate::linear::{ClassifierScore, ProbeError};
use loader::{LoaderError, Rest};
use plugin_api::Rng;
use run_store::checkpoint::Snapshot;
use tensor_ops::{Device, FeatureMap, Recording};

use super::super::EvaluationError;
use super::super::course::{Course, Position, doubles, take_doubles};
use super::super::labeled_images::LabeledImages;
use super::{FineTune, FineTuneProtocol, Targets};

/// Trains `model`, and returns the mean loss of each epoch, in nats; `None` if it was stopped. After each step, `watch` gets
/// the number of images processed so far, over all epochs.
///
/// If there are fewer images than a batch, the batch is smaller. Images that do not fill a batch are dropped, other
/// ones in each epoch.
///
/// # Errors
/// If labels or images are missing, or what `course` goes on from does not fit.
pub(super) fn fine_tune(
    model: &mut FineTune,
    device: &Device,
    on: &LabeledImages<'_>,
    protocol: &FineTuneProtocol,
    course: &mut Course<'_>,
    settings: BTreeMap<String, String>,
    watch: &mut dyn FnMut(usize),
) -> Result<Option<Vec<f64>>, EvaluationError> {
    let n_images = on.images.len();
    let splits = model.splits();
    let batch = protocol.batch.min(n_images) / splits * splits;
    if batch == 0 {
        return Err(LoaderError::TooFewImages { n_images, batch: splits }.into());
    }
    let steps_per_epoch = n_images / batch;
    course.check(&settings)?;
    let mut state = match course.from {
        None => State { losses: vec![0.0; protocol.epochs], position: Position::default(), settings },
        Some(snapshot) => {
            model.load(snapshot).map_err(EvaluationError::State)?;
            State {
                losses: take_doubles(snapshot, LOSSES, protocol.epochs)?,
                position: Position::of(snapshot)?,
                settings,
            }
        }
    };
    let mut loader = on.shuffled(batch, Rest::LeftOut, protocol.epochs, state.position.next)?;
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
            let epoch = loaded.epoch + 1;
            return Err(EvaluationError::FineTuningDiverged { epoch, base_lr: protocol.base_lr });
        }
        state.losses[loaded.epoch as usize] += loss / steps_per_epoch as f64;
        state.position =
            Position { next: (loaded.epoch, loaded.step + 1), n_done: state.position.n_done + labels.len() };
        watch(state.position.n_done);
        let ends_epoch = loaded.step + 1 == steps_per_epoch as u64;
        let stops = course.is_stopped();
        if stops || ends_epoch {
            (course.save)(&state.snapshot(model)?)?;
        }
        if stops {
            return Ok(None);
        }
    }
    Ok(Some(state.losses))
}

/// How the losses of the epochs are saved.
const LOSSES: &str = "losses";

/// What the training depends on beside the model.
struct State {
    /// The mean loss of each epoch, so far as it has come.
    losses: Vec<f64>,
    position: Position,
    settings: BTreeMap<String, String>,
}

impl State {
    fn snapshot(&self, model: &FineTune) -> Result<Snapshot, EvaluationError> {
        let mut snapshot = Snapshot { metadata: self.settings.clone(), ..Snapshot::default() };
        model.save(&mut snapshot.tensors)?;
        snapshot.tensors.insert(LOSSES.into(), doubles(&self.losses));
        self.position.save(&mut snapshot.tensors);
        Ok(snapshot)
    }
}

/// The accuracy of `model` on images, in eval mode; `None` if `is_stopped` said so meanwhile.
///
/// # Errors
/// If labels or images are missing.
pub(super) fn score(
    model: &mut FineTune,
    device: &Device,
    on: &LabeledImages<'_>,
    batch: usize,
    (is_stopped, watch): (&dyn Fn() -> bool, &mut dyn FnMut(usize)),
) -> Result<Option<ClassifierScore>, EvaluationError> {
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
        if is_stopped() {
            return Ok(None);
        }
    }
    if score.n() == 0 { Err(ProbeError::NoImages.into()) } else { Ok(Some(score)) }
}

fn images(
    device: &Device,
    [height, width, channels]: [usize; 3],
    values: &[f32],
) -> Result<FeatureMap, EvaluationError> {
    let shape = [values.len() / (height * width * channels), height, width, channels];
    Ok(FeatureMap::from_nhwc(device, shape, values, Recording::Off)?)
}
