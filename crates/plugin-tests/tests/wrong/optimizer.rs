use std::sync::atomic::{AtomicU32, Ordering};

use plugin_api::{ConfigError, Optimizer, OptimizerContext, Update};

use crate::faulty;

faulty! {
    dyn Optimizer "optimizer", FaultyOptimizer::new;
    SlotsOfOneName: ["two slots have the name `momentum`"];
    Uphill: ["the first step leads along the gradient"];
    MovesWithoutGradient: ["without a gradient, where `weight_decay` of the step is 0"];
    IgnoresTheGroup: ["without a gradient, where `weight_decay` of the step is 0"];
    IgnoresTheRate: ["at a learning rate of 0"];
    Overshoots: ["after 200 steps at a rate of 0.01"];
    KeepsHidden: ["all that it keeps must be in its slots"];
    ByThreads: ["a step has other bits with 1 and with 3 threads"];
    DividesByNothing: ["`update` makes values that are infinite or not numbers"];
    DropsASlot: ["`update` changes how many values the slot `momentum` has"];
    PanicsOnKernels: ["it panics in `update`"];
    TakesAnyNumber: ["`set_number` takes the number `no_number_of_this_name`"];
}

/// Gradient descent.
struct FaultyOptimizer(Fault, AtomicU32);

impl FaultyOptimizer {
    fn new(fault: Fault, _: &OptimizerContext) -> Result<Self, ConfigError> {
        Ok(Self(fault, AtomicU32::new(0)))
    }
}

impl Optimizer for FaultyOptimizer {
    fn slots(&self) -> &'static [&'static str] {
        match self.0 {
            Fault::SlotsOfOneName => &["momentum", "momentum"],
            Fault::DropsASlot => &["momentum"],
            _ => &[],
        }
    }

    fn update(&self, update: Update<'_>) {
        let Self(fault, n_calls) = self;
        let Update { values, gradient, slots, mut lr, n_axes, weight_decay, .. } = update;
        assert!(*fault != Fault::PanicsOnKernels || n_axes < 4, "no kernels");
        let decay = match fault {
            Fault::IgnoresTheGroup => 0.1,
            _ => weight_decay.unwrap_or(0.1),
        };
        match fault {
            Fault::Uphill => lr = -lr,
            Fault::IgnoresTheRate => lr = 0.1,
            Fault::Overshoots => lr *= 205.0,
            Fault::KeepsHidden => lr *= 1.0 + f64::from(n_calls.fetch_add(1, Ordering::Relaxed)),
            Fault::DropsASlot => slots[0].clear(),
            Fault::ByThreads => lr *= 1.0 + 0.1 * rayon::current_num_threads() as f64,
            Fault::DividesByNothing => {
                let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
                gradient.iter_mut().for_each(|g| *g /= length);
            }
            _ => {}
        }
        for (value, gradient) in values.iter_mut().zip(gradient) {
            let more = if *fault == Fault::MovesWithoutGradient { 1.0 } else { 0.0 };
            *value -= (lr * (f64::from(*gradient) + decay * f64::from(*value) + more)) as f32;
        }
    }

    fn set_number(&mut self, name: &str, _: f64) -> Result<(), ConfigError> {
        if self.0 == Fault::TakesAnyNumber { Ok(()) } else { Err(ConfigError::stays_fixed(name, &[])) }
    }
}
