//! What happens to weights: gradients and the optimizer.

use tensor_ops::{Buffer, DeviceUpdate, Gradients, OpError, Parameter};

use super::moving::{Move, Moved, Moving, move_all};
use super::{Engine, EngineError, Forward, each_parameter};
use crate::Collective;
use plugin_api::{Entry, Module as _, Optimizer, UpdateStep};

impl Engine {
    /// The gradients of a forward pass, averaged over all processes when they are used.
    ///
    /// # Errors
    /// If an operation's backward pass fails.
    pub fn backward(&mut self, forward: Forward) -> Result<Gradients, EngineError> {
        Ok(tensor_ops::backward(forward.total)?)
    }

    /// Moves every trainable parameter by its gradient.
    ///
    /// Parameters move at the same time, on the host each in chunks: a network has many small ones, and with one after another
    /// most threads would wait. The moving average of the next step is not taken in the same pass, though it reads what is
    /// written here: checkpoints and monitors come between the two, and see the momentum encoder as the reference has it
    /// there.
    ///
    /// # Errors
    /// If a parameter cannot be written.
    pub fn update(&mut self, gradients: &mut Gradients, lr: f64) -> Result<(), EngineError> {
        self.n_updates += 1;
        self.n_steps += 1;
        let (collective, optimizer, n_updates) = (&*self.collective, &*self.optimizer, self.n_updates);
        let mut slots = self.slots.iter_mut();
        let mut settings = self.settings.iter();
        let mut moving: Vec<Move<'_>> = Vec::new();
        let mut result = Ok(());
        each_parameter(&mut self.modules, |parameter| {
            let (Some(slots), Some(settings)) = (slots.next(), settings.next()) else { return };
            let step = UpdateStep {
                lr: lr * settings.learning_rate_factor,
                n_updates,
                n_axes: parameter.shape().len(),
                weight_decay: settings.weight_decay,
            };
            let is_wanted = result.is_ok() && parameter.is_trainable();
            let started = match is_wanted {
                true => start(step, parameter, slots, gradients, optimizer, collective),
                false => Ok(Move::None),
            };
            moving.push(started.unwrap_or_else(|error| {
                result = Err(error);
                Move::None
            }));
        });
        if result.is_ok() {
            result = move_all(optimizer, &mut moving, gradients);
        }
        let moved: Vec<Moved> = moving.into_iter().map(Moved::from).collect();
        let mut moved = moved.into_iter();
        let mut slots = self.slots.iter_mut();
        each_parameter(&mut self.modules, |parameter| {
            let (Some(moved), Some(slots)) = (moved.next(), slots.next()) else { return };
            // Every one is put back, whatever happens to the others.
            let put = moved.put_back(parameter, slots, gradients);
            if result.is_ok() {
                result = put;
            }
        });
        Ok(result?)
    }

    /// Counts a step that changes no weights.
    pub fn skip_update(&mut self) {
        self.n_steps += 1;
    }

    /// Freezes the parameters at `places` of the visiting order, or thaws them.
    pub fn set_trainable(&mut self, places: &[usize], is_trainable: bool) {
        pipeline::set_trainable(&mut self.modules, places, is_trainable);
    }

    pub(super) fn allocate_slots(&mut self) {
        let n_slots = self.optimizer.slots().len();
        let mut slots = Vec::new();
        each_parameter(&mut self.modules, |parameter| {
            slots.push((0..n_slots).map(|_| Buffer::zeros(parameter.shape())).collect());
        });
        self.slots = slots;
    }

    /// Calls `visitor` with every trained parameter's name, in torch's order and shape, and its gradient.
    pub fn visit_gradients(
        &mut self,
        gradients: &mut Gradients,
        mut visitor: impl FnMut(&str, &[usize], &[f32]),
    ) -> Result<(), EngineError> {
        let mut result = Ok(());
        for named in &mut self.modules {
            let module = &named.name;
            named.module.visit(&mut |name, entry| {
                if let (Entry::Parameter(parameter), true) = (entry, result.is_ok()) {
                    match parameter.gradient_to_torch(gradients) {
                        Ok(Some((shape, values))) => visitor(&format!("{module}.{name}"), &shape, &values),
                        Ok(None) => {}
                        Err(error) => result = Err(error),
                    }
                }
            });
        }
        Ok(result?)
    }
}

/// Takes one parameter to where it is moved.
fn start<'a>(
    step: UpdateStep,
    parameter: &mut Parameter,
    slots: &'a mut [Buffer],
    gradients: &mut Gradients,
    optimizer: &dyn Optimizer,
    collective: &dyn Collective,
) -> Result<Move<'a>, OpError> {
    if collective.n_processes() > 1 {
        // Here, and not by the threads: processes exchange gradients in one order.
        parameter.with_gradient(gradients, |gradient| collective.mean(gradient))?;
    }
    if let Some(rule) = step.rule_on_device(optimizer) {
        return Ok(Move::OnDevice(DeviceUpdate { parameter: parameter.take(), slots, rule }));
    }
    let Some(gradient) = parameter.take_gradient(gradients)? else { return Ok(Move::None) };
    let slots = slots.iter_mut().map(Buffer::take_values).collect();
    Ok(Move::OnHost(Moving { values: parameter.take_values(), gradient, slots, step }))
}
