//! Contrastive losses: what a query is told apart from.

use tensor_ops::{Device, Features, InfoNce, KeepLogits, Matrix, OpError};

use super::Module;
use super::module::initial_draws;
use crate::{ConfigError, Rng};

/// A contrastive loss, with the negatives that it keeps.
pub trait ContrastiveLoss: Module {
    /// The loss of queries `(N, C)` against their keys; recorded if `queries` is. Normalizes both.
    ///
    /// Must not change the negatives: several losses of one step see the same ones.
    ///
    /// [`Contrast::loss`] is what is trained, and [`Contrast::value`] the same as a number, which is printed, written to the
    /// metrics and checked for being finite. Logits are asked for by comparisons with a reference, never in training; a loss
    /// without logits gives `None`. A loss that is not made of operations gives its gradient by
    /// [`tensor_ops::loss_with_gradient`].
    ///
    /// # Errors
    /// If queries and keys do not have the same shape.
    fn loss(&mut self, queries: Features, keys: Keys<'_>, keep: KeepLogits) -> Result<Contrast, OpError>;

    /// Takes in the keys of a step `(M, C)`, once, after all its losses.
    ///
    /// # Errors
    /// If the keys have another width than the negatives.
    fn enqueue(&mut self, keys: &Matrix) -> Result<(), OpError>;

    /// The keys of earlier steps that queries are compared with; `None` by default, and for a loss that keeps none.
    fn past_keys(&self) -> Option<PastKeys> {
        None
    }

    /// Whether the loss of a query depends on no other query and no other key of its batch. Then a batch may be compared in
    /// parts, and the losses of the parts averaged. `false` by default, which is always right.
    fn is_separable(&self) -> bool {
        false
    }

    /// What the loss is at worst and at best, for a batch of `n` images.
    fn loss_range(&self, n: usize) -> LossRange;

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

/// A computed loss.
pub type Contrast = InfoNce;

/// The keys that belong to a batch of queries.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// The keys of the same images, `(N, C)`, row for row.
    pub own: &'a Matrix,
    /// The keys of the whole batch that the loss is over, of which `own` are a part or all.
    pub all: &'a Matrix,
    /// Where `own` starts in `all`.
    pub first: usize,
}

/// Keys of earlier steps.
#[derive(Clone, Debug, PartialEq)]
pub struct PastKeys {
    /// `C`.
    pub width: usize,
    /// `(K, C)`, row by row, in the order in which they arrived: the newest is last. Of unit length, if that is how they are
    /// kept.
    pub rows: Vec<f32>,
}

/// Levels that make a loss readable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossRange {
    /// The loss of an encoder that tells nothing apart.
    pub chance: f64,
    /// About the lowest loss there is, with negatives at right angles to the query.
    pub floor: f64,
}

/// What a loss is told besides its config.
#[derive(Clone, Debug)]
pub struct LossContext {
    /// Where its state lives.
    pub device: Device,
    /// `C`, the width of queries and keys.
    pub n_inputs: usize,
    /// Images in a batch, over all processes.
    pub batch: usize,
    /// Keys that arrive in one step, over all processes.
    pub keys_per_step: usize,
    /// The pipeline's seed.
    pub seed: u64,
    /// The module's name in the pipeline.
    pub name: String,
}

impl LossContext {
    /// Draws for the initial values of one parameter or buffer.
    pub fn rng(&self, name: &str) -> Rng {
        initial_draws(self.seed, &self.name, name)
    }
}
