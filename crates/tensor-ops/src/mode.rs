//! Training or evaluation.

/// Whether statistics come from the batch or from training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics normalize, and move the running ones.
    Train,
    /// Running statistics normalize, and stay.
    Eval,
}
