//! Observing a run while it trains.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use pipeline::Parameters;
use plugin_api::{LossRange, Metric};

use super::images::ChangedImages;
use super::{Finished, ShortOfSpace, TrainError};
use crate::engine::{GradientNorms, Loss};

/// The error of an observer, which ends the run.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;

/// Receives the events of a run, on the thread that trains.
///
/// Every method does nothing by default. An error ends the run; saved files stay.
pub trait Observer {
    /// The run is about to train.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn started(&mut self, _run: &Started<'_>) -> Result<(), ObserverError> {
        Ok(())
    }

    /// A part of a step starts, if the batch is processed in parts.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn part(&mut self, _part: &PartReport) -> Result<(), ObserverError> {
        Ok(())
    }

    /// A step is done.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn step(&mut self, _step: &StepReport<'_>) -> Result<(), ObserverError> {
        Ok(())
    }

    /// Something other than a step starts, such as measuring.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn paused(&mut self) -> Result<(), ObserverError> {
        Ok(())
    }

    /// The next step starts: the first one, or one after a pause.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn resumed(&mut self) -> Result<(), ObserverError> {
        Ok(())
    }

    /// Images have passed through the encoder to be measured.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn measuring(&mut self, _report: &Measuring<'_>) -> Result<(), ObserverError> {
        Ok(())
    }

    /// The untrained encoder was measured, or an epoch is done.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn measured(&mut self, _report: &EpochReport<'_>) -> Result<(), ObserverError> {
        Ok(())
    }

    /// Something happened that the user should know.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn note(&mut self, _note: &Note<'_>) -> Result<(), ObserverError> {
        Ok(())
    }

    /// The run was rolled back to a checkpoint.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn rolled_back(&mut self, _report: &RolledBack<'_>) -> Result<(), ObserverError> {
        Ok(())
    }

    /// A checkpoint was written.
    ///
    /// # Errors
    /// Any error that should end the run.
    fn saved(&mut self, _checkpoint: &Path) -> Result<(), ObserverError> {
        Ok(())
    }

    /// The run has ended, successfully or not. This is the last event.
    fn ended(&mut self, _outcome: Result<&Finished, &TrainError>) {}
}

/// An observer that ignores all events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {}

/// A run that is about to train.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    /// The run folder.
    pub folder: &'a Path,
    /// Epochs in the whole run.
    pub epochs: usize,
    /// Steps per epoch.
    pub steps_per_epoch: usize,
    /// The batch size.
    pub batch: usize,
    /// Steps that were already done: 0 for a new run.
    pub steps_done: u64,
    /// Measurements to come, with that of the untrained encoder: the epochs after which a monitor is due.
    pub n_measurements: usize,
}

/// A part of a step that starts.
#[derive(Clone, Copy, Debug)]
pub struct PartReport {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The step within the epoch, from 0.
    pub step: usize,
    /// The part, from 0, over all passes of the step.
    pub part: usize,
    /// Parts per step.
    pub n_parts: usize,
}

/// A completed step.
#[derive(Clone, Copy, Debug)]
pub struct StepReport<'a> {
    /// The epoch, from 0.
    pub epoch: usize,
    /// The step within the epoch, from 0.
    pub step: usize,
    /// Steps done in the whole run, this one included.
    pub steps_done: u64,
    /// How long it waited for data.
    pub waited: Duration,
    /// The loss that is minimized.
    pub loss: f64,
    /// The value of that loss at chance level, and its lower bound, where they are known.
    pub loss_range: Option<LossRange>,
    /// Numbers of the optimizer and of losses that change while training, and what they are now: `optimizer.weight_decay`.
    pub ramps: &'a [(&'a str, f64)],
    /// Share of queries whose nearest key is their own, 0–1; the mean over all contrastive losses, if there are any.
    pub top1: Option<f64>,
    /// Each loss of the graph.
    pub losses: &'a [Loss],
    /// The learning rate.
    pub lr: f64,
    /// The gradients.
    pub gradients: Gradients<'a>,
}

/// The gradients of a step, by their infinity norms.
#[derive(Clone, Copy, Debug)]
pub struct Gradients<'a> {
    pub(super) parameters: &'a Parameters,
    pub(super) norms: &'a GradientNorms,
}

impl<'a> Gradients<'a> {
    /// The weights of layers that have a gradient, first to last: `module.name`, and the largest absolute value.
    pub fn of_weights(self) -> impl Iterator<Item = (&'a str, f32)> {
        let Self { parameters, norms } = self;
        let weights = norms.weights().iter();
        weights.filter_map(move |&id| Some((parameters.settings.name(id), norms.of(id)?)))
    }
}

/// How far a measurement has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measuring<'a> {
    /// The monitor's name in the pipeline.
    pub monitor: &'a str,
    /// Images of this pass that are done, of this process's share.
    pub n_done: usize,
    /// Images of this pass.
    pub n_images: usize,
}

/// The untrained encoder, or a completed epoch.
#[derive(Clone, Debug)]
pub struct EpochReport<'a> {
    /// Whole epochs done; 0 for the untrained encoder.
    pub epochs_done: usize,
    /// Steps done in the whole run.
    pub steps_done: u64,
    /// The training results of the epoch; `None` for the untrained encoder.
    pub training: Option<EpochSummary>,
    /// The metrics of the monitors; empty if none was due.
    pub metrics: &'a [Metric],
}

