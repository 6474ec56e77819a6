//! Adam with decoupled weight decay, as PyTorch defines it.

use plugin_api::{ConfigError, Optimizer, Update, UpdateStep};
use rayon::prelude::*;
use tensor_ops::UpdateRule;

use crate::checks::{LEAST, check_size};

/// Values that one thread updates at once: 64 KiB of each array, so that the four of them stay in its cache.
const CHUNK: usize = 1 << 14;

/// The config of [`AdamW`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decoupled weight decay, relative to the learning rate; applies to batch norm and biases too. MoCo v3: 0.1.
    /// PyTorch's default: 0.01.
    #[serde(default = "AdamWConfig::moco_v3_weight_decay")]
    pub weight_decay: f64,
    /// Decay rates of the running averages of the gradient and its square, each from 0 to below 1. PyTorch, MoCo v3:
    /// (0.9, 0.999).
    #[serde(default = "AdamWConfig::pytorch_betas")]
    pub betas: (f64, f64),
    /// Term ε that is added to the denominator. PyTorch, MoCo v3: 1e-8.
    #[serde(default = "AdamWConfig::pytorch_eps")]
    pub eps: f64,
}

impl AdamWConfig {
    fn moco_v3_weight_decay() -> f64 {
        0.1
    }

    fn pytorch_betas() -> (f64, f64) {
        (0.9, 0.999)
    }

    fn pytorch_eps() -> f64 {
        1e-8
    }
}

/// `p ← (1 − lr λ) p`, then `p ← p − lr m̂ / (√v̂ + ε)`: torch.optim.AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101,
/// algorithm 2).
///
/// `m̂` and `v̂` are the moving averages of `g` and `g²` with bias correction: each is divided by `1 − βᵗ` after `t`
/// steps. Weight decay acts on the parameter alone, and not through the averages.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: AdamWConfig,
}

impl AdamW {
    /// The optimizer for `config`.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: AdamWConfig) -> Result<Self, ConfigError> {
        let AdamWConfig { weight_decay, betas, eps } = config;
        check_size("weight_decay", weight_decay, 0.0)?;
        if ![betas.0, betas.1].iter().all(|beta| (0.0..1.0).contains(beta)) {
            let must = "both must be at least 0 and below 1";
            return Err(ConfigError::field("betas", format!("({}, {})", betas.0, betas.1), must));
        }
        check_size("eps", eps, LEAST)?;
        Ok(Self { config })
    }

    /// The coefficients of one step.
    fn step(&self, lr: f64, n_updates: u64, weight_decay: Option<f64>) -> Step {
        let AdamWConfig { betas: (beta1, beta2), eps, .. } = self.config;
        let weight_decay = weight_decay.unwrap_or(self.config.weight_decay);
        let filled = |beta: f64| 1.0 - beta.powf(n_updates as f64);
        // In double precision up to here, as in PyTorch, where Python computes them.
        Step {
            shrink: (1.0 - lr * weight_decay) as f32,
            first_new: (1.0 - beta1) as f32,
            second_kept: beta2 as f32,
            second_new: (1.0 - beta2) as f32,
            root_of_filled: filled(beta2).sqrt() as f32,
            eps: eps as f32,
            size: (lr / filled(beta1)) as f32,
        }
    }
}

#[derive(Clone, Copy)]
struct Step {
    shrink: f32,
    first_new: f32,
    second_kept: f32,
    second_new: f32,
    root_of_filled: f32,
    eps: f32,
    size: f32,
}

impl Step {
    fn update_chunk(self, values: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let averages = first.iter_mut().zip(second);
        for ((p, g), (m, v)) in values.iter_mut().zip(gradient).zip(averages) {
            *m += self.first_new * (g - *m);
            *v = self.second_kept * *v + self.second_new * (g * g);
            let root = v.sqrt() / self.root_of_filled + self.eps;
            *p = self.shrink * *p - self.size * (*m / root);
        }
    }
}

impl Optimizer for AdamW {
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn update(&self, update: Update<'_>) {
        let Update { values, gradient, slots, lr, n_updates, weight_decay, .. } = update;
        let [first, second] = slots else { panic!("the trainer keeps one buffer for each name of `slots`") };
        assert!(
            values.len() == gradient.len() && values.len() == first.len() && values.len() == second.len(),
            "the gradient and the slots of a parameter have its length"
        );
        let step = self.step(lr, n_updates, weight_decay);
        // Elements are independent, so the result does not depend on the number of threads.
        let averages = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let chunks = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(averages);
        chunks.for_each(|((p, g), (m, v))| step.update_chunk(p, g, m, v));
    }

