//! Stochastic gradient descent, as in PyTorch.

use plugin_api::{ConfigError, Optimizer, Update, UpdateStep};
use tensor_ops::{LayerRate, UpdateRule};

use crate::checks::check_size;
use crate::one_slot::update_in_chunks;

/// The config of [`Sgd`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// Momentum, from 0 to below 1. MoCo v1, v2: 0.9.
    #[serde(default = "SgdConfig::moco_momentum")]
    pub momentum: f64,
    /// L2 penalty on all parameters, including batch norm and biases. MoCo v1, v2: 1e-4; its CIFAR-10 demo: 5e-4.
    #[serde(default = "SgdConfig::moco_weight_decay")]
    pub weight_decay: f64,
}

impl SgdConfig {
    fn moco_momentum() -> f64 {
        0.9
    }

    fn moco_weight_decay() -> f64 {
        1e-4
    }
}

/// `µ ← m µ + (g + λ p)`, then `p ← p − lr µ`: torch.optim.SGD without dampening and Nesterov momentum.
///
/// Weight decay is part of the gradient, not of the step, and the learning rate is outside of the momentum.
#[derive(Debug, Clone)]
pub struct Sgd {
    config: SgdConfig,
}

impl Sgd {
    /// The optimizer for `config`.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: SgdConfig) -> Result<Self, ConfigError> {
        let SgdConfig { momentum, weight_decay } = config;
        if !(0.0..1.0).contains(&momentum) {
            return Err(ConfigError::field("momentum", momentum, "it must be at least 0 and below 1"));
        }
        check_size("weight_decay", weight_decay, 0.0)?;
        Ok(Self { config })
    }

    /// The numbers of a step; a group may have its own weight decay.
    fn step(&self, lr: f64, weight_decay: Option<f64>) -> Step {
        let SgdConfig { momentum, weight_decay: own } = self.config;
        let weight_decay = weight_decay.unwrap_or(own) as f32;
        Step { momentum: momentum as f32, weight_decay, lr: lr as f32 }
    }
}

#[derive(Clone, Copy)]
struct Step {
    momentum: f32,
    weight_decay: f32,
    lr: f32,
}

impl Step {
    fn update_chunk(self, values: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        for ((p, g), v) in values.iter_mut().zip(gradient).zip(velocity) {
            *v = self.momentum * *v + (g + self.weight_decay * *p);
            *p -= self.lr * *v;
        }
    }
}

impl Optimizer for Sgd {
    fn slots(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn update(&self, update: Update<'_>) {
        let Update { values, gradient, slots, lr, weight_decay, .. } = update;
        let step = self.step(lr, weight_decay);
        update_in_chunks(values, gradient, slots, |p, g, v| step.update_chunk(p, g, v));
    }

    fn rule(&self, step: UpdateStep) -> Option<UpdateRule> {
        let Step { momentum, weight_decay, lr } = self.step(step.lr, step.weight_decay);
        let rate = LayerRate::One;
        Some(UpdateRule::Momentum { momentum, weight_decay: f64::from(weight_decay), lr, rate })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let config = match field {
            "momentum" => SgdConfig { momentum: value, ..self.config },
            "weight_decay" => SgdConfig { weight_decay: value, ..self.config },
            _ => return Err(ConfigError::stays_fixed(field, &["momentum", "weight_decay"])),
        };
        *self = Self::new(config)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::one_slot::CHUNK;

    fn sgd(momentum: f64, weight_decay: f64) -> Sgd {
        Sgd::new(SgdConfig { momentum, weight_decay }).unwrap()
    }

    fn step(
        sgd: &Sgd,
        values: &mut [f32],
        gradient: &[f32],
        slots: &mut [Vec<f32>],
        lr: f64,
        n_updates: u64,
    ) {
        let gradient = &mut gradient.to_vec();
        sgd.update(Update { values, gradient, slots, lr, n_updates, n_axes: 1, weight_decay: None });
    }

    #[test]
    fn three_steps_move_as_in_pytorch() {
        // p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
        // o = torch.optim.SGD([p], lr=0.1, momentum=0.9, weight_decay=0.01)
        // for g in ([0.5, 0.25, -1.0], [-0.1, 0.0, 0.3], [1.0, -1.0, 0.0]): p.grad = torch.tensor(g).double(); o.step()
        let sgd = sgd(0.9, 0.01);
        let mut values = [1.0, -2.0, 0.5];
        let mut slots = [vec![0.0; 3]];
        let gradients = [[0.5, 0.25, -1.0], [-0.1, 0.0, 0.3], [1.0, -1.0, 0.0]];
        let expected = [
            [0.949, -2.023, 0.5995],
            [0.912151, -2.041677, 0.6584505],
            [0.778074749, -1.956444623, 0.7108475995],
        ];
        for (i, (gradient, expected)) in gradients.iter().zip(expected).enumerate() {
            step(&sgd, &mut values, gradient, &mut slots, 0.1, i as u64 + 1);
            for (p, e) in values.iter().zip(expected) {
                assert!((f64::from(*p) - e).abs() < 1e-6, "step {i}: {values:?}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn a_group_has_its_own_weight_decay() {
        let mut values = [1.0];
        let update = Update {
            values: &mut values,
            gradient: &mut [0.5],
            slots: &mut [vec![0.0]],
            lr: 0.1,
            n_updates: 1,
            n_axes: 1,
            weight_decay: Some(0.0),
        };
        sgd(0.9, 0.1).update(update);
        assert_eq!(values, [0.95]);
    }

    #[test]
    fn a_change_of_rate_does_not_touch_the_momentum() {
        let sgd = sgd(0.5, 0.0);
        let mut values = [0.0];
        let mut slots = [vec![0.0]];
        step(&sgd, &mut values, &[1.0], &mut slots, 1.0, 1);
        step(&sgd, &mut values, &[0.0], &mut slots, 0.1, 2);
        assert_eq!((values[0], slots[0][0]), (-1.05, 0.5));
    }

    #[test]
    fn chunks_give_what_a_single_loop_gives() {
        let sgd = sgd(0.9, 1e-4);
        let n = 2 * CHUNK + 13;
        let wave = |scale: f32| (0..n).map(|i| (i as f32 * scale).sin()).collect::<Vec<f32>>();
        let (mut values, gradient, velocity) = (wave(0.3), wave(0.7), wave(1.1));
        let (mut expected, mut expected_velocity) = (values.clone(), velocity.clone());
        sgd.step(0.03, None).update_chunk(&mut expected, &gradient, &mut expected_velocity);
        let mut slots = [velocity];
        step(&sgd, &mut values, &gradient, &mut slots, 0.03, 5);
        assert!(values == expected && slots[0] == expected_velocity);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (momentum, weight_decay) in
            [(1.0, 0.0), (-0.1, 0.0), (f64::NAN, 0.0), (0.9, -1.0), (0.9, f64::INFINITY)]
        {
            assert!(Sgd::new(SgdConfig { momentum, weight_decay }).is_err(), "{momentum} {weight_decay}");
        }
    }
}
