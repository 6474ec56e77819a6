//! What an optimizer must do.

use std::collections::BTreeSet;

use plugin_api::{Optimizer, OptimizerContext, Update};

use crate::calm::calm;
use crate::config::Plugged;
use crate::fault::{Checked, ensure};
use crate::numbers::{all_finite, normal, same_bits};
use crate::ramps;
use crate::threads::with_threads;

/// Values of a parameter that is cut into chunks, if any is.
const N_MANY: usize = 100_003;
/// Axes that a parameter may have: a bias, a matrix, a kernel.
const AXES: [usize; 3] = [1, 2, 4];

pub(crate) fn check(name: &str, config: Option<&str>) -> Checked {
    let plugged = Plugged::<dyn Optimizer>::find(name, config)?;
    plugged.check_config(&OptimizerContext)?;
    let mut optimizer = plugged.build(&OptimizerContext)?;
    ramps::check(|name, value| optimizer.set_number(name, value))?;
    let optimizer = &*optimizer;
    let mut names = BTreeSet::new();
    for slot in optimizer.slots() {
        ensure!(!slot.trim().is_empty(), "a slot has no name");
        ensure!(
            names.insert(*slot),
            "two slots have the name `{slot}`: a checkpoint could not tell them apart"
        );
    }
    for n_axes in AXES {
        check_rest(optimizer, n_axes)?;
        check_direction(optimizer, n_axes)?;
        check_descent(optimizer, n_axes)?;
        check_state(&plugged, optimizer, n_axes)?;
    }
    check_threads(optimizer)
}

/// One parameter and its slots.
#[derive(Clone)]
struct Moving {
    values: Vec<f32>,
    slots: Vec<Vec<f32>>,
    n_updates: u64,
    n_axes: usize,
    weight_decay: Option<f64>,
}

impl Moving {
    fn new(optimizer: &dyn Optimizer, values: Vec<f32>, n_axes: usize, weight_decay: Option<f64>) -> Self {
        let slots = vec![vec![0.0; values.len()]; optimizer.slots().len()];
        Self { values, slots, n_updates: 0, n_axes, weight_decay }
    }

    fn step(&mut self, optimizer: &dyn Optimizer, gradient: &[f32], lr: f64) -> Checked {
        self.n_updates += 1;
        let Self { values, slots, n_updates, n_axes, weight_decay } = self;
        let (n, mut gradient) = (values.len(), gradient.to_vec());
        let update = Update {
            values,
            gradient: &mut gradient,
            slots,
            lr,
            n_updates: *n_updates,
            n_axes: *n_axes,
            weight_decay: *weight_decay,
        };
        calm("in `update`", || optimizer.update(update))?;
        ensure!(all_finite(values), "`update` makes values that are infinite or not numbers");
        for (name, slot) in optimizer.slots().iter().zip(slots) {
            ensure!(slot.len() == n, "`update` changes how many values the slot `{name}` has");
            ensure!(all_finite(slot), "`update` leaves values in the slot `{name}` that are not finite");
        }
        Ok(())
    }
}

/// Without a gradient and without decay, or at a rate of 0, nothing moves.
fn check_rest(optimizer: &dyn Optimizer, n_axes: usize) -> Checked {
    let start = normal("values", 0, 24);
    let mut moving = Moving::new(optimizer, start.clone(), n_axes, Some(0.0));
    for _ in 0..3 {
        moving.step(optimizer, &[0.0; 24], 0.1)?;
    }
    ensure!(
        same_bits(&moving.values, &start),
        "`update` moves a parameter of {n_axes} axes without a gradient, where `weight_decay` of the step is 0"
    );
    let mut moving = Moving::new(optimizer, start.clone(), n_axes, None);
    for step in 0..3 {
        moving.step(optimizer, &normal("gradient", step, 24), 0.0)?;
    }
    ensure!(
        same_bits(&moving.values, &start),
        "`update` moves a parameter at a learning rate of 0, as in the first step of a warm-up"
    );
    // Values that are all 0, as biases are at first.
    Moving::new(optimizer, vec![0.0; 24], n_axes, None).step(optimizer, &normal("gradient", 0, 24), 0.1)?;
    Moving::new(optimizer, vec![0.0; 24], n_axes, None).step(optimizer, &[0.0; 24], 0.1)
}

