//! How gradients move parameters.

use tensor_ops::{Buffer, DeviceUpdate, Gradients, OpError, Parameter, UpdateRule};

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

    /// The same step as numbers for a rule that the CUDA device knows, if there is one.
    ///
    /// Without one, a build for the device fetches values and gradients, calls [`update`](Self::update), and sends the values
    /// back: right, and slow.
    fn rule(&self, _step: UpdateStep) -> Option<UpdateRule> {
        None
    }
}

/// The numbers of one step of one parameter.
#[derive(Clone, Copy, Debug)]
pub struct UpdateStep {
    /// The learning rate of this step.
    pub lr: f64,
    /// Updates made so far, this one included: 1 at the first.
    pub n_updates: u64,
    /// Number of axes of the parameter: 1 for a bias, 2 for a matrix, 4 for a kernel.
    pub n_axes: usize,
    /// The weight decay of the parameter's group, in place of the optimizer's own.
    pub weight_decay: Option<f64>,
}

impl UpdateStep {
    /// Moves one parameter by its gradient where that is: on the device, if `optimizer` has a rule for it. Does nothing if no
    /// gradient reached the parameter.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run(
        self,
        optimizer: &dyn Optimizer,
        parameter: &mut Parameter,
        gradients: &mut Gradients,
        slots: &mut [Buffer],
    ) -> Result<(), OpError> {
        if let Some(rule) = self.rule_on_device(optimizer) {
            let mut update = DeviceUpdate { parameter: parameter.take(), slots, rule };
            let result = tensor_ops::update_on_device(&mut [&mut update], gradients);
            parameter.put_back(update.parameter);
            return result;
        }
        let Some(mut gradient) = parameter.take_gradient(gradients)? else { return Ok(()) };
        let mut of_slots: Vec<Vec<f32>> = slots.iter_mut().map(Buffer::take_values).collect();
        let mut values = parameter.take_values();
        let Self { lr, n_updates, n_axes, weight_decay } = self;
        optimizer.update(Update {
            values: &mut values,
            gradient: &mut gradient,
            slots: &mut of_slots,
            lr,
            n_updates,
            n_axes,
            weight_decay,
        });
        for (slot, values) in slots.iter_mut().zip(of_slots) {
            slot.put_values(values)?;
        }
        parameter.put_values(values)
    }

    /// The rule to move a parameter by, if values live on the device.
    pub fn rule_on_device(self, optimizer: &dyn Optimizer) -> Option<UpdateRule> {
        if tensor_ops::is_on_device() { optimizer.rule(self) } else { None }
    }
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
    /// The weight decay of the parameter's group, in place of the optimizer's own.
    pub weight_decay: Option<f64>,
}

/// An optimizer needs nothing but its config.
#[derive(Clone, Copy, Debug, Default)]
pub struct OptimizerContext;
