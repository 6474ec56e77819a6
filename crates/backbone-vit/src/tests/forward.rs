//! What comes out, and what flows back.

use std::collections::BTreeMap;

use dfdx::prelude::HasShape;
use plugin_api::{Backbone as _, Entry, EntryMut, Module as _};
use tensor_ops::{Mode, Recording, backward, weighted_sum};

use super::{CONV, SMALL, images, parameter, visit_parameters, vit, with};
use crate::Vit;

const VARIATIONS: [&str; 8] = [
    "",
    "layer_scale: 0.5, registers: 3",
    "freeze_patch_projection: true",
    "position: Learned",
    "position: None",
    "pool: Mean",
    "pool: MeanWithoutNorm",
    "pool: MeanWithoutNorm, position: Learned, mlp_ratio: 1.5",
];

#[test]
fn every_variation_gives_features_of_its_width_for_images_of_any_sides() {
    for image_size in [(8, 8), (24, 40), (40, 24)] {
        for fields in VARIATIONS {
            let mut vit = vit(&with(SMALL, fields), image_size);
            let features = vit.forward(images(3, image_size, Recording::Off), Mode::Train).unwrap();
            assert_eq!(*features.shape(), (3, 16), "{fields}");
            assert_eq!(vit.n_features(), 16);
            assert!(features.as_vec().iter().all(|value| value.is_finite()));
        }
    }
    for image_size in [(16, 16), (32, 48)] {
        let mut vit = vit(CONV, image_size);
        let features = vit.forward(images(3, image_size, Recording::Off), Mode::Train).unwrap();
        assert_eq!(*features.shape(), (3, 16));
    }
}

#[test]
fn images_of_a_size_that_the_network_cannot_take_are_an_error() {
    let refused = |fields: &str, size, mode| {
        let mut vit = vit(&with(SMALL, fields), (24, 40));
        let error = vit.forward(images(3, size, Recording::Off), mode).map(drop).unwrap_err();
        let expected = format!("vit: height and width of the images must be (24, 40), got {size:?}");
        assert_eq!(error.to_string(), expected);
    };
    for fields in ["", "position: None, pool: Mean"] {
        refused(fields, (24, 44), Mode::Eval);
    }
    refused("position: Learned", (40, 20), Mode::Train);
    let error = vit(SMALL, (24, 40)).check_image_size((24, 44), Mode::Eval).unwrap_err();
    assert_eq!(error.to_string(), "images of 24x44 pixels cannot be cut into patches of 8x8");
}

/// A network that was built for the size, with all other parameters the same.
#[test]
fn images_of_another_size_are_measured_with_positions_of_their_grid() {
    let size = (40, 32);
    for fields in ["", "position: None, pool: Mean", "pool: MeanWithoutNorm"] {
        let config = with(SMALL, fields);
        let mut trained = vit(&config, (24, 40));
        trained.check_image_size(size, Mode::Train).unwrap();
        let features =
            |vit: &mut Vit| vit.forward(images(3, size, Recording::Off), Mode::Eval).unwrap().as_vec();
        assert_eq!(features(&mut trained), features(&mut vit(&config, size)), "{fields}");
    }
    let mut learned = vit(&with(SMALL, "position: Learned"), (24, 40));
    learned.check_image_size(size, Mode::Eval).unwrap();
    let features = learned.forward(images(3, size, Recording::Off), Mode::Eval).unwrap();
    assert!(features.as_vec().iter().all(|value| value.is_finite()));
    // Its own size is left as it was.
    assert_eq!(parameter(&learned, "pos_embed").shape(), [1, 16, 16]);
}

/// Changes the table of positions.
fn change_positions(vit: &mut Vit, change: impl Fn(&mut [f32])) {
    vit.visit_mut(&mut |name, entry| {
        if let ("pos_embed", EntryMut::Parameter(table)) = (name, entry) {
            let mut values = table.to_vec();
            change(&mut values);
            table.set_from_torch(&table.torch_shape(), &values).unwrap();
        }
    });
}

