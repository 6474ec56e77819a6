//! Parameters on their way through the optimiser.

use rayon::prelude::*;

use crate::plugin::{Optimizer, Update, UpdateStep};

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

/// Moves each parameter as it would move alone.
///
/// A rule cuts large parameters into chunks; a thread that has no parameter left takes chunks of those still on their way.
pub(super) fn move_all(optimizer: &dyn Optimizer, moving: &mut [Option<Moving>]) {
    moving.par_iter_mut().flatten().for_each(|moving| optimizer.update(moving.update()));
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
            // Every third has no gradient, and stays.
            let mut all: Vec<Option<Moving>> = (0..40).map(|i| (i % 3 != 1).then(|| moving(i))).collect();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| move_all(&ByLength, &mut all));
            for (i, (moving, expected)) in all.iter().zip(&expected).enumerate() {
                assert_eq!(moving.is_some(), i % 3 != 1);
                let Some(moving) = moving else { continue };
                assert!(moving.values == expected.values, "parameter {i}, {n_threads} threads");
                assert!(moving.slots == expected.slots, "slots {i}, {n_threads} threads");
            }
        }
    }
}
