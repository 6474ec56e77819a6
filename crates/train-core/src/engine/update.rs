//! What happens to weights: gradients and the optimizer.

use tensor_ops::{Gradients, OpError, Parameter};

use super::moving::{Move, Moved, Taken, move_all};
use super::{Engine, EngineError};
use plugin_api::{Optimizer, ParameterId, UpdateStep};

impl Engine {
    /// Moves every trainable parameter by its gradient, but for those that are frozen in the step of
    /// [`set_progress`](Self::set_progress).
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
        let (optimizer, n_updates, at) = (&*self.optimizer, self.n_updates, self.now.at());
        let mut result = Ok(());
        let taken = self.parameters.collect_mut(self.modules.named_mut(), |_, row, parameter| {
            let settings = row.settings;
            let step = UpdateStep {
                lr: lr * settings.learning_rate_factor,
                n_updates,
                n_axes: parameter.shape().len(),
                weight_decay: settings.weight_decay,
            };
            let is_wanted = result.is_ok() && parameter.is_trainable() && !settings.is_frozen(at);
            let taken = match is_wanted {
                true => take(step, parameter, gradients, optimizer),
                false => Ok(Taken::None),
            };
            taken.unwrap_or_else(|error| {
                result = Err(error);
                Taken::None
            })
        })?;
        let rows = self.parameters.rows_mut().iter_mut();
        let mut moving: Vec<Move<'_>> =
            taken.into_iter().zip(rows).map(|(taken, row)| taken.with(&mut row.slots)).collect();
        if result.is_ok() {
            result = move_all(optimizer, &mut moving, gradients);
        }
        let moved: Vec<Moved> = moving.into_iter().map(Moved::from).collect();
        // Every one is put back, whatever happens to the others.
        let put = self.parameters.hand_out(self.modules.named_mut(), moved, |moved, row, parameter| {
            moved.put_back(parameter, &mut row.slots, gradients)
        })?;
        result?;
        Ok(put.into_iter().collect::<Result<_, _>>()?)
    }

    /// Counts a step that changes no weights.
    pub fn skip_update(&mut self) {
        self.n_steps += 1;
    }

    /// Freezes `parameters`, or thaws them.
    ///
    /// # Errors
    /// If a module has changed its parameters.
    pub fn set_trainable(
        &mut self,
        parameters: &[ParameterId],
        is_trainable: bool,
    ) -> Result<(), EngineError> {
        self.parameters.collect_mut(self.modules.named_mut(), |id, _, parameter| {
            if parameters.contains(&id) {
                parameter.set_trainable(is_trainable);
            }
        })?;
        Ok(())
    }

    /// Calls `visitor` with every trained parameter's name, in torch's order and shape, and its gradient.
    ///
    /// # Errors
    /// If the device fails, or a module has changed its parameters.
    pub fn visit_gradients(
        &self,
        gradients: &mut Gradients,
        mut visitor: impl FnMut(&str, &[usize], &[f32]),
    ) -> Result<(), EngineError> {
        let visited = self.parameters.collect(self.modules.named(), |id, parameter| {
            let gradient = parameter.gradient_to_torch(gradients)?;
            if let Some((shape, values)) = gradient {
                visitor(self.parameters.name(id), &shape, &values);
            }
            Ok::<_, OpError>(())
        })?;
        Ok(visited.into_iter().collect::<Result<_, _>>()?)
    }
}

/// Takes one parameter to where it is moved.
fn take(
    step: UpdateStep,
    parameter: &mut Parameter,
    gradients: &mut Gradients,
    optimizer: &dyn Optimizer,
) -> Result<Taken, OpError> {
    if let Some(rule) = step.rule_on_device(optimizer) {
        return Ok(Taken::OnDevice(parameter.take(), rule));
    }
    let Some(gradient) = parameter.take_gradient(gradients)? else { return Ok(Taken::None) };
    Ok(Taken::OnHost { values: parameter.take_values(), gradient, step })
}
