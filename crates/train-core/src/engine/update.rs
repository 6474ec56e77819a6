//! What happens to weights: gradients, the optimiser, the momentum encoder.

use tensor_ops::{Gradients, OpError, Parameter};

use super::{Engine, EngineError, Forward};
use crate::plugin::{Entry, Module as _, Update};

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
    /// # Errors
    /// If a parameter cannot be written.
    pub fn update(&mut self, gradients: &mut Gradients, lr: f64) -> Result<(), EngineError> {
        self.n_updates += 1;
        self.n_steps += 1;
        let mut slots = self.slots.iter_mut();
        let mut settings = self.settings.iter();
        let mut result = Ok(());
        let (optimizer, collective, n_updates) = (&*self.optimizer, &*self.collective, self.n_updates);
        for named in &mut self.modules {
            named.module.visit(&mut |_, entry| {
                let Entry::Parameter(parameter) = entry else { return };
                let (Some(slots), Some(settings)) = (slots.next(), settings.next()) else { return };
                if result.is_err() || !parameter.is_trainable() {
                    return;
                }
                let n_axes = parameter.shape().len();
                let lr = lr * settings.learning_rate_factor;
                let weight_decay = settings.weight_decay;
                result = parameter.update_by_gradient(gradients, |values, gradient| {
                    collective.mean(gradient);
                    let update = Update { values, gradient, slots, lr, n_updates, n_axes, weight_decay };
                    optimizer.update(update);
                });
            });
        }
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

    /// Moves the momentum copies towards what they follow: θk ← m·θk + (1 − m)·θq (He et al. 2020, Eq. 2).
    ///
    /// Parameters only: running statistics follow the copies' own batches, as in the reference.
    pub(super) fn follow(&mut self, momentum: f32) -> Result<(), OpError> {
        let mut result = Ok(());
        for (named, copy) in self.modules.iter_mut().zip(&mut self.momentum_modules) {
            let Some(copy) = copy else { continue };
            let mut followed: Vec<Parameter> = Vec::new();
            named.module.visit(&mut |_, entry| {
                if let Entry::Parameter(parameter) = entry {
                    followed.push(parameter.share());
                }
            });
            let mut followed = followed.iter();
            copy.module.visit(&mut |_, entry| {
                let Entry::Parameter(parameter) = entry else { return };
                if let (Some(target), true) = (followed.next(), result.is_ok()) {
                    result = parameter.blend(target, momentum);
                }
            });
        }
        result
    }

    pub(super) fn allocate_slots(&mut self) {
        let n_slots = self.optimizer.slots().len();
        let mut slots = Vec::new();
        for named in &mut self.modules {
            named.module.visit(&mut |_, entry| {
                if let Entry::Parameter(parameter) = entry {
                    slots.push(vec![vec![0.0; parameter.n_elements()]; n_slots]);
                }
            });
        }
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
