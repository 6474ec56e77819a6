//! LARS: SGD with layer-wise adaptive learning rates.

use plugin_api::{ConfigError, Optimizer, Update, UpdateStep};
use rayon::prelude::*;
use tensor_ops::{LayerRate, UpdateRule};

use crate::checks::{LEAST, check_size};
use crate::one_slot::{CHUNK, update_in_chunks};

/// The config of [`Lars`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LarsConfig {
    /// Momentum, from 0 to below 1. MoCo v3: 0.9.
    #[serde(default = "LarsConfig::moco_v3_momentum")]
    pub momentum: f64,
    /// L2 penalty on matrices and kernels; none on batch norm and biases. MoCo v3: 1e-6, and 1.5e-6 for 1000 epochs.
    #[serde(default = "LarsConfig::moco_v3_weight_decay")]
    pub weight_decay: f64,
    /// Trust coefficient η: how far a layer moves in one step at learning rate 1, relative to its norm. MoCo v3,
    /// lightly: 0.001; solo-learn's configs: 0.02.
    #[serde(default = "LarsConfig::moco_v3_trust")]
    pub trust: f64,
    /// Denominator of a layer's learning rate. MocoV3: the norm of gradient plus decay, as in MoCo v3's code. Bolts:
    /// the sum of their norms, as in PyTorch Lightning Bolts, lightly and solo-learn.
    #[serde(default = "LarsConfig::moco_v3_rule")]
    pub rule: LarsRule,
}

/// How the learning rate of a layer follows from the norms of its values `p` and its gradient `g`; `λ` is the weight
/// decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub enum LarsRule {
    /// `η ‖p‖ / ‖g + λ p‖`: MoCo v3's code.
    MocoV3,
    /// `η ‖p‖ / (‖g‖ + λ ‖p‖ + 1e-8)`: PyTorch Lightning Bolts, and after it lightly and solo-learn; the paper's Eq. 6.
    Bolts,
}

impl LarsConfig {
    fn moco_v3_momentum() -> f64 {
        0.9
    }

    fn moco_v3_weight_decay() -> f64 {
        1e-6
    }

    fn moco_v3_trust() -> f64 {
        0.001
    }

    fn moco_v3_rule() -> LarsRule {
        LarsRule::MocoV3
    }
}

/// `µ ← m µ + q (g + λ p)`, then `p ← p − lr µ`, with `q` the learning rate of the layer, see [`LarsRule`] (You et al.
/// 2017, arXiv:1708.03888).
///
/// Parameters with one axis, which are batch norm and biases, have `q = 1` and no decay. The same holds for a layer
/// whose `q` would be a division of or by 0, except that [`LarsRule::MocoV3`] still decays it. The learning rate is
/// outside of the momentum, unlike in the paper, which makes a difference when it changes.
#[derive(Debug, Clone)]
pub struct Lars {
    config: LarsConfig,
}

impl Lars {
    /// The optimizer for `config`.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: LarsConfig) -> Result<Self, ConfigError> {
        let LarsConfig { momentum, weight_decay, trust, rule: _ } = config;
        if !(0.0..1.0).contains(&momentum) {
            return Err(ConfigError::field("momentum", momentum, "it must be at least 0 and below 1"));
        }
        check_size("weight_decay", weight_decay, 0.0)?;
        check_size("trust", trust, LEAST)?;
        Ok(Self { config })
    }

    /// The coefficients of one step of a parameter with more than one axis.
    fn scaled_step(&self, lr: f64, weight_decay: f64, values: &[f32], gradient: &[f32]) -> Step {
        let LarsConfig { momentum, trust, rule, .. } = self.config;
        let step = |weight_decay, rate: f64| Step {
            momentum: momentum as f32,
            weight_decay: weight_decay as f32,
            rate: rate as f32,
            lr: lr as f32,
        };
        match rule {
            LarsRule::MocoV3 => {
                let [length, of_gradient] = lengths(values, gradient, weight_decay as f32);
                let is_defined = length > 0.0 && of_gradient > 0.0;
                step(weight_decay, if is_defined { trust * length / of_gradient } else { 1.0 })
            }
            LarsRule::Bolts => {
                const EPS: f64 = 1e-8;
                let [length, of_gradient] = lengths(values, gradient, 0.0);
                if length > 0.0 && of_gradient > 0.0 {
                    step(weight_decay, trust * length / (of_gradient + weight_decay * length + EPS))
                } else {
                    step(0.0, 1.0)
                }
            }
        }
    }
}

