use std::collections::BTreeMap;

use dfdx::prelude::HasShape as _;
use plugin_api::{Backbone as _, Config, Entry, EntryMut, Module as _, ModuleContext, PassDraws};
use tensor_ops::{Device, FeatureMap, Mode, Parameter, Recording, backward, weighted_sum};

use crate::{ConvNext, ConvNextConfig};

const SMALL: &str = "(blocks: [1, 2, 1, 1], width: 4, patch: 2, layer_scale: 0.5)";

fn context(image_size: (usize, usize)) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs: 3,
        map: None,
        image_size,
        batch: 4,
        parts: 1,
        processes: std::sync::Arc::new(plugin_api::processes::Alone),
        seed: 1,
        name: "backbone".into(),
    }
}

fn built(config: &str, image_size: (usize, usize)) -> Result<ConvNext, plugin_api::ConfigError> {
    let config: ConvNextConfig = Config::new(config).parse().unwrap();
    ConvNext::new(config, &context(image_size))
}

fn images(n: usize, (h, w): (usize, usize), recording: Recording) -> FeatureMap {
    let values: Vec<f32> = (0..n * h * w * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    FeatureMap::from_nhwc(&Device::default(), [n, h, w, 3], &values, recording).unwrap()
}

fn visit_parameters(net: &ConvNext, mut visitor: impl FnMut(&str, &Parameter)) {
    net.visit(&mut |name, entry| match entry {
        Entry::Parameter(parameter) => visitor(name, parameter),
        Entry::Buffer(_) | Entry::Counter(_) => panic!("{name} is no parameter"),
    });
}

#[test]
fn names_shapes_and_their_order_are_those_of_timms_state_dict() {
    // timm.create_model("convnext_tiny", patch_size=2, depths=(1, 2, 1, 1), dims=(4, 8, 16, 32)).state_dict(), but for head.fc
    let mut list = Vec::new();
    visit_parameters(&built(SMALL, (32, 32)).unwrap(), |name, parameter| {
        list.push((name.to_owned(), parameter.torch_shape()));
    });
    let block = |stage: usize, block: usize, d: usize| {
        let shapes: [(&str, Vec<usize>); 9] = [
            ("gamma", vec![d]),
            ("conv_dw.weight", vec![d, 1, 7, 7]),
            ("conv_dw.bias", vec![d]),
            ("norm.weight", vec![d]),
            ("norm.bias", vec![d]),
            ("mlp.fc1.weight", vec![4 * d, d]),
            ("mlp.fc1.bias", vec![4 * d]),
            ("mlp.fc2.weight", vec![d, 4 * d]),
            ("mlp.fc2.bias", vec![d]),
        ];
        shapes.map(|(name, shape)| (format!("stages.{stage}.blocks.{block}.{name}"), shape))
    };
    let halving = |stage: usize, d: usize| {
        [
            ("0.weight", vec![d]),
            ("0.bias", vec![d]),
            ("1.weight", vec![2 * d, d, 2, 2]),
            ("1.bias", vec![2 * d]),
        ]
        .map(|(name, shape)| (format!("stages.{stage}.downsample.{name}"), shape))
    };
    let mut expected: Vec<(String, Vec<usize>)> = vec![
        ("stem.0.weight".into(), vec![4, 3, 2, 2]),
        ("stem.0.bias".into(), vec![4]),
        ("stem.1.weight".into(), vec![4]),
        ("stem.1.bias".into(), vec![4]),
    ];
    expected.extend(block(0, 0, 4));
    expected.extend(halving(1, 4));
    expected.extend(block(1, 0, 8));
    expected.extend(block(1, 1, 8));
    expected.extend(halving(2, 8));
    expected.extend(block(2, 0, 16));
    expected.extend(halving(3, 16));
    expected.extend(block(3, 0, 32));
    expected.push(("head.norm.weight".into(), vec![32]));
    expected.push(("head.norm.bias".into(), vec![32]));
    assert_eq!(list, expected);
}

#[test]
fn the_smallest_published_size_has_as_many_parameters_as_torchvisions() {
    let mut n = 0;
    let net = built("(preset: Tiny)", (224, 224)).unwrap();
    visit_parameters(&net, |_, parameter| n += parameter.n_elements());
    // sum(p.numel() for p in torchvision.models.convnext_tiny().parameters()), less those of its classifier's last layer
    assert_eq!(n, 28_589_128 - (768 * 1000 + 1000));
    assert_eq!((net.n_features(), net.n_layers()), (768, 19));
}

#[test]
fn the_stem_and_each_block_are_a_layer() {
    let net = built(SMALL, (32, 32)).unwrap();
    for (name, layer) in [
        ("stem.1.bias", Some(0)),
        ("stages.0.blocks.0.gamma", Some(1)),
        ("stages.1.downsample.1.weight", Some(2)),
        ("stages.1.blocks.0.norm.weight", Some(2)),
        ("stages.1.blocks.1.norm.weight", Some(3)),
        ("stages.3.blocks.0.mlp.fc2.bias", Some(5)),
        ("head.norm.weight", None),
    ] {
        assert_eq!(net.layer_of(name), layer, "{name}");
    }
    assert_eq!(net.n_layers(), 6);
}

#[test]
fn a_gradient_reaches_every_parameter() {
    let mut net = built(SMALL, (16, 24)).unwrap();
    let features = net.forward(images(4, (16, 24), Recording::start()), Mode::Train).unwrap();
    let (n, d) = *features.shape();
    assert_eq!((n, d), (4, net.n_features()));
    let weights: Vec<f32> = (0..n * d).map(|i| (i as f32 * 1.3).cos()).collect();
    let mut gradients = backward(weighted_sum(features, &weights).unwrap()).unwrap();
    visit_parameters(&net, |name, parameter| {
        let gradient = parameter.gradient(&mut gradients).unwrap();
        assert!(gradient.is_some_and(|gradient| gradient.iter().any(|value| *value != 0.0)), "{name}");
    });
}

/// The network by its definition, one image and one number at a time, in double precision.
struct Oracle(BTreeMap<String, Vec<f64>>);

/// Rows of pixels, each with its channels.
type Map = Vec<Vec<Vec<f64>>>;

impl Oracle {
    /// With parameters that differ from 0 and 1, in PyTorch's order.
    fn of(net: &mut ConvNext) -> Self {
        let mut parameters = BTreeMap::new();
        net.visit_mut(&mut |name, entry| {
            let EntryMut::Parameter(parameter) = entry else { panic!("{name} is no parameter") };
            let scale = if name.ends_with("weight") && !name.contains("norm") { 8.0 } else { 1.0 };
            let moved = parameter.to_vec().into_iter().enumerate();
            let moved: Vec<f32> = moved.map(|(i, value)| scale * value + 0.2 * (i as f32).sin()).collect();
            parameter.set(&moved).unwrap();
            let values = parameter.to_torch().1.into_iter().map(f64::from).collect();
            parameters.insert(name.to_owned(), values);
        });
        Self(parameters)
    }

    fn pair(&self, name: &str) -> (&[f64], &[f64]) {
        (&self.0[&format!("{name}.weight")], &self.0[&format!("{name}.bias")])
    }

    fn norm(&self, name: &str, pixel: &[f64]) -> Vec<f64> {
        let (scale, shift) = self.pair(name);
        let mean = pixel.iter().sum::<f64>() / pixel.len() as f64;
        let variance = pixel.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / pixel.len() as f64;
        let normal = pixel.iter().map(|value| (value - mean) / (variance + 1e-6).sqrt());
        normal.zip(scale.iter().zip(shift)).map(|(value, (scale, shift))| value * scale + shift).collect()
    }

    fn linear(&self, name: &str, pixel: &[f64]) -> Vec<f64> {
        let (weight, bias) = self.pair(name);
        let dot = |weights: &[f64]| weights.iter().zip(pixel).map(|(w, x)| w * x).sum::<f64>();
        weight.chunks(pixel.len()).zip(bias).map(|(weights, bias)| dot(weights) + bias).collect()
    }

    /// `of_channels` are the input channels that an output sees.
    fn conv(
        &self,
        name: &str,
        x: &Map,
        (side, stride, padding): (usize, usize, usize),
        of_channels: impl Fn(usize) -> std::ops::Range<usize>,
    ) -> Map {
        let (weight, bias) = self.pair(name);
        let (h, w) = (x.len(), x[0].len());
        let n = |size: usize| (size + 2 * padding - side) / stride + 1;
        let value = |top: usize, left: usize, o: usize| {
            let mut sum = bias[o];
            for (i, channel) in of_channels(o).enumerate() {
                for (dy, dx) in (0..side).flat_map(|dy| (0..side).map(move |dx| (dy, dx))) {
                    let (y, x_at) = (
                        (top * stride + dy).wrapping_sub(padding),
                        (left * stride + dx).wrapping_sub(padding),
                    );
                    if y < h && x_at < w {
                        let place = ((o * of_channels(o).len() + i) * side + dy) * side + dx;
                        sum += weight[place] * x[y][x_at][channel];
                    }
                }
            }
            sum
        };
        let pixel = |top: usize, left: usize| (0..bias.len()).map(|o| value(top, left, o)).collect();
        (0..n(h)).map(|top| (0..n(w)).map(|left| pixel(top, left)).collect()).collect()
    }

    fn block(&self, name: &str, x: &Map) -> Map {
        let depthwise = self.conv(&format!("{name}.conv_dw"), x, (7, 1, 3), |o| o..o + 1);
        let gamma = &self.0[&format!("{name}.gamma")];
        let pixel = |depthwise: &Vec<f64>, x: &Vec<f64>| -> Vec<f64> {
            let hidden =
                self.linear(&format!("{name}.mlp.fc1"), &self.norm(&format!("{name}.norm"), depthwise));
            let hidden: Vec<f64> = hidden.into_iter().map(gelu).collect();
            let branch = self.linear(&format!("{name}.mlp.fc2"), &hidden);
            x.iter().zip(branch.iter().zip(gamma)).map(|(x, (branch, gamma))| x + gamma * branch).collect()
        };
        let row =
            |(a, b): (&Vec<Vec<f64>>, &Vec<Vec<f64>>)| a.iter().zip(b).map(|(a, b)| pixel(a, b)).collect();
        depthwise.iter().zip(x).map(row).collect()
    }

    fn norm_map(&self, name: &str, x: &Map) -> Map {
        x.iter().map(|row| row.iter().map(|pixel| self.norm(name, pixel)).collect()).collect()
    }

    fn features(&self, image: &Map) -> Vec<f64> {
        let mut x = self.norm_map("stem.1", &self.conv("stem.0", image, (2, 2, 0), |_| 0..3));
        for (stage, n_blocks) in [1, 2, 1, 1].into_iter().enumerate() {
            if stage > 0 {
                let name = format!("stages.{stage}.downsample");
                let channels = x[0][0].len();
                x = self.norm_map(&format!("{name}.0"), &x);
                x = self.conv(&format!("{name}.1"), &x, (2, 2, 0), |_| 0..channels);
            }
            for block in 0..n_blocks {
                x = self.block(&format!("stages.{stage}.blocks.{block}"), &x);
            }
        }
        let pixels: Vec<&Vec<f64>> = x.iter().flatten().collect();
        let mean =
            |channel: usize| pixels.iter().map(|pixel| pixel[channel]).sum::<f64>() / pixels.len() as f64;
        self.norm("head.norm", &(0..pixels[0].len()).map(mean).collect::<Vec<_>>())
    }
}

/// `x Φ(x)` with the error function by its series, good to 1e-9 for the arguments here.
fn gelu(x: f64) -> f64 {
    let z = x / 2.0_f64.sqrt();
    if z.abs() > 5.0 {
        return x.max(0.0);
    }
    let (mut term, mut sum) = (z, z);
    for n in 1..300 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    0.5 * x * (1.0 + 2.0 / std::f64::consts::PI.sqrt() * sum)
}

#[test]
fn features_are_those_of_the_definition() {
    // Sides that do not halve evenly, too.
    for size in [(16, 32), (22, 18)] {
        let mut net = built(SMALL, size).unwrap();
        let oracle = Oracle::of(&mut net);
        let images = images(2, size, Recording::Off);
        let values = images.to_nhwc();
        let features = net.forward(images, Mode::Eval).unwrap().as_vec();
        for (image, features) in values.chunks(size.0 * size.1 * 3).zip(features.chunks(32)) {
            let pixel = |pixel: &[f32]| pixel.iter().map(|&value| f64::from(value)).collect();
            let image: Map = image.chunks(size.1 * 3).map(|row| row.chunks(3).map(pixel).collect()).collect();
            let expected = oracle.features(&image);
            for (ours, expected) in features.iter().zip(&expected) {
                assert!((f64::from(*ours) - expected).abs() < 2e-4, "{size:?}: {ours} is not {expected}");
            }
        }
    }
}

#[test]
fn images_of_any_size_that_leaves_something_are_taken() {
    let mut net = built(SMALL, (32, 32)).unwrap();
    for size in [(16, 16), (17, 40)] {
        for mode in [Mode::Train, Mode::Eval] {
            net.check_image_size(size, mode).unwrap();
            let features = net.forward(images(2, size, Recording::Off), mode).unwrap();
            assert_eq!(*features.shape(), (2, 32));
        }
    }
    let error = net.check_image_size((32, 15), Mode::Eval).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nothing is left of images of 32x15 pixels after patches of 2 and three halvings"
    );
    assert!(net.forward(images(2, (32, 15), Recording::Off), Mode::Eval).is_err());
}

