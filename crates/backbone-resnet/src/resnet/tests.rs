//! The whole network, built and run.

use dfdx::prelude::HasShape;
use tensor_ops::{Device, Parameter, Recording, backward, to_rows, weighted_sum};

use plugin_api::Entry;
use plugin_api::processes::Alone;
use std::sync::Arc;

use super::*;

fn context(size_px: usize, batch: usize) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs: 3,
        map: None,
        image_size: (size_px, size_px),
        batch,
        parts: 1,
        processes: Arc::new(Alone),
        seed: 1,
        name: "backbone".into(),
    }
}

fn config(depth: usize, width: usize, stem: Stem) -> ResNetConfig {
    ResNetConfig { depth: Some(depth), width, stem, ..ResNetConfig::default() }
}

fn small(depth: usize) -> ResNet {
    ResNet::new(config(depth, 4, Stem::Cifar), &context(8, 4)).unwrap()
}

fn images(n: usize, size_px: usize, recording: Recording) -> FeatureMap {
    let values: Vec<f32> = (0..n * size_px * size_px * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    FeatureMap::from_nhwc(&Device::default(), [n, size_px, size_px, 3], &values, recording).unwrap()
}

fn visit_parameters(resnet: &ResNet, mut visitor: impl FnMut(&str, &Parameter)) {
    resnet.visit(&mut |name, entry| {
        if let Entry::Parameter(parameter) = entry {
            visitor(name, parameter);
        }
    });
}

fn n_parameters(depth: usize) -> usize {
    let mut n = 0;
    let resnet = ResNet::new(config(depth, 64, Stem::ImageNet), &context(224, 4)).unwrap();
    visit_parameters(&resnet, |_, parameter| n += parameter.n_elements());
    n
}

#[test]
fn parameters_are_as_many_as_in_torchvision() {
    // sum(p.numel() for n, p in torchvision.models.resnet18().named_parameters() if not n.startswith("fc."))
    assert_eq!(n_parameters(18), 11_176_512);
    assert_eq!(n_parameters(34), 21_284_672);
    assert_eq!(n_parameters(50), 23_508_032);
}

#[test]
fn names_and_their_order_are_those_of_torchvisions_state_dict() {
    let names = |depth| {
        let mut names = Vec::new();
        small(depth).visit(&mut |name, _| names.push(name.to_string()));
        names
    };
    let norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];
    let layer = |conv: &str, bn: &str| -> Vec<String> {
        let norm = norm.iter().map(|name| format!("{bn}.{name}"));
        std::iter::once(format!("{conv}.weight")).chain(norm).collect()
    };
    let resnet18 = names(18);
    assert_eq!(resnet18.len(), 120);
    assert_eq!(resnet18[..6], layer("conv1", "bn1"));
    assert_eq!(resnet18[6..12], layer("layer1.0.conv1", "layer1.0.bn1"));
    assert_eq!(resnet18[30..36], layer("layer2.0.conv1", "layer2.0.bn1"));
    assert_eq!(resnet18[42..48], layer("layer2.0.downsample.0", "layer2.0.downsample.1"));
    assert_eq!(resnet18[114..], layer("layer4.1.conv2", "layer4.1.bn2"));
    let resnet50 = names(50);
    assert_eq!(resnet50.len(), 318);
    assert_eq!(resnet50[18..24], layer("layer1.0.conv3", "layer1.0.bn3"));
    assert_eq!(resnet50[24..30], layer("layer1.0.downsample.0", "layer1.0.downsample.1"));
}

#[test]
fn weights_start_with_the_variance_of_kaiming_for_the_fan_out() {
    let resnet = ResNet::new(config(18, 16, Stem::ImageNet), &context(64, 4)).unwrap();
    visit_parameters(&resnet, |name, parameter| {
        let values = parameter.to_vec();
        match parameter.shape() {
            [kh, kw, _, o] => {
                let expected = 2.0 / (o * kh * kw) as f32;
                let variance = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
                assert!((variance / expected - 1.0).abs() < 0.25, "{name}: {variance}, expected {expected}");
            }
            _ => {
                let expected = if name.ends_with("bias") { 0.0 } else { 1.0 };
                assert!(values.iter().all(|v| *v == expected), "{name}");
            }
        }
    });
}

