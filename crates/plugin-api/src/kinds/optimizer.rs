//! How gradients move parameters.

use tensor_ops::{Buffer, DeviceUpdate, Gradients, OpError, Parameter, UpdateRule};

use crate::ConfigError;

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

/// What an optimizer keeps for one parameter: a buffer for each name of [`Optimizer::slots`].
#[derive(Debug)]
pub struct Slots {
    names: &'static [&'static str],
    buffers: Vec<Buffer>,
}

impl Slots {
    /// Zeros for a parameter of `shape`.
    pub fn zeros(optimizer: &dyn Optimizer, shape: &[usize]) -> Self {
        let names = optimizer.slots();
        Self { names, buffers: names.iter().map(|_| Buffer::zeros(shape)).collect() }
    }

    /// Each slot with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Buffer)> {
        self.names.iter().copied().zip(&self.buffers)
    }

    /// Each slot with its name.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Buffer)> {
        self.names.iter().copied().zip(&mut self.buffers)
    }

    /// The buffers, in the order of the names.
    pub fn buffers_mut(&mut self) -> &mut [Buffer] {
        &mut self.buffers
    }

    /// Moves the values out, in the order of the names; nothing else works until [`put_values`](Self::put_values).
    pub fn take_values(&mut self) -> Vec<Vec<f32>> {
        self.buffers.iter_mut().map(Buffer::take_values).collect()
    }

    /// Moves values in: what [`take_values`](Self::take_values) gave, changed.
    ///
    /// # Errors
    /// If a slot has another number of values. The others are set in any case.
    pub fn put_values(&mut self, values: Vec<Vec<f32>>) -> Result<(), OpError> {
        let mut result = Ok(());
        for (slot, values) in self.buffers.iter_mut().zip(values) {
            result = slot.put_values(values).and(result);
        }
        result
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
        slots: &mut Slots,
    ) -> Result<(), OpError> {
        if let Some(rule) = self.rule_on_device(optimizer) {
            let mut update = DeviceUpdate { parameter: parameter.take(), slots: slots.buffers_mut(), rule };
            let result = tensor_ops::update_on_device(&mut [&mut update], gradients);
            parameter.put_back(update.parameter);
            return result;
        }
        let Some(mut gradient) = parameter.take_gradient(gradients)? else { return Ok(()) };
        let mut of_slots = slots.take_values();
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
        slots.put_values(of_slots)?;
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