/// The norms of `p` and of `g + λ p`.
///
/// Chunks are summed in double precision and then in order, so the result does not depend on the number of threads.
fn lengths(values: &[f32], gradient: &[f32], weight_decay: f32) -> [f64; 2] {
    let chunks = values.par_chunks(CHUNK).zip(gradient.par_chunks(CHUNK));
    let squares: Vec<[f64; 2]> = chunks.map(|(p, g)| squares_of_chunk(p, g, weight_decay)).collect();
    let sum = squares.iter().fold([0.0; 2], |sum, square| [sum[0] + square[0], sum[1] + square[1]]);
    sum.map(f64::sqrt)
}

fn squares_of_chunk(values: &[f32], gradient: &[f32], weight_decay: f32) -> [f64; 2] {
    // Several sums side by side, for vector units.
    const N_SUMS: usize = 8;
    let mut of_values = [0.0_f64; N_SUMS];
    let mut of_gradient = [0.0_f64; N_SUMS];
    for (values, gradient) in values.chunks(N_SUMS).zip(gradient.chunks(N_SUMS)) {
        for (i, (p, g)) in values.iter().zip(gradient).enumerate() {
            let decayed = f64::from(g + weight_decay * p);
            of_values[i] += f64::from(*p) * f64::from(*p);
            of_gradient[i] += decayed * decayed;
        }
    }
    [of_values.iter().sum(), of_gradient.iter().sum()]
}

#[derive(Clone, Copy)]
struct Step {
    momentum: f32,
    weight_decay: f32,
    rate: f32,
    lr: f32,
}

impl Step {
    fn update_chunk(self, values: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
        for ((p, g), v) in values.iter_mut().zip(gradient).zip(velocity) {
            *v = self.momentum * *v + self.rate * (g + self.weight_decay * *p);
            *p -= self.lr * *v;
        }
    }
}

