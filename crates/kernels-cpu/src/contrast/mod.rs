//! Contrastive losses: the cross-entropy of a softmax over queries' logits, with its gradient.

mod in_batch;
mod queue;
mod softmax;
#[cfg(test)]
mod tests;

pub use self::{in_batch::in_batch, queue::against_queue};

/// What is asked of a loss.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// What products of queries and keys are divided by.
    pub temperature: f32,
    /// Whether the gradient in the queries is computed.
    pub wants_gradient: bool,
    /// Whether all logits are kept, which takes memory for one of each query and key.
    pub keeps_logits: bool,
}

/// What comes of the comparison of `N` queries.
#[derive(Debug)]
pub struct Contrast {
    /// The mean over the queries, in nats.
    pub cross_entropy: f64,
    /// Queries whose positive is the largest of all logits. A tie counts against.
    pub n_right: usize,
    /// `(N, C)`: the mean key under the softmax, less the positive key; empty where no gradient is wanted. The gradient of the
    /// mean cross-entropy is this over `temperature * N`.
    pub directions: Vec<f64>,
    /// One of each query and key, where they are kept.
    pub logits: Option<Vec<f32>>,
}