#[test]
fn learned_positions_are_trained_at_another_size_too() {
    let size = (16, 24);
    for fields in ["position: Learned, registers: 1", "position: Learned, pool: Mean"] {
        let mut vit = vit(&with(SMALL, fields), (24, 40));
        vit.check_image_size(size, Mode::Train).unwrap();
        // As large as trained ones: a class token of almost nothing and positions of 0.02 would bend within a step of differences.
        change_positions(&mut vit, |values| values.iter_mut().for_each(|value| *value *= 25.0));
        let weights: Vec<f32> = (0..3 * 16).map(|i| (i as f32 * 1.3).cos()).collect();
        let loss = |vit: &mut Vit, mode| -> f64 {
            let features = vit.forward(images(3, size, Recording::Off), mode).unwrap().as_vec();
            features.iter().zip(&weights).map(|(value, weight)| f64::from(value * weight)).sum()
        };
        let (trained, measured) = (loss(&mut vit, Mode::Train), loss(&mut vit, Mode::Eval));
        assert!((trained - measured).abs() < 1e-4, "{fields}: {trained}, {measured}");
        let features = vit.forward(images(3, size, Recording::start()), Mode::Train).unwrap();
        let mut gradients = backward(weighted_sum(features, &weights).unwrap()).unwrap();
        let mut gradient = Vec::new();
        visit_parameters(&vit, |name, table| {
            if name == "pos_embed" {
                gradient = table.gradient(&mut gradients).unwrap().unwrap();
            }
        });
        let n_before = gradient.len() / 16 - 15;
        let mut largest = 0.0_f64;
        // Of the rows before the patches, and of patches.
        for place in [0, n_before * 16 + 3, (n_before + 7) * 16 + 9, gradient.len() - 1] {
            let step = 1e-2;
            let mut moved = |by: f32| {
                change_positions(&mut vit, |values| values[place] += by);
                let loss = loss(&mut vit, Mode::Train);
                change_positions(&mut vit, |values| values[place] -= by);
                loss
            };
            let difference = (moved(step) - moved(-step)) / f64::from(2.0 * step);
            let error = (f64::from(gradient[place]) - difference).abs();
            assert!(
                error < 0.02 * difference.abs() + 5e-4,
                "{fields}, {place}: {difference}, off by {error}"
            );
            largest = largest.max(difference.abs());
        }
        assert!(largest > 0.02, "{fields}: {largest}");
    }
}

#[test]
fn a_gradient_reaches_everything_that_is_trained_and_nothing_that_is_fixed() {
    let patches = VARIATIONS.map(|fields| with(SMALL, fields));
    for config in patches.iter().map(String::as_str).chain([CONV]) {
        let mut vit = vit(config, (16, 32));
        // The values of the token that the loss sees enter with weights, because their plain sum of squares is almost the
        // same whatever comes in: layer norm sees to that.
        let features = vit.forward(images(4, (16, 32), Recording::start()), Mode::Train).unwrap();
        let shape = *features.shape();
        let weights: Vec<f32> = (0..shape.0 * shape.1).map(|i| (i as f32 * 1.3).cos()).collect();
        let mut gradients = backward(weighted_sum(features, &weights).unwrap()).unwrap();
        visit_parameters(&vit, |name, parameter| {
            let gradient = parameter.gradient(&mut gradients).unwrap();
            let arrived = gradient.is_some_and(|gradient| gradient.iter().any(|value| *value != 0.0));
            assert_eq!(arrived, parameter.is_trainable(), "{config}: {name}");
        });
    }
}

#[test]
fn evaluation_changes_nothing() {
    let state = |vit: &Vit| {
        let mut state = Vec::new();
        vit.visit(&mut |_, entry| match entry {
            Entry::Parameter(parameter) => state.push(parameter.to_vec()),
            Entry::Buffer(buffer) => state.push(buffer.to_vec()),
            Entry::Counter(count) => state.push(vec![count as f32]),
        });
        state
    };
    let mut vit = vit(CONV, (32, 32));
    let before = state(&vit);
    vit.forward(images(2, (32, 32), Recording::Off), Mode::Eval).unwrap();
    assert!(before == state(&vit));
    vit.forward(images(2, (32, 32), Recording::Off), Mode::Train).unwrap();
    assert!(before != state(&vit), "running statistics move");
}