impl Optimizer for Lars {
    fn slots(&self) -> &'static [&'static str] {
        &["momentum"]
    }

    fn update(&self, update: Update<'_>) {
        let Update { values, gradient, slots, lr, weight_decay, n_axes, .. } = update;
        let weight_decay = weight_decay.unwrap_or(self.config.weight_decay);
        let step = if n_axes > 1 {
            self.scaled_step(lr, weight_decay, values, gradient)
        } else {
            Step { momentum: self.config.momentum as f32, weight_decay: 0.0, rate: 1.0, lr: lr as f32 }
        };
        update_in_chunks(values, gradient, slots, |p, g, v| step.update_chunk(p, g, v));
    }

    fn rule(&self, step: UpdateStep) -> Option<UpdateRule> {
        let LarsConfig { momentum, weight_decay, trust, rule } = self.config;
        let (weight_decay, rate) = match (step.n_axes > 1, rule) {
            (false, _) => (0.0, LayerRate::One),
            (true, LarsRule::MocoV3) => {
                (step.weight_decay.unwrap_or(weight_decay), LayerRate::OfWhole { trust })
            }
            (true, LarsRule::Bolts) => {
                (step.weight_decay.unwrap_or(weight_decay), LayerRate::OfSum { trust })
            }
        };
        Some(UpdateRule::Momentum { momentum: momentum as f32, weight_decay, lr: step.lr as f32, rate })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let config = match field {
            "momentum" => LarsConfig { momentum: value, ..self.config },
            "weight_decay" => LarsConfig { weight_decay: value, ..self.config },
            "trust" => LarsConfig { trust: value, ..self.config },
            _ => return Err(ConfigError::stays_fixed(field, &["momentum", "weight_decay", "trust"])),
        };
        *self = Self::new(config)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lars(weight_decay: f64, rule: LarsRule) -> Lars {
        Lars::new(LarsConfig { momentum: 0.9, weight_decay, trust: 0.02, rule }).unwrap()
    }

    const GRADIENTS: [[f32; 4]; 3] = [[0.5, 0.25, -1.0, 2.0], [-0.1, 0.0, 0.3, 0.2], [1.0, -1.0, 0.0, 0.5]];

    /// Four values over the steps of [`GRADIENTS`], at the rates 0.3, 0.3 and 0.1.
    fn run(lars: &Lars, n_axes: usize, weight_decay: Option<f64>) -> [[f64; 4]; 3] {
        let mut values = [1.0, -2.0, 0.5, 3.0];
        let mut slots = [vec![0.0; 4]];
        let mut lrs = [0.3, 0.3, 0.1].into_iter();
        GRADIENTS.map(|gradient| {
            lars.update(Update {
                values: &mut values,
                gradient: &mut gradient.to_vec(),
                slots: &mut slots,
                lr: lrs.next().unwrap(),
                n_updates: 1,
                n_axes,
                weight_decay,
            });
            values.map(f64::from)
        })
    }

    #[track_caller]
    fn assert_near(ours: [[f64; 4]; 3], theirs: [[f64; 4]; 3]) {
        let near = ours.iter().flatten().zip(theirs.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near, "{ours:?}, expected {theirs:?}");
    }

    #[test]
    fn matrices_move_as_in_moco_v3() {
        // p = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64); mu = torch.zeros(2, 2).double()
        // for g, lr in (([[0.5, 0.25], [-1.0, 2.0]], .3), ([[-0.1, 0.0], [0.3, 0.2]], .3), ([[1.0, -1.0], [0.0, 0.5]], .1)):
        //     g = torch.tensor(g).double() + 0.1 * p                                  # weight decay
        //     g = g * (0.02 * p.norm() / g.norm()); mu = 0.9 * mu + g; p = p - lr * mu  # trust 0.02
        let expected = [
            [0.9946920896, -2.0004423259, 0.5084041915, 2.9796530101],
            [0.9899336407, -1.9938039276, 0.5036272646, 2.9438249498],
            [0.9839853391, -1.986878694, 0.5019870168, 2.9298087976],
        ];
        assert_near(run(&lars(0.1, LarsRule::MocoV3), 2, None), expected);
    }

    #[test]
    fn matrices_move_as_in_bolts_with_its_rule() {
        // as above, with q = 0.02 * p.norm() / (g.norm() + 0.1 * p.norm() + 1e-8) before g = (g + 0.1 * p) * q
        let expected = [
            [0.9949337108, -2.0004221908, 0.5080216246, 2.9805792246],
            [0.9903892854, -1.9947866551, 0.5046920483, 2.9481233328],
            [0.9846494246, -1.9883194955, 0.5034921997, 2.9352215067],
        ];
        assert_near(run(&lars(0.1, LarsRule::Bolts), 2, None), expected);
    }

    #[test]
    fn vectors_have_neither_scale_nor_decay() {
        // the values of p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 3.0]).double()) under
        // torch.optim.SGD([p], lr=lr, momentum=0.9), with the gradients and rates from above
        let expected = [
            [0.85, -2.075, 0.8, 2.4],
            [0.7450000004, -2.1425, 0.9799999964, 1.7999999991],
            [0.6135000006, -2.06275, 1.0339999954, 1.5699999988],
        ];
        for rule in [LarsRule::MocoV3, LarsRule::Bolts] {
            assert_near(run(&lars(0.1, rule), 1, None), expected);
            assert_near(run(&lars(0.1, rule), 0, Some(0.5)), expected);
        }
    }

    #[test]
    fn a_group_has_its_own_weight_decay() {
        for rule in [LarsRule::MocoV3, LarsRule::Bolts] {
            assert_eq!(run(&lars(0.1, rule), 4, Some(0.0)), run(&lars(0.0, rule), 4, None));
            assert_ne!(run(&lars(0.1, rule), 4, Some(0.0)), run(&lars(0.1, rule), 4, None));
        }
    }

    /// One value at rate 1 without momentum.
    fn move_one(rule: LarsRule, value: f32, gradient: f32) -> f32 {
        let lars = Lars::new(LarsConfig { momentum: 0.0, weight_decay: 0.5, trust: 0.02, rule }).unwrap();
        let mut values = [value];
        lars.update(Update {
            values: &mut values,
            gradient: &mut [gradient],
            slots: &mut [vec![0.0]],
            lr: 1.0,
            n_updates: 1,
            n_axes: 2,
            weight_decay: None,
        });
        values[0]
    }

    #[test]
    fn where_a_length_is_zero_the_gradient_is_taken_as_it_is() {
        assert_eq!(move_one(LarsRule::MocoV3, 0.0, 0.25), -0.25);
        assert_eq!(move_one(LarsRule::Bolts, 0.0, 0.25), -0.25);
        // Decay and gradient cancel: nothing is left to move by.
        assert_eq!(move_one(LarsRule::MocoV3, 1.0, -0.5), 1.0);
        // Without a gradient the decayed one has a length, and Bolts leaves the decay out.
        assert_eq!(move_one(LarsRule::MocoV3, 1.0, 0.0), 0.98);
        assert_eq!(move_one(LarsRule::Bolts, 1.0, 0.0), 1.0);
    }

    #[test]
    fn chunks_and_threads_give_what_a_single_loop_gives() {
        let n = 2 * CHUNK + 13;
        let wave = |scale: f32| (0..n).map(|i| (i as f32 * scale).sin()).collect::<Vec<f32>>();
        let (values, gradient, velocity) = (wave(0.3), wave(0.7), wave(1.1));
        let lars = lars(0.1, LarsRule::MocoV3);
        let length = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
        };
        let decayed = |(p, g): (&f32, &f32)| g + 0.1 * p;
        let lengths =
            [length(&mut values.iter().copied()), length(&mut values.iter().zip(&gradient).map(decayed))];
        let step = lars.scaled_step(0.3, 0.1, &values, &gradient);
        assert!((f64::from(step.rate) / (0.02 * lengths[0] / lengths[1]) - 1.0).abs() < 1e-6);
        let (mut expected, mut expected_velocity) = (values.clone(), velocity.clone());
        step.update_chunk(&mut expected, &gradient, &mut expected_velocity);
        for n_threads in [1, 3] {
            let (mut values, mut slots) = (values.clone(), [velocity.clone()]);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| {
                lars.update(Update {
                    values: &mut values,
                    gradient: &mut gradient.clone(),
                    slots: &mut slots,
                    lr: 0.3,
                    n_updates: 9,
                    n_axes: 4,
                    weight_decay: None,
                });
            });
            assert!(values == expected && slots[0] == expected_velocity, "{n_threads} threads");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let new = |momentum, weight_decay, trust| {
            Lars::new(LarsConfig { momentum, weight_decay, trust, rule: LarsRule::MocoV3 })
        };
        assert!(new(0.0, 0.0, 1.0).is_ok());
        let error = new(0.9, 0.0, 0.0).unwrap_err().to_string();
        assert_eq!(error, "`trust` is 0, but it must be from 1e-12 to 1000000");
        for (momentum, weight_decay, trust) in [
            (1.0, 0.0, 1.0),
            (-0.1, 0.0, 1.0),
            (f64::NAN, 0.0, 1.0),
            (0.9, -1.0, 1.0),
            (0.9, f64::INFINITY, 1.0),
            (0.9, 0.0, -1.0),
            (0.9, 0.0, f64::NAN),
        ] {
            assert!(new(momentum, weight_decay, trust).is_err(), "{momentum} {weight_decay} {trust}");
        }
    }
}
