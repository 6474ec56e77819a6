//! Losses over any number of values of the graph.

use tensor_ops::{Device, Features, Matrix, OpError, Rows as _, Scalar};

use super::module::initial_draws;
use super::{LossRange, MapShape, Module, PastKeys, Progress};
use crate::{ConfigError, Rng};

/// A loss over any number of values of the graph, with whatever state it keeps.
///
/// [`ContrastiveLoss`](crate::ContrastiveLoss) is the special case of queries against keys, of which a batch can go through
/// in parts; everything else is an objective: a loss between two recorded values, of many crops, or one with parameters of
/// its own. An objective sees the whole batch, however it went through the backbone and over however many processes.
pub trait Objective: Module {
    /// The loss of `inputs`, one for each name in `on` of the graph's step, in that order.
    ///
    /// State must not change here: several steps of a graph may use one objective, and see the same state. What a step
    /// leaves behind is put aside, and taken in by [`end_step`](Self::end_step).
    ///
    /// # Errors
    /// If the inputs have other shapes than the objective was built for.
    fn evaluate(&mut self, inputs: Vec<Input>, step: ObjectiveStep<'_>) -> Result<Evaluated, OpError>;

    /// Refuses values that it is not meant for by what they are of, such as two of the same view. It is asked for each step of the
    /// graph that runs it, before training, and told where each name in `on` comes from, in that order. Takes any by default.
    ///
    /// How many values there are, how wide and whether they are trained, is for the config's `build` to refuse.
    ///
    /// # Errors
    /// If the order is wrong, with what to write instead.
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        let _ = inputs;
        Ok(())
    }

    /// Takes in what [`evaluate`](Self::evaluate) has put aside, once, after the losses of a step. Nothing by default.
    ///
    /// # Errors
    /// If the device fails.
    fn end_step(&mut self) -> Result<(), OpError> {
        Ok(())
    }

    /// Forgets what [`evaluate`](Self::evaluate) has put aside: the step did not come to its end, and training goes on from an
    /// earlier one. Nothing by default.
    fn discard_step(&mut self) {}

    /// Names of the metrics that every [`Evaluated`] has, in its order. None by default.
    fn metrics(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether [`ObjectiveStep::labels`] must be there. `false` by default; a dataset without labels is refused otherwise.
    fn needs_labels(&self) -> bool {
        false
    }

    /// Whether its inputs may have maps behind their features, as [`InputShape::map`] says. `false` by default; a graph that gives it
    /// one is refused.
    fn takes_maps(&self) -> bool {
        false
    }

    /// The keys of earlier steps that are kept, where the objective is on one value of the momentum encoder and keeps what that
    /// was: the monitor `key-drift` and the notes about queues go by them. `None` by default.
    fn past_keys(&self) -> Option<PastKeys> {
        None
    }

    /// What the loss is at worst and at best, for a batch of `n` images; `None`, by default, where no such levels are known.
    fn loss_range(&self, n: usize) -> Option<LossRange> {
        let _ = n;
        None
    }

    /// Sets the number that the config calls `field`, for a pipeline in which it has a ramp. All state stays as it is. None can
    /// change by default.
    ///
    /// # Errors
    /// If the config would refuse the value, or the number is not one that can change while training: [`ConfigError::stays_fixed`].
    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let _ = value;
        Err(ConfigError::stays_fixed(field, &[]))
    }
}

/// A value that an objective is evaluated on, `(N, D)`.
pub enum Input {
    /// The loss trains what made it.
    Trained(Features),
    /// No gradient passes: the momentum encoder made it, or a step with `gradient: None`.
    Fixed(Matrix),
}

/// What an objective is told of a step besides its inputs.
#[derive(Clone, Copy, Debug)]
pub struct ObjectiveStep<'a> {
    /// The run's seed: with [`at`](Self::at), what a draw is keyed by, see [`Rng::new`].
    pub seed: u64,
    /// Where in training the step is.
    pub at: Progress,
    /// For each row, the image's place in the training split.
    pub indices: &'a [usize],
    /// For each row, the image's class, if an objective of the graph [needs labels](Objective::needs_labels).
    pub labels: Option<&'a [u32]>,
}

/// An evaluated objective.
pub struct Evaluated {
    /// What is trained.
    pub loss: Scalar,
    /// The same as a number, which is printed, written to the metrics and checked for being finite.
    pub value: f32,
    /// One value for each of [`Objective::metrics`].
    pub metrics: Vec<f32>,
}

impl Evaluated {
    /// A loss, with its number, and its metrics.
    pub fn new(loss: Scalar, metrics: Vec<f32>) -> Self {
        let value = tensor_ops::number(&loss);
        Self { loss, value, metrics }
    }
}

/// What an objective is told besides its config.
#[derive(Clone, Debug)]
pub struct ObjectiveContext {
    /// Where its state lives.
    pub device: Device,
    /// What it is evaluated on.
    pub inputs: Vec<InputShape>,
    /// `N`: images in a batch, over all processes.
    pub batch: usize,
    /// Epochs in the run.
    pub epochs: usize,
    /// The pipeline's seed.
    pub seed: u64,
    /// The module's name in the pipeline.
    pub name: String,
}

/// What is known of an input before the first step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// The `id` of the graph's step that makes it.
    pub name: String,
    /// `D`, with the map.
    pub width: usize,
    /// The map behind the features, see [`Objective::takes_maps`].
    pub map: Option<MapShape>,
    /// Whether it is [`Input::Trained`].
    pub is_trained: bool,
}

/// Where an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputOrigin<'a> {
    /// The `id` of the graph's step that makes it.
    pub name: &'a str,
    /// The view that it is of.
    pub view: &'a str,
    /// The backbone that the view has gone through, by its name in `modules`: the same for its momentum copy.
    pub backbone: &'a str,
    /// Whether it is [`Input::Trained`].
    pub is_trained: bool,
}

impl InputOrigin<'_> {
    /// Whether both are of the same view by the same backbone, trained or its momentum copy: compared with each other, they say
    /// nothing of the image.
    pub fn is_like(&self, other: &InputOrigin<'_>) -> bool {
        (self.view, self.backbone) == (other.view, other.backbone)
    }
}

impl ObjectiveContext {
    /// Draws for the initial values of one parameter or buffer.
    pub fn rng(&self, name: &str) -> Rng {
        initial_draws(self.seed, &self.name, name)
    }
}

impl Input {
    /// `(N, D)`.
    pub fn shape(&self) -> (usize, usize) {
        match self {
            Self::Trained(features) => (features.n(), features.d()),
            Self::Fixed(matrix) => (matrix.n(), matrix.d()),
        }
    }
}