/// The network by its definition, one image and one number at a time, in double precision.
struct Oracle {
    parameters: BTreeMap<String, Vec<f64>>,
    dim: usize,
    n_heads: usize,
}

type Rows = Vec<Vec<f64>>;

impl Oracle {
    /// With parameters that differ from 0 and 1, in PyTorch's order.
    fn of(vit: &mut Vit, dim: usize, n_heads: usize) -> Self {
        let mut parameters = BTreeMap::new();
        vit.visit_mut(&mut |name, entry| {
            let EntryMut::Parameter(parameter) = entry else { return };
            if name.ends_with("bias") || name.contains("norm") {
                let values: Vec<f32> = parameter.to_vec();
                let moved = values.iter().enumerate().map(|(i, value)| value + 0.3 * (i as f32).sin());
                parameter.set(&moved.collect::<Vec<_>>()).unwrap();
            }
            let values = parameter.to_torch().1.into_iter().map(f64::from).collect();
            parameters.insert(name.to_owned(), values);
        });
        Self { parameters, dim, n_heads }
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let (scale, shift) =
            (&self.parameters[&format!("{name}.weight")], &self.parameters[&format!("{name}.bias")]);
        let normed = x.iter().map(|row| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let normal = row.iter().map(|value| (value - mean) / (variance + 1e-6).sqrt());
            normal.zip(scale.iter().zip(shift)).map(|(value, (scale, shift))| value * scale + shift).collect()
        });
        normed.collect()
    }

    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let (weight, bias) =
            (&self.parameters[&format!("{name}.weight")], &self.parameters[&format!("{name}.bias")]);
        let dot = |weights: &[f64], row: &[f64]| weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>();
        x.iter()
            .map(|row| {
                weight.chunks(row.len()).zip(bias).map(|(weights, bias)| dot(weights, row) + bias).collect()
            })
            .collect()
    }

    fn attention(&self, name: &str, x: &Rows) -> Rows {
        let (dim, head_dim) = (self.dim, self.dim / self.n_heads);
        let qkv = self.linear(&format!("{name}.qkv"), x);
        let mut mixed = vec![vec![0.0; dim]; x.len()];
        for head in 0..self.n_heads {
            let part = |row: &[f64], which: usize| row[which * dim + head * head_dim..][..head_dim].to_vec();
            for (query_row, mixed) in qkv.iter().zip(&mut mixed) {
                let query = part(query_row, 0);
                let score = |key: &[f64]| {
                    query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (head_dim as f64).sqrt()
                };
                let weights: Vec<f64> = qkv.iter().map(|row| score(&part(row, 1)).exp()).collect();
                let total = weights.iter().sum::<f64>();
                for (row, weight) in qkv.iter().zip(&weights) {
                    for (i, value) in part(row, 2).into_iter().enumerate() {
                        mixed[head * head_dim + i] += weight / total * value;
                    }
                }
            }
        }
        self.linear(&format!("{name}.proj"), &mixed)
    }

    fn block(&self, name: &str, x: Rows) -> Rows {
        let add = |x: Rows, y: Rows| -> Rows {
            x.into_iter().zip(y).map(|(x, y)| x.into_iter().zip(y).map(|(x, y)| x + y).collect()).collect()
        };
        let y = self.attention(&format!("{name}.attn"), &self.norm(&format!("{name}.norm1"), &x));
        let x = add(x, y);
        let y = self.linear(&format!("{name}.mlp.fc1"), &self.norm(&format!("{name}.norm2"), &x));
        let y = y.into_iter().map(|row| row.into_iter().map(gelu).collect()).collect();
        add(x, self.linear(&format!("{name}.mlp.fc2"), &y))
    }

    /// Class token first, `(T, D)`, of an image `(H, W, 3)`.
    fn tokens(&self, image: &[f32], (h, w): (usize, usize), patch: usize) -> Rows {
        let mut rows = vec![self.parameters["cls_token"].clone()];
        for (top, left) in
            (0..h).step_by(patch).flat_map(|top| (0..w).step_by(patch).map(move |left| (top, left)))
        {
            let pixel = |i: usize| {
                let (channel, y, x) = (i / (patch * patch), i / patch % patch, i % patch);
                f64::from(image[((top + y) * w + left + x) * 3 + channel])
            };
            let pixels = vec![(0..3 * patch * patch).map(pixel).collect()];
            rows.extend(self.linear("patch_embed.proj", &pixels));
        }
        for (row, position) in rows.iter_mut().zip(self.parameters["pos_embed"].chunks(self.dim)) {
            row.iter_mut().zip(position).for_each(|(value, position)| *value += position);
        }
        rows
    }
}