#[test]
fn zero_init_residual_zeroes_the_last_batch_norm_of_each_block() {
    for (depth, last) in [(18, "bn2.weight"), (50, "bn3.weight")] {
        let config = ResNetConfig { zero_init_residual: true, ..config(depth, 4, Stem::Cifar) };
        let resnet = ResNet::new(config, &context(8, 4)).unwrap();
        visit_parameters(&resnet, |name, parameter| {
            let is_zero = parameter.to_vec().iter().all(|v| *v == 0.0);
            assert_eq!(is_zero, name.ends_with(last) || name.ends_with("bias"), "{name}");
        });
    }
}

#[test]
fn the_same_seed_gives_the_same_weights_and_each_layer_its_own() {
    let first_values = |resnet: &ResNet| {
        let mut values = Vec::new();
        visit_parameters(resnet, |name, parameter| {
            if name.contains("conv") {
                // Of one scale, so that equal draws would show.
                let [kh, kw, _, o] = parameter.shape() else { panic!("{name} is no kernel") };
                values.push(parameter.to_vec()[0] * ((kh * kw * o) as f32).sqrt());
            }
        });
        values
    };
    let values = first_values(&small(18));
    assert_eq!(values, first_values(&small(18)));
    for (i, a) in values.iter().enumerate() {
        assert!(values[..i].iter().all(|b| (a - b).abs() > 1e-6), "layer {i} repeats another");
    }
}

#[test]
fn every_depth_gives_features_of_the_width_that_it_says() {
    for depth in [18, 34, 50, 101, 152] {
        let mut resnet = small(depth);
        let features = resnet.forward(images(2, 8, Recording::Off), Mode::Train).unwrap();
        assert_eq!(*features.shape(), (2, resnet.n_features()), "depth {depth}");
        assert_eq!(resnet.n_features(), if depth < 50 { 32 } else { 128 });
    }
    let mut resnet = ResNet::new(config(18, 4, Stem::ImageNet), &context(32, 4)).unwrap();
    let features = resnet.forward(images(2, 33, Recording::Off), Mode::Train).unwrap();
    assert_eq!(*features.shape(), (2, 32));
}

fn of_blocks(blocks: &[usize], block: Option<BlockKind>) -> ResNetConfig {
    ResNetConfig { depth: None, blocks: Some(blocks.to_vec()), block, ..config(18, 4, Stem::Cifar) }
}

#[test]
fn blocks_make_the_network_that_a_depth_stands_for_and_others() {
    let names = |config| {
        let mut names = Vec::new();
        ResNet::new(config, &context(8, 4)).unwrap().visit(&mut |name, _| names.push(name.to_string()));
        names
    };
    for (depth, kind, blocks) in
        [(34, BlockKind::Basic, [3, 4, 6, 3]), (50, BlockKind::Bottleneck, [3, 4, 6, 3])]
    {
        assert_eq!(names(of_blocks(&blocks, Some(kind))), names(config(depth, 4, Stem::Cifar)));
    }
    let mut resnet =
        ResNet::new(of_blocks(&[1, 2, 1, 1], Some(BlockKind::Bottleneck)), &context(8, 4)).unwrap();
    let features = resnet.forward(images(2, 8, Recording::Off), Mode::Train).unwrap();
    assert_eq!((*features.shape(), resnet.n_features()), ((2, 128), 128));
    let mut n_blocks = 0;
    resnet.visit(&mut |name, _| n_blocks += usize::from(name.ends_with("conv3.weight")));
    assert_eq!(n_blocks, 5);
}

