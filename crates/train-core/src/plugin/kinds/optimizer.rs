//! How gradients move parameters.

/// An update rule. Its state lives in slots that the trainer keeps and saves.
pub trait Optimizer: Send + Sync {
    /// The names of the values kept for each element of a parameter, for instance `["momentum"]`. All start at 0.
    fn slots(&self) -> &'static [&'static str];

    /// Moves one parameter.
    ///
    /// Called for all parameters of a step at the same time, from rayon's threads. A rule cuts what is large into chunks, by
    /// rayon too, or the last parameter leaves all threads but one without work; where it cuts must not depend on how many
    /// threads there are.
    fn update(&self, update: Update<'_>);
}

/// One parameter at one step.
pub struct Update<'a> {
    /// The parameter's values, moved in place.
    pub values: &'a mut [f32],
    /// The gradient, which the rule may use as scratch space.
    pub gradient: &'a mut [f32],
    /// One buffer for each name of [`Optimizer::slots`].
    pub slots: &'a mut [Vec<f32>],
    /// The learning rate of this step.
    pub lr: f64,
    /// Updates made so far, this one included: 1 at the first.
    pub n_updates: u64,
    /// Number of axes of the parameter: 1 for a bias, 2 for a matrix, 4 for a kernel.
    pub n_axes: usize,
    /// The weight decay of the parameter's group, in place of the optimiser's own.
    pub weight_decay: Option<f64>,
}

/// An optimiser needs nothing but its config.
#[derive(Clone, Copy, Debug, Default)]
pub struct OptimizerContext;
