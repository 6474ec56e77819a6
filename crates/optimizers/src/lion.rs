//! Lion: the sign of a blend of the gradient and its average.

use plugin_api::{ConfigError, Optimizer, Update, UpdateStep};
use tensor_ops::UpdateRule;

use crate::checks::check_size;
use crate::one_slot::update_in_chunks;

/// The config of [`Lion`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LionConfig {
    /// Decoupled weight decay, relative to the learning rate; applies to batch norm and biases too. Lion's paper: 3 to 10
    /// times AdamW's, with a learning rate as many times smaller. Default: 1, ten times that of MoCo v3.
    #[serde(default = "LionConfig::ten_times_moco_v3_weight_decay")]
    pub weight_decay: f64,
    /// Shares of the running average of gradients, each from 0 to below 1: what it has in the blend whose sign is the step,
    /// and what it keeps of itself. Lion's paper: (0.9, 0.99).
    #[serde(default = "LionConfig::paper_betas")]
    pub betas: (f64, f64),
}

impl LionConfig {
    fn ten_times_moco_v3_weight_decay() -> f64 {
        1.0
    }

    fn paper_betas() -> (f64, f64) {
        (0.9, 0.99)
    }
}

/// `p ← (1 − lr λ) p − lr sign(β₁ m + (1 − β₁) g)`, then `m ← β₂ m + (1 − β₂) g` (Chen et al. 2023, arXiv:2302.06675,
/// algorithm 2).
///
/// Every value moves by the learning rate, up or down, so that the rate is 3 to 10 times smaller than AdamW's. It keeps one
/// number for each value, where AdamW keeps two.
#[derive(Debug, Clone)]
pub struct Lion {
    config: LionConfig,
}

impl Lion {
    /// The optimizer for `config`.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: LionConfig) -> Result<Self, ConfigError> {
        let LionConfig { weight_decay, betas } = config;
        check_size("weight_decay", weight_decay, 0.0)?;
        if ![betas.0, betas.1].iter().all(|beta| (0.0..1.0).contains(beta)) {
            let must = "both must be at least 0 and below 1";
            return Err(ConfigError::field("betas", format!("({}, {})", betas.0, betas.1), must));
        }
        Ok(Self { config })
    }

    /// The coefficients of one step.
    fn step(&self, lr: f64, weight_decay: Option<f64>) -> Step {
        let LionConfig { weight_decay: own, betas: (beta1, beta2) } = self.config;
        Step {
            shrink: (1.0 - lr * weight_decay.unwrap_or(own)) as f32,
            blend_kept: beta1 as f32,
            blend_new: (1.0 - beta1) as f32,
            kept: beta2 as f32,
            new: (1.0 - beta2) as f32,
            size: lr as f32,
        }
    }
}

#[derive(Clone, Copy)]
struct Step {
    shrink: f32,
    blend_kept: f32,
    blend_new: f32,
    kept: f32,
    new: f32,
    size: f32,
}

impl Step {
    fn update_chunk(self, values: &mut [f32], gradient: &[f32], average: &mut [f32]) {
        for ((p, g), m) in values.iter_mut().zip(gradient).zip(average) {
            let blend = self.blend_kept * *m + self.blend_new * g;
            *m = self.kept * *m + self.new * g;
            *p = self.shrink * *p - self.size * sign(blend);
        }
    }
}

/// 1 or -1; 0 of 0, as `torch.sign`, and NaN of NaN, so that divergence is seen.
fn sign(value: f32) -> f32 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        value
    }
}