#[test]
fn a_depth_that_is_said_twice_or_by_half_is_refused() {
    let refuse = |config: ResNetConfig| {
        let error = ResNet::new(config, &context(8, 4)).map(drop).unwrap_err();
        (error.to_string(), error.hint().map(str::to_string))
    };
    let basic = Some(BlockKind::Basic);
    let (message, hint) = refuse(ResNetConfig { blocks: None, ..of_blocks(&[], None) });
    assert_eq!(message, "this ResNet has no `depth`, and no `blocks` in its place");
    assert!(hint.unwrap().starts_with("write `depth: 18`"));
    let (message, _) = refuse(ResNetConfig { depth: Some(18), ..of_blocks(&[1, 1, 1, 1], basic) });
    let said = "it must be left out where `depth` is given, which says it already";
    assert_eq!(message, format!("`blocks` is [1, 1, 1, 1], but {said}"));
    let (message, _) = refuse(ResNetConfig { block: basic, ..config(18, 4, Stem::Cifar) });
    assert_eq!(message, format!("`block` is Basic, but {said}"));
    let (message, hint) = refuse(of_blocks(&[1, 1, 1, 1], None));
    assert_eq!(message, "`blocks` does not say of what kind they are");
    assert_eq!(hint.unwrap(), "add `block: Basic` or `block: Bottleneck`");
    for blocks in [&[1, 1, 1][..], &[1, 1, 1, 1, 1], &[1, 0, 1, 1], &[1, 1, 1, 257], &[]] {
        let (message, _) = refuse(of_blocks(blocks, basic));
        let must = "it must be four numbers between 1 and 256";
        assert_eq!(message, format!("`blocks` is {blocks:?}, but {must}"));
    }
}

#[test]
fn wide_resnets_have_wider_inner_layers_and_as_many_features() {
    // sum(p.numel() for n, p in torchvision.models.wide_resnet50_2().named_parameters() if not n.startswith("fc."))
    let config_of = |width, stem| ResNetConfig { width_per_group: 128, ..config(50, width, stem) };
    let mut n = 0;
    let resnet = ResNet::new(config_of(64, Stem::ImageNet), &context(224, 4)).unwrap();
    visit_parameters(&resnet, |_, parameter| n += parameter.n_elements());
    assert_eq!(n, 66_834_240);
    let mut small = ResNet::new(config_of(4, Stem::Cifar), &context(8, 4)).unwrap();
    let features = small.forward(images(2, 8, Recording::Off), Mode::Train).unwrap();
    assert_eq!(*features.shape(), (2, 128));
    let refuse =
        |config: ResNetConfig| ResNet::new(config, &context(32, 4)).map(drop).unwrap_err().to_string();
    let wide = |width_per_group| ResNetConfig { width_per_group, ..config(50, 4, Stem::Cifar) };
    assert_eq!(
        refuse(ResNetConfig { width_per_group: 128, ..config(18, 4, Stem::Cifar) }),
        "`width_per_group` is 128, but it must be 64 for Basic blocks, which have one width"
    );
    assert_eq!(refuse(wide(0)), "`width_per_group` is 0, but it must be between 1 and 4096");
    assert_eq!(refuse(wide(8192)), "`width_per_group` is 8192, but it must be between 1 and 4096");
    assert_eq!(
        refuse(wide(65)),
        "`width_per_group` is 65, but times the width of 4 it must be a multiple of 64"
    );
}

#[test]
fn resnexts_have_the_parameters_of_torchvision() {
    // sum(p.numel() for p in torchvision.models.resnext50_32x4d().parameters()), and so on
    for (depth, groups, width_per_group, expected) in
        [(50, 32, 4, 25_028_904), (101, 32, 8, 88_791_336), (101, 64, 4, 83_455_272)]
    {
        let config = ResNetConfig { groups, width_per_group, ..config(depth, 64, Stem::ImageNet) };
        let resnet = ResNet::new(config, &context(224, 4)).unwrap();
        // The 1000 classes of `fc` are no part of the backbone.
        let mut n = 2048 * 1000 + 1000;
        let mut of_groups = Vec::new();
        visit_parameters(&resnet, |name, parameter| {
            n += parameter.n_elements();
            if name == "layer1.0.conv2.weight" {
                of_groups = parameter.torch_shape();
            }
        });
        assert_eq!(n, expected);
        assert_eq!(of_groups, [groups * width_per_group, width_per_group, 3, 3]);
    }
}

