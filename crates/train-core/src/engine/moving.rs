//! Parameters on their way through the optimizer.

use rayon::prelude::*;
use tensor_ops::{DeviceUpdate, Gradients, OpError, Parameter, UpdateRule, update_on_device};

use plugin_api::{Optimizer, Slots, Update, UpdateStep};

/// One parameter at one step, apart from its module and its device, so that any thread can move it.
pub(super) struct Moving {
    pub(super) values: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    pub(super) slots: Vec<Vec<f32>>,
    pub(super) step: UpdateStep,
}

impl Moving {
    fn update(&mut self) -> Update<'_> {
        let UpdateStep { lr, n_updates, n_axes, weight_decay } = self.step;
        Update {
            values: &mut self.values,
            gradient: &mut self.gradient,
            slots: &mut self.slots,
            lr,
            n_updates,
            n_axes,
            weight_decay,
        }
    }
}

/// What is taken out of a module, to be moved.
pub(super) enum Taken {
    None,
    OnHost { values: Vec<f32>, gradient: Vec<f32>, step: UpdateStep },
    OnDevice(Parameter, UpdateRule),
}

impl Taken {
    /// Together with what the optimizer keeps for it.
    pub(super) fn with(self, slots: &mut Slots) -> Move<'_> {
        match self {
            Self::None => Move::None,
            Self::OnHost { values, gradient, step } => {
                Move::OnHost(Moving { values, gradient, slots: slots.take_values(), step })
            }
            Self::OnDevice(parameter, rule) => {
                Move::OnDevice(DeviceUpdate { parameter, slots: slots.buffers_mut(), rule })
            }
        }
    }
}

/// How one parameter is moved.
#[allow(clippy::large_enum_variant, reason = "there are a few hundred, and they live for a step")]
pub(super) enum Move<'a> {
    /// Not at all.
    None,
    OnHost(Moving),
    /// By a rule that the device knows.
    OnDevice(DeviceUpdate<'a>),
}

/// What is put back afterwards.
pub(super) enum Moved {
    None,
    OnHost(Moving),
    OnDevice(Parameter),
}

impl From<Move<'_>> for Moved {
    fn from(moved: Move<'_>) -> Self {
        match moved {
            Move::None => Self::None,
            Move::OnHost(moving) => Self::OnHost(moving),
            Move::OnDevice(update) => Self::OnDevice(update.parameter),
        }
    }
}

impl Moved {
    pub(super) fn put_back(
        self,
        parameter: &mut Parameter,
        slots: &mut Slots,
        gradients: &mut Gradients,
    ) -> Result<(), OpError> {
        match self {
            Self::None => Ok(()),
            Self::OnDevice(taken) => {
                parameter.put_back(taken);
                Ok(())
            }
            Self::OnHost(Moving { values, gradient, slots: of_slots, .. }) => {
                let put = parameter.put_values(values);
                put.and(parameter.put_gradient(gradients, gradient)).and(slots.put_values(of_slots))
            }
        }
    }
}

/// Moves each parameter as it would move alone.
///
/// A rule cuts large parameters into chunks; a thread that has no parameter left takes chunks of those still on their way.
pub(super) fn move_all(
    optimizer: &dyn Optimizer,
    moving: &mut [Move<'_>],
    gradients: &mut Gradients,
) -> Result<(), OpError> {
    let mut on_host: Vec<&mut Moving> = Vec::new();
    let mut on_device: Vec<&mut DeviceUpdate<'_>> = Vec::new();
    for one in moving {
        match one {
            Move::None => {}
            Move::OnHost(moving) => on_host.push(moving),
            Move::OnDevice(update) => on_device.push(update),
        }
    }
    move_on_host(optimizer, on_host);
    if on_device.is_empty() {
        return Ok(());
    }
    update_on_device(&mut on_device, gradients)
}

fn move_on_host(optimizer: &dyn Optimizer, moving: Vec<&mut Moving>) {
    moving.into_par_iter().for_each(|moving| optimizer.update(moving.update()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves by a rate that depends on the whole parameter, and counts in its slot.
    struct ByLength;

    impl Optimizer for ByLength {
        fn slots(&self) -> &'static [&'static str] {
            &["moves"]
        }

        fn update(&self, update: Update<'_>) {
            let Update { values, gradient, slots, lr, n_updates, n_axes, weight_decay } = update;
            let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let rate = lr as f32 * n_axes as f32 / length + weight_decay.unwrap_or(0.0) as f32;
            for ((p, g), moves) in values.iter_mut().zip(gradient).zip(&mut slots[0]) {
                *p -= rate * *g;
                *moves += n_updates as f32;
            }
        }
    }

    /// Parameter number `i`, half-way through a run.
    fn moving(i: usize) -> Moving {
        let len = 1 + (i * 7919) % 50_000;
        let wave = |scale: f32| (0..len).map(|at| ((1 + at + i) as f32 * scale).sin()).collect();
        Moving {
            values: wave(0.3),
            gradient: wave(0.7),
            slots: vec![vec![1.0; len]],
            step: UpdateStep {
                lr: 0.1 * i as f64,
                n_updates: 3,
                n_axes: i % 3,
                weight_decay: i.is_multiple_of(4).then_some(0.01),
            },
        }
    }

    #[test]
    fn all_parameters_move_as_they_would_alone_on_any_number_of_threads() {
        let expected: Vec<Moving> = (0..40)
            .map(|i| {
                let mut moving = moving(i);
                ByLength.update(moving.update());
                moving
            })
            .collect();
        for n_threads in [1, 2, 3] {
            let mut all: Vec<Moving> = (0..40).map(moving).collect();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| move_on_host(&ByLength, all.iter_mut().collect()));
            for (i, (moving, expected)) in all.iter().zip(&expected).enumerate() {
                assert!(moving.values == expected.values, "parameter {i}, {n_threads} threads");
                assert!(moving.slots == expected.slots, "slots {i}, {n_threads} threads");
            }
        }
    }
}