impl Optimizer for Lion {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg"]
    }

    fn update(&self, update: Update<'_>) {
        let Update { values, gradient, slots, lr, weight_decay, .. } = update;
        let step = self.step(lr, weight_decay);
        update_in_chunks(values, gradient, slots, |p, g, m| step.update_chunk(p, g, m));
    }

    fn rule(&self, step: UpdateStep) -> Option<UpdateRule> {
        let Step { shrink, blend_kept, blend_new, kept, new, size } = self.step(step.lr, step.weight_decay);
        Some(UpdateRule::Lion { shrink, blend_kept, blend_new, kept, new, size })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let config = match field {
            "weight_decay" => LionConfig { weight_decay: value, ..self.config },
            _ => return Err(ConfigError::stays_fixed(field, &["weight_decay"])),
        };
        *self = Self::new(config)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::one_slot::CHUNK;

    fn lion(weight_decay: f64, betas: (f64, f64)) -> Lion {
        Lion::new(LionConfig { weight_decay, betas }).unwrap()
    }

    fn update(lion: &Lion, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>], lr: f64) {
        let gradient = &mut gradient.to_vec();
        lion.update(Update { values, gradient, slots, lr, n_updates: 1, n_axes: 1, weight_decay: None });
    }

    #[test]
    fn three_steps_move_as_the_algorithm_says() {
        // Worked out by hand from algorithm 2, with lr = 0.1, weight decay 0.5, betas (0.9, 0.99):
        // blends   [0.05, 0.025, -0.1], [-0.0055, 0.00225, 0.021], [0.1036, -0.0978, -0.0062]
        // averages [0.005, 0.0025, -0.01], [0.00395, 0.002475, -0.0069], [0.0139105, -0.00754975, -0.006831]
        let lion = lion(0.5, (0.9, 0.99));
        let mut values = [1.0, -2.0, 0.5];
        let mut slots = [vec![0.0; 3]];
        let gradients = [[0.5, 0.25, -1.0], [-0.1, 0.0, 0.3], [1.0, -1.0, 0.0]];
        let expected = [
            ([0.85, -2.0, 0.575], [0.005, 0.0025, -0.01]),
            ([0.9075, -2.0, 0.44625], [0.00395, 0.002475, -0.0069]),
            ([0.762125, -1.8, 0.5239375], [0.0139105, -0.00754975, -0.006831]),
        ];
        for (i, (gradient, (expected, averages))) in gradients.iter().zip(expected).enumerate() {
            update(&lion, &mut values, gradient, &mut slots, 0.1);
            let near = |ours: &[f32], theirs: [f64; 3]| {
                ours.iter().zip(theirs).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6)
            };
            assert!(near(&values, expected), "step {i}: {values:?}, expected {expected:?}");
            assert!(near(&slots[0], averages), "step {i}: {slots:?}, expected {averages:?}");
        }
    }

    #[test]
    fn a_step_has_one_size_whatever_the_gradient_is() {
        let mut values = [0.0; 4];
        let gradient = [1e-30, -1e30, 0.0, f32::NAN];
        update(&lion(0.0, (0.9, 0.99)), &mut values, &gradient, &mut [vec![0.0; 4]], 0.25);
        assert_eq!(values[..3], [-0.25, 0.25, 0.0]);
        assert!(values[3].is_nan(), "divergence is seen");
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
        lion(1.0, (0.9, 0.99)).update(update);
        assert_eq!(values, [0.9]);
    }

    #[test]
    fn chunks_give_what_a_single_loop_gives() {
        let lion = lion(0.1, (0.9, 0.99));
        let n = 2 * CHUNK + 13;
        let wave = |scale: f32| (0..n).map(|i| (i as f32 * scale).sin()).collect::<Vec<f32>>();
        let (mut values, gradient, average) = (wave(0.3), wave(0.7), wave(1.1));
        let (mut expected, mut expected_average) = (values.clone(), average.clone());
        lion.step(0.03, None).update_chunk(&mut expected, &gradient, &mut expected_average);
        let mut slots = [average];
        update(&lion, &mut values, &gradient, &mut slots, 0.03);
        assert!(values == expected && slots[0] == expected_average);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let new = |weight_decay, betas| Lion::new(LionConfig { weight_decay, betas });
        assert!(new(0.0, (0.0, 0.0)).is_ok());
        let error = new(0.1, (0.9, 1.0)).unwrap_err().to_string();
        assert_eq!(error, "`betas` is (0.9, 1), but both must be at least 0 and below 1");
        for (weight_decay, betas) in [
            (-0.1, (0.9, 0.99)),
            (f64::NAN, (0.9, 0.99)),
            (f64::INFINITY, (0.9, 0.99)),
            (0.1, (-0.1, 0.99)),
            (0.1, (0.9, f64::NAN)),
        ] {
            assert!(new(weight_decay, betas).is_err(), "{weight_decay} {betas:?}");
        }
    }
}