#[test]
fn groups_that_a_block_cannot_have_are_refused() {
    let refuse =
        |config: ResNetConfig| ResNet::new(config, &context(32, 4)).map(drop).unwrap_err().to_string();
    let of = |depth, groups, width_per_group| ResNetConfig {
        groups,
        width_per_group,
        ..config(depth, 64, Stem::Cifar)
    };
    assert_eq!(
        refuse(of(18, 32, 64)),
        "`groups` is 32, but it must be 1 for Basic blocks: those of ResNeXt are Bottleneck blocks"
    );
    assert_eq!(
        refuse(of(34, 32, 4)),
        "`width_per_group` is 4, but it must be 64 for Basic blocks, which have one width"
    );
    assert_eq!(refuse(of(50, 0, 4)), "`groups` is 0, but it must be at least 1");
    assert_eq!(
        refuse(of(50, 128, 64)),
        "`groups` is 128, but times the `width_per_group` of 64 it must be at most 4096"
    );
    let error = plugin_api::Config::new("(depth: 50, cardinality: 32)").parse::<ResNetConfig>().unwrap_err();
    assert!(error.to_string().contains("unknown field `cardinality`"), "{error}");
}

#[test]
fn a_gradient_reaches_every_parameter() {
    for (depth, width_per_group, groups) in [(18, 64, 1), (50, 64, 1), (50, 128, 1), (50, 32, 8)] {
        let config = ResNetConfig { width_per_group, groups, ..config(depth, 4, Stem::Cifar) };
        let mut resnet = ResNet::new(config, &context(8, 4)).unwrap();
        let features = resnet.forward(images(4, 8, Recording::start()), Mode::Train).unwrap();
        let weights = to_rows(&features);
        let mut gradients = backward(weighted_sum(features, &weights).unwrap()).unwrap();
        visit_parameters(&resnet, |name, parameter| {
            let gradient = parameter.gradient(&mut gradients).unwrap();
            assert!(gradient.is_some_and(|g| g.iter().any(|g| *g != 0.0)), "depth {depth}, {name}");
        });
    }
}

#[test]
fn evaluation_changes_nothing() {
    let mut resnet = small(18);
    let state = |resnet: &ResNet| {
        let mut state = Vec::new();
        resnet.visit(&mut |_, entry| match entry {
            Entry::Parameter(parameter) => state.push(parameter.to_vec()),
            Entry::Buffer(buffer) => state.push(buffer.to_vec()),
            Entry::Counter(count) => state.push(vec![count as f32]),
        });
        state
    };
    let before = state(&resnet);
    resnet.forward(images(2, 8, Recording::Off), Mode::Eval).unwrap();
    assert!(before == state(&resnet));
    resnet.forward(images(2, 8, Recording::Off), Mode::Train).unwrap();
    assert!(before != state(&resnet));
}

#[test]
fn the_stem_and_each_stage_are_a_layer() {
    let resnet = small(18);
    let names = ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias"];
    assert_eq!(names.map(|name| resnet.layer_of(name)), [0, 0, 1, 4].map(Some));
    assert_eq!(resnet.n_layers(), 5);
}

#[test]
fn a_network_that_cannot_work_is_refused_with_the_reason() {
    let refuse = |config: ResNetConfig, size_px, batch| {
        let error = ResNet::new(config, &context(size_px, batch)).map(drop).unwrap_err();
        (error.to_string(), error.hint().map(str::to_string))
    };
    let (message, _) = refuse(config(20, 64, Stem::Cifar), 32, 4);
    assert_eq!(message, "`depth` is 20, but it must be 18, 34, 50, 101 or 152");
    let (message, hint) = refuse(config(18, 64, Stem::ImageNet), 28, 4);
    assert!(message.contains("28x28"), "{message}");
    assert_eq!(hint.unwrap(), "use `stem: Cifar`, or views of at least 32 pixels");
    let split = ResNetConfig { batch_norm_splits: 8, ..config(18, 4, Stem::Cifar) };
    let (message, _) = refuse(split, 32, 12);
    assert_eq!(message, "`batch_norm_splits` is 8, but it must divide the batch of 12 images");
    let split = ResNetConfig { batch_norm_splits: 8, ..config(18, 4, Stem::Cifar) };
    let (message, _) = refuse(split, 8, 8);
    assert!(message.contains("a single value"), "{message}");
    let (message, _) = refuse(config(18, 0, Stem::Cifar), 32, 4);
    assert_eq!(message, "`width` is 0, but it must be between 1 and 4096");
}