/// `x Φ(x)` with the error function by its series, good to 1e-12 for the arguments here.
fn gelu(x: f64) -> f64 {
    let z = x / 2.0_f64.sqrt();
    let (mut term, mut sum) = (z, z);
    for n in 1..200 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

#[test]
fn features_are_those_of_the_definition() {
    let image_size = (16, 24);
    let mut vit = vit(SMALL, image_size);
    let oracle = Oracle::of(&mut vit, 16, 2);
    let images = images(2, image_size, Recording::Off);
    let values = images.to_nhwc();
    let features = vit.forward(images, Mode::Eval).unwrap().as_vec();
    for (image, features) in values.chunks(16 * 24 * 3).zip(features.chunks(16)) {
        let mut x = oracle.tokens(image, image_size, 8);
        for name in ["blocks.0", "blocks.1"] {
            x = oracle.block(name, x);
        }
        let expected = &oracle.norm("norm", &x)[0];
        for (value, expected) in features.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-4, "{features:?}\n{expected:?}");
        }
    }
}

/// ```python
/// import torch
/// from functools import partial
/// from timm.models.vision_transformer import VisionTransformer  # timm 1.0
/// norm = partial(torch.nn.LayerNorm, eps=1e-6)
/// m = VisionTransformer(img_size=16, patch_size=8, embed_dim=8, depth=2, num_heads=2, num_classes=0,
///                       init_values=1.0, reg_tokens=2, norm_layer=norm)
/// def drawn(k, t):
///     return ((torch.arange(t.numel()).double() * 0.7 + k).sin() / 2).float().reshape(t.shape)
/// m.load_state_dict({name: drawn(k, t) for k, (name, t) in enumerate(m.state_dict().items())})
/// x = (torch.arange(1536.0) * 0.37).sin().reshape(2, 16, 16, 3).permute(0, 3, 1, 2)
/// print(m.eval()(x))
/// ```
#[test]
fn features_with_scales_and_registers_are_those_of_timm() {
    let fields = "(patch: 8, dim: 8, depth: 2, heads: 2, layer_scale: 1.0, registers: 2, position: Learned)";
    let mut vit = vit(fields, (16, 16));
    let mut place = 0;
    vit.visit_mut(&mut |_, entry| {
        let EntryMut::Parameter(parameter) = entry else { panic!("it has parameters only") };
        let n = parameter.n_elements();
        let values: Vec<f32> =
            (0..n).map(|i| ((i as f64 * 0.7 + f64::from(place)).sin() / 2.0) as f32).collect();
        parameter.set_from_torch(&parameter.torch_shape(), &values).unwrap();
        place += 1;
    });
    let features = vit.forward(images(2, (16, 16), Recording::Off), Mode::Eval).unwrap();
    #[rustfmt::skip]
    let expected = [
        0.93596, -0.10336, -0.35989, -0.51459, 0.13304, -0.80854, 0.61926, 0.43478,
        0.93458, -0.10255, -0.35996, -0.51244, 0.12751, -0.81232, 0.61961, 0.43394,
    ];
    for (found, expected) in features.as_vec().iter().zip(expected) {
        assert!((found - expected).abs() < 3e-5, "{found}, expected {expected}");
    }
}
