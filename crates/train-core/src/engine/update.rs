//! What happens to weights: gradients and the optimiser.

use tensor_ops::{Buffer, Gradients};

use super::moving::{Moving, move_all};
use super::{Engine, EngineError, Forward, each_parameter};
use crate::plugin::{Entry, Module as _, UpdateStep};

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
    /// On the host, parameters move at the same time, each in chunks: a network has many small ones, and with one after another
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
        let mut moving: Vec<Option<Moving>> = Vec::new();
        let mut result = Ok(());
        each_parameter(&mut self.modules, |parameter| {
            let (Some(slots), Some(settings)) = (slots.next(), settings.next()) else { return };
            let mut start = || {
                if !parameter.is_trainable() {
                    return Ok(None);
                }
                if collective.n_processes() > 1 {
                    // Here, and not by the threads: processes exchange gradients in one order.
                    parameter.with_gradient(gradients, |gradient| collective.mean(gradient))?;
                }
                let step = UpdateStep {
                    lr: lr * settings.learning_rate_factor,
                    n_updates,
                    n_axes: parameter.shape().len(),
                    weight_decay: settings.weight_decay,
                };
                if step.run_on_device(optimizer, parameter, gradients, slots)? {
                    return Ok(None);
                }
                let Some(gradient) = parameter.take_gradient(gradients)? else { return Ok(None) };
                let slots = slots.iter_mut().map(Buffer::take_values).collect();
                Ok(Some(Moving { values: parameter.take_values(), gradient, slots, step }))
            };
            let started = if result.is_ok() { start() } else { Ok(None) };
            moving.push(started.unwrap_or_else(|error| {
                result = Err(error);
                None
            }));
        });
        if result.is_ok() {
            move_all(optimizer, &mut moving);
        }
        let mut moving = moving.into_iter();
        let mut all_slots = self.slots.iter_mut();
        each_parameter(&mut self.modules, |parameter| {
            let slots = all_slots.next();
            let Some(Some(Moving { values, gradient, slots: of_slots, .. })) = moving.next() else { return };
            // Every one is put back, whatever happens to the others.
            let mut put = parameter.put_values(values).and(parameter.put_gradient(gradients, gradient));
            for (slot, values) in slots.into_iter().flatten().zip(of_slots) {
                put = slot.put_values(values).and(put);
            }
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
        crate::pipeline::set_trainable(&mut self.modules, places, is_trainable);
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