#[test]
fn a_part_of_a_batch_drops_the_paths_of_the_whole() {
    let pass = |net: &mut ConvNext, places: std::ops::Range<u64>, mode| {
        let n = (places.end - places.start) as usize;
        net.set_draws(PassDraws { seed: 3, pass: "queries".into(), step: 7, places: places.collect() });
        let whole = images(8, (16, 16), Recording::Off);
        let part = whole.select_images(&(8 - n..8).collect::<Vec<_>>()).unwrap();
        net.forward(part, mode).unwrap().as_vec()
    };
    let mut net =
        built("(blocks: [1, 2, 1, 1], width: 4, patch: 2, layer_scale: 0.5, drop_path: 0.5)", (16, 16))
            .unwrap();
    let (whole, part) = (pass(&mut net, 0..8, Mode::Train), pass(&mut net, 4..8, Mode::Train));
    for (whole, part) in whole[4 * 32..].iter().zip(&part) {
        assert!((whole - part).abs() < 1e-5, "{whole} {part}");
    }
    assert_ne!(whole, pass(&mut net, 0..8, Mode::Eval));
    net.set_drop_path(0.0).unwrap();
    assert_eq!(pass(&mut net, 0..8, Mode::Train), pass(&mut net, 0..8, Mode::Eval));
    assert!(net.set_drop_path(1.0).is_err());
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |config: &str| built(config, (32, 32)).map(drop).unwrap_err().to_string();
    assert_eq!(refused("(width: 8)"), "this ConvNeXt has no `blocks`, and no `preset` to take them from");
    assert!(refused("()").contains("no `blocks` and `width`"));
    assert!(refused("(blocks: [1, 1, 1, 1])").contains("no `width`"));
    assert!(built("(preset: Tiny, blocks: [1, 1, 1, 1], width: 4)", (32, 32)).is_ok());
    for fields in [
        "blocks: [1, 0, 1, 1]",
        "blocks: [1, 1, 1]",
        "width: 0",
        "width: 4096",
        "patch: 0",
        "patch: 64",
        "layer_scale: 0.0",
        "layer_scale: 2.0",
        "drop_path: 1.0",
    ] {
        let name = fields.split(':').next().unwrap();
        assert!(
            refused(&format!("(preset: Tiny, {fields})")).starts_with(&format!("`{name}` is ")),
            "{fields}"
        );
    }
    let error = built("(preset: Tiny)", (24, 24)).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("nothing is left of images of 24x24 pixels"));
}