    fn rule(&self, step: UpdateStep) -> Option<UpdateRule> {
        let Step { shrink, first_new, second_kept, second_new, root_of_filled, eps, size } =
            self.step(step.lr, step.n_updates, step.weight_decay);
        Some(UpdateRule::AdamW { shrink, first_new, second_kept, second_new, root_of_filled, eps, size })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let config = match field {
            "weight_decay" => AdamWConfig { weight_decay: value, ..self.config },
            _ => return Err(ConfigError::stays_fixed(field, &["weight_decay"])),
        };
        *self = Self::new(config)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adamw(weight_decay: f64, betas: (f64, f64), eps: f64) -> AdamW {
        AdamW::new(AdamWConfig { weight_decay, betas, eps }).unwrap()
    }

    /// Three values over the steps of `gradients`, at the rates of `lrs`.
    fn run(adamw: &AdamW, lrs: [f64; 3], weight_decay: Option<f64>) -> [[f64; 3]; 3] {
        let mut values = [1.0, -2.0, 0.5];
        let mut slots = [vec![0.0; 3], vec![0.0; 3]];
        let gradients = [[0.5, 0.25, -1.0], [-0.1, 0.0, 0.3], [1.0, -1.0, 0.0]];
        let mut n_updates = 0;
        gradients.map(|gradient: [f32; 3]| {
            n_updates += 1;
            adamw.update(Update {
                values: &mut values,
                gradient: &mut gradient.to_vec(),
                slots: &mut slots,
                lr: lrs[n_updates - 1],
                n_updates: n_updates as u64,
                n_axes: 1,
                weight_decay,
            });
            values.map(f64::from)
        })
    }

    #[track_caller]
    fn assert_near(ours: [[f64; 3]; 3], theirs: [[f64; 3]; 3]) {
        let near = ours.iter().flatten().zip(theirs.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{ours:?}, expected {theirs:?}");
    }

    #[test]
    fn three_steps_move_as_in_pytorch() {
        // p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
        // o = torch.optim.AdamW([p], lr=0.1, weight_decay=0.1)
        // for g in ([0.5, 0.25, -1.0], [-0.1, 0.0, 0.3], [1.0, -1.0, 0.0]): p.grad = torch.tensor(g).double(); o.step()
        let expected = [
            [0.890000002, -2.079999996, 0.594999999],
            [0.8299973959, -2.1262058177, 0.6318348566],
            [0.7468455797, -2.0555165715, 0.6585893268],
        ];
        assert_near(run(&adamw(0.1, (0.9, 0.999), 1e-8), [0.1; 3], None), expected);
    }

    #[test]
    fn betas_eps_and_a_changing_rate_are_those_of_pytorch() {
        // as above, with o = torch.optim.AdamW([p], betas=(0.8, 0.95), eps=0.1, weight_decay=0.5), and before each step
        // o.param_groups[0]["lr"] = lr for lr in (0.0, 0.1, 0.02)
        let expected = [
            [1.0, -2.0, 0.5],
            [0.9134713328, -1.9404782834, 0.5084552403],
            [0.8909281835, -1.9113562486, 0.5081325828],
        ];
        assert_near(run(&adamw(0.5, (0.8, 0.95), 0.1), [0.0, 0.1, 0.02], None), expected);
    }

    #[test]
    fn a_group_has_its_own_weight_decay() {
        let own = run(&adamw(0.1, (0.9, 0.999), 1e-8), [0.1; 3], Some(0.0));
        assert_eq!(own, run(&adamw(0.0, (0.9, 0.999), 1e-8), [0.1; 3], None));
        assert_ne!(own, run(&adamw(0.1, (0.9, 0.999), 1e-8), [0.1; 3], None));
    }

    #[test]
    fn a_value_without_a_gradient_only_shrinks() {
        let mut values = [2.0];
        let mut slots = [vec![0.0], vec![0.0]];
        let update = Update {
            values: &mut values,
            gradient: &mut [0.0],
            slots: &mut slots,
            lr: 0.5,
            n_updates: 1,
            n_axes: 1,
            weight_decay: Some(0.5),
        };
        adamw(0.1, (0.9, 0.999), 1e-8).update(update);
        assert_eq!((values[0], slots), (1.5, [vec![0.0], vec![0.0]]));
    }

    #[test]
    fn a_late_step_is_no_longer_corrected() {
        let mut values = [0.0];
        let mut slots = [vec![0.5], vec![0.25]];
        let update = Update {
            values: &mut values,
            gradient: &mut [0.5],
            slots: &mut slots,
            lr: 0.1,
            n_updates: 1 << 40,
            n_axes: 1,
            weight_decay: None,
        };
        adamw(0.0, (0.9, 0.999), 1e-8).update(update);
        assert!((values[0] + 0.1).abs() < 1e-7, "{values:?}");
    }

    #[test]
    fn chunks_give_what_a_single_loop_gives() {
        let n = 2 * CHUNK + 13;
        let wave = |scale: f32| (0..n).map(|i| (i as f32 * scale).sin()).collect::<Vec<f32>>();
        let (mut values, mut gradient, first) = (wave(0.3), wave(0.7), wave(1.1));
        let second: Vec<f32> = wave(1.3).iter().map(|v| v * v).collect();
        let (mut expected, mut slots) = (values.clone(), [first.clone(), second.clone()]);
        let (mut expected_first, mut expected_second) = (first, second);
        let adamw = adamw(0.1, (0.9, 0.999), 1e-8);
        adamw.step(1e-3, 7, None).update_chunk(
            &mut expected,
            &gradient,
            &mut expected_first,
            &mut expected_second,
        );
        adamw.update(Update {
            values: &mut values,
            gradient: &mut gradient,
            slots: &mut slots,
            lr: 1e-3,
            n_updates: 7,
            n_axes: 2,
            weight_decay: None,
        });
        assert!(values == expected && slots == [expected_first, expected_second]);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let new = |weight_decay, betas, eps| AdamW::new(AdamWConfig { weight_decay, betas, eps });
        assert!(new(0.0, (0.0, 0.0), 1e-8).is_ok());
        let error = new(0.1, (0.9, 1.0), 1e-8).unwrap_err().to_string();
        assert_eq!(error, "`betas` is (0.9, 1), but both must be at least 0 and below 1");
        for (weight_decay, betas, eps) in [
            (-0.1, (0.9, 0.999), 1e-8),
            (f64::NAN, (0.9, 0.999), 1e-8),
            (f64::INFINITY, (0.9, 0.999), 1e-8),
            (0.1, (-0.1, 0.999), 1e-8),
            (0.1, (0.9, f64::NAN), 1e-8),
            (0.1, (0.9, 0.999), 0.0),
            (0.1, (0.9, 0.999), f64::INFINITY),
        ] {
            assert!(new(weight_decay, betas, eps).is_err(), "{weight_decay} {betas:?} {eps}");
        }
    }
}