/// The first step leads against the gradient.
fn check_direction(optimizer: &dyn Optimizer, n_axes: usize) -> Checked {
    let (start, gradient) = (normal("values", 0, 24), normal("gradient", 0, 24));
    let mut moving = Moving::new(optimizer, start.clone(), n_axes, Some(0.0));
    moving.step(optimizer, &gradient, 0.1)?;
    let along: f64 = moving
        .values
        .iter()
        .zip(&start)
        .zip(&gradient)
        .map(|((after, before), g)| (f64::from(*after) - f64::from(*before)) * f64::from(*g))
        .sum();
    ensure!(along < 0.0, "the first step leads along the gradient, not against it: the loss would grow");
    Ok(())
}

/// On a bowl, it comes nearer to the lowest point.
fn check_descent(optimizer: &dyn Optimizer, n_axes: usize) -> Checked {
    let target = normal("target", 0, 24);
    let start: Vec<f32> =
        target.iter().zip(normal("values", 0, 24)).map(|(t, away)| t + 3.0 * away).collect();
    let mut moving = Moving::new(optimizer, start, n_axes, Some(0.0));
    let height = |values: &[f32]| -> f64 {
        values.iter().zip(&target).map(|(v, t)| 0.5 * f64::from(v - t).powi(2)).sum()
    };
    let before = height(&moving.values);
    for _ in 0..200 {
        let gradient: Vec<f32> = moving.values.iter().zip(&target).map(|(v, t)| v - t).collect();
        moving.step(optimizer, &gradient, 0.01)?;
    }
    let after = height(&moving.values);
    ensure!(
        after < before,
        "after 200 steps at a rate of 0.01 on half the square of the distance to a point, it is at {after:.3}, and it began \
         at {before:.3}"
    );
    Ok(())
}

/// All that it keeps is in the slots: one that is built anew goes on as the old one.
fn check_state(plugged: &Plugged<dyn Optimizer>, optimizer: &dyn Optimizer, n_axes: usize) -> Checked {
    let mut moving = Moving::new(optimizer, normal("values", 1, 24), n_axes, None);
    for step in 0..3 {
        moving.step(optimizer, &normal("gradient", step, 24), 0.05)?;
    }
    let other = &*plugged.build(&OptimizerContext)?;
    let mut loaded = moving.clone();
    // What another parameter does in between.
    Moving::new(optimizer, normal("values", 2, 7), n_axes, None).step(
        optimizer,
        &normal("gradient", 9, 7),
        0.05,
    )?;
    for step in 3..5 {
        moving.step(optimizer, &normal("gradient", step, 24), 0.05)?;
        loaded.step(other, &normal("gradient", step, 24), 0.05)?;
    }
    let slots = moving.slots.iter().zip(&loaded.slots);
    ensure!(
        same_bits(&moving.values, &loaded.values) && slots.into_iter().all(|(a, b)| same_bits(a, b)),
        "it goes on in another way after it was built anew with the same slots: all that it keeps must be in its slots"
    );
    Ok(())
}

/// The same bits for any number of threads.
fn check_threads(optimizer: &dyn Optimizer) -> Checked {
    let run = || -> Checked<Moving> {
        let mut moving = Moving::new(optimizer, normal("values", 3, N_MANY), 2, None);
        for step in 0..2 {
            moving.step(optimizer, &normal("gradient", step, N_MANY), 0.05)?;
        }
        Ok(moving)
    };
    let (one, three) = (with_threads(1, run)??, with_threads(3, run)??);
    ensure!(
        same_bits(&one.values, &three.values),
        "a step has other bits with 1 and with 3 threads: where it cuts must not depend on how many there are"
    );
    Ok(())
}
