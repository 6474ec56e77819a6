//! Whether each rule's kernel does what its code for the host does.

use plugin_api::{Optimizer, Slots, UpdateStep};
use tensor_ops::{Device, Gradients, Parameter, ParameterKind};

use crate::{AdamW, AdamWConfig, Lars, LarsConfig, LarsRule, Lion, LionConfig, Sgd, SgdConfig};

/// A rule that has lost its kernel.
struct OnHost<'a>(&'a dyn Optimizer);

impl Optimizer for OnHost<'_> {
    fn slots(&self) -> &'static [&'static str] {
        self.0.slots()
    }

    fn update(&self, update: plugin_api::Update<'_>) {
        self.0.update(update);
    }
}

fn wave(len: usize, scale: f32) -> Vec<f32> {
    (0..len).map(|i| ((i + 1) as f32 * scale).sin()).collect()
}

/// Values and slots after three steps.
fn run(
    optimizer: &dyn Optimizer,
    (shape, values): (&[usize], &[f32]),
    gradient_scale: f32,
    weight_decay: Option<f64>,
) -> Vec<Vec<f32>> {
    let kind = if shape.len() == 2 { ParameterKind::Matrix } else { ParameterKind::Vector };
    let mut parameter = Parameter::new(&Device::default(), kind, shape, values.to_vec()).unwrap();
    let mut slots = Slots::zeros(optimizer, shape);
    for (i, lr) in [0.3, 0.3, 0.1].into_iter().enumerate() {
        let mut gradients = Gradients::default();
        let gradient = wave(values.len(), 0.7 + i as f32).into_iter().map(|g| g * gradient_scale).collect();
        parameter.put_gradient(&mut gradients, gradient).unwrap();
        let step = UpdateStep { lr, n_updates: i as u64 + 1, n_axes: shape.len(), weight_decay };
        step.run(optimizer, &mut parameter, &mut gradients, &mut slots).unwrap();
    }
    let mut all = vec![parameter.to_vec()];
    all.extend(slots.iter().map(|(_, slot)| slot.to_vec()));
    all
}

/// In a build for the CPU, this compares the host with itself.
#[test]
fn three_steps_on_the_device_are_those_of_the_host() {
    let lars = |rule| LarsConfig { momentum: 0.9, weight_decay: 1e-3, trust: 0.02, rule };
    let optimizers: [(&str, Box<dyn Optimizer>); 5] = [
        ("sgd", Box::new(Sgd::new(SgdConfig { momentum: 0.9, weight_decay: 1e-2 }).unwrap())),
        ("lars", Box::new(Lars::new(lars(LarsRule::MocoV3)).unwrap())),
        ("lars of bolts", Box::new(Lars::new(lars(LarsRule::Bolts)).unwrap())),
        (
            "adamw",
            Box::new(AdamW::new(AdamWConfig { weight_decay: 0.1, betas: (0.9, 0.999), eps: 1e-8 }).unwrap()),
        ),
        ("lion", Box::new(Lion::new(LionConfig { weight_decay: 0.1, betas: (0.9, 0.99) }).unwrap())),
    ];
    let shapes: [&[usize]; 5] = [&[1], &[37], &[1, 1], &[37, 11], &[130, 300]];
    for (name, optimizer) in &optimizers {
        for shape in shapes {
            // Values or gradients of 0 leave the rate of a layer undefined.
            for (value_scale, gradient_scale) in [(1.0, 0.5), (0.0, 0.5), (1.0, 0.0)] {
                for weight_decay in [None, Some(0.0), Some(0.5)] {
                    let len = shape.iter().product();
                    let values: Vec<f32> = wave(len, 0.3).into_iter().map(|p| p * value_scale).collect();
                    let moved = |optimizer| run(optimizer, (shape, &values), gradient_scale, weight_decay);
                    let (ours, expected) = (moved(&**optimizer), moved(&OnHost(&**optimizer)));
                    for (ours, expected) in ours.iter().zip(&expected) {
                        let scale = expected.iter().fold(1e-6_f32, |scale, value| scale.max(value.abs()));
                        for (i, (ours, expected)) in ours.iter().zip(expected).enumerate() {
                            assert!(
                                (ours - expected).abs() <= 1e-6 * scale,
                                "{name}, {shape:?}, {weight_decay:?}: value {i} is {ours}, not {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