/// The training results of an epoch.
#[derive(Clone, Debug)]
pub struct EpochSummary {
    /// The mean loss.
    pub loss: f64,
    /// Mean share of queries whose nearest key is their own, 0–1, if there are contrastive losses.
    pub top1: Option<f64>,
    /// Means of the values of single losses, if there are several, and of the metrics of objectives: `step.loss`,
    /// `step.metric`.
    pub singles: Vec<(String, f64)>,
    /// The learning rate of the last step.
    pub lr: f64,
    /// Time that this process spent on it, without measuring.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_s: f64,
    /// Share of the time that steps waited for data, 0–1.
    pub data_wait_share: f64,
    /// Images that could not be read, in the run so far.
    pub n_unreadable: usize,
    /// The largest gradient of the first layer's weights.
    pub gradient_first_layer: f64,
    /// The largest gradient of the last layer's weights.
    pub gradient_last_layer: f64,
    /// Steps with a gradient that jumped.
    pub gradient_spikes: usize,
}

/// A run that was rolled back to a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct RolledBack<'a> {
    /// The error.
    pub error: &'a TrainError,
    /// The checkpoint.
    pub checkpoint: &'a Path,
    /// Its number of steps.
    pub steps_done: u64,
}

/// Something that the user should know. Its text is a sentence without a full stop.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Note<'a> {
    /// A gradient jumped.
    Spike {
        /// The epoch, from 0.
        epoch: usize,
        /// The step within the epoch, from 0.
        step: usize,
        /// The parameter, `module.name`.
        parameter: &'a str,
        /// Its largest absolute gradient value.
        gradient: f32,
        /// The running median of earlier ones.
        median: f32,
        /// The action that is taken.
        consequence: SpikeConsequence<'a>,
    },
    /// A monitor cannot measure anything on this dataset.
    MonitorOff {
        /// Its name in the pipeline.
        monitor: &'a str,
        /// Why, and what would change it.
        reason: &'a str,
    },
    /// More images could not be read than reported before.
    Unreadable {
        /// How many, in the run so far.
        n_images: usize,
        /// The file that lists them.
        list: &'a Path,
    },
    /// No gradient has reached these trainable parameters in the first step.
    NoGradient {
        /// Their names, `module.name`.
        parameters: &'a [&'a str],
        /// Whether the graph leads no loss's gradient to their modules; else a plugin has lost what was recorded.
        by_graph: bool,
    },
    /// A resumed run goes on with other images than its checkpoint has seen.
    ChangedImages(ChangedImages),
    /// The disk has room for the next checkpoint, but not for all that the run will keep.
    ShortOfSpace(&'a ShortOfSpace),
    /// The device has too little memory for a step. A search for what would fit follows.
    NoRoom,
}

/// The action taken for a gradient that jumped.
#[derive(Clone, Copy, Debug)]
pub enum SpikeConsequence<'a> {
    /// Nothing.
    None,
    /// The step does not change the weights.
    StepSkipped,
    /// These parameters are frozen from now on.
    Frozen(&'a [&'a str]),
}

/// The first of `names`, and how many there are besides.
fn named(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more parameters", shown.join(", ")),
    }
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spike { epoch, step, parameter, gradient, median, consequence } => {
                write!(
                    f,
                    "epoch {}, step {}: the gradient of {parameter} jumps to {gradient:.2e}, {:.0} times its running median",
                    epoch + 1,
                    step + 1,
                    gradient / median,
                )?;
                match consequence {
                    SpikeConsequence::None => Ok(()),
                    SpikeConsequence::StepSkipped => f.write_str("; this step changes no weights"),
                    SpikeConsequence::Frozen(names) => {
                        write!(f, "; frozen from now on: {}", names.join(", "))
                    }
                }
            }
            Self::NoGradient { parameters, by_graph: true } => write!(
                f,
                "note: no gradient reaches {}, by the graph: no loss is on what {} without a `gradient: None` between",
                named(parameters),
                if parameters.len() == 1 { "its module makes" } else { "their modules make" },
            ),
            Self::NoGradient { parameters, by_graph: false } => write!(
                f,
                "note: no gradient has reached {}, though a loss is on what {}: a plugin has lost what was recorded, or has \
                 parameters that it does not use",
                named(parameters),
                if parameters.len() == 1 { "its module makes" } else { "their modules make" },
            ),
            Self::MonitorOff { monitor, reason } => write!(f, "monitor {monitor} is off: {reason}"),
            Self::Unreadable { n_images, list } => write!(
                f,
                "{n_images} unreadable {} so far, replaced by others; listed in {}",
                if *n_images == 1 { "image" } else { "images" },
                list.display()
            ),
            Self::ChangedImages(images) => {
                write!(f, "the images have changed, and the run goes on with them: {images}")
            }
            Self::ShortOfSpace(short) => {
                write!(f, "{short}; with a smaller `checkpoint.keep` they take less")
            }
            Self::NoRoom => f.write_str("the device is out of memory; trying what would fit"),
        }
    }
}

impl fmt::Display for RolledBack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; resuming from {} with a different random seed", self.error, self.checkpoint.display())
    }
}
