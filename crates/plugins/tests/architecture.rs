//! What a backbone says of itself, against what it is.

use plugin_api::architecture::Architecture;
use plugin_api::{Backbone, Config, Entry, ModuleContext, build};
use plugins as _;
use run_store::checkpoint::Stored;
use tensor_ops::Device;
use weights::{Shape, Tensors};

const BACKBONES: [(&str, &str); 11] = [
    ("resnet", "(depth: 18, width: 4, stem: Cifar)"),
    ("resnet", "(depth: 50, width: 4)"),
    ("resnet", "(blocks: [1, 2, 1, 1], block: Bottleneck, width: 4)"),
    ("resnet", "(depth: 50, width: 4, width_per_group: 128)"),
    ("resnet", "(depth: 50, width: 16, width_per_group: 8, groups: 4)"),
    ("vit", "(patch: 8, dim: 16, depth: 2, heads: 4)"),
    ("vit", "(patch: 8, dim: 16, depth: 2, heads: 2, pool: Mean, position: None)"),
    ("vit", "(patch: 4, dim: 16, depth: 1, heads: 2, pool: MeanWithoutNorm, mlp_ratio: 2.5)"),
    ("vit", "(patch: 8, dim: 16, depth: 2, heads: 2, layer_scale: 1e-5, registers: 4)"),
    ("vit", "(patch: 16, dim: 16, depth: 3, heads: 2, stem: Conv)"),
    ("vit", "(patch: 16, dim: 16, depth: 3, heads: 2, position: Learned)"),
];

fn backbone(plugin: &str, config: &str) -> Box<dyn Backbone> {
    let context = ModuleContext {
        device: Device::default(),
        n_inputs: 3,
        map: None,
        image_size: (32, 32),
        batch: 4,
        parts: 1,
        processes: std::sync::Arc::new(plugin_api::processes::Alone),
        seed: 0,
        name: "backbone".into(),
    };
    build::<dyn Backbone>(plugin, Config::new(config), &context).unwrap()
}

fn layout(backbone: &dyn Backbone) -> Vec<(String, Shape)> {
    let mut layout = Vec::new();
    backbone.visit(&mut |name, entry| {
        let shape = match entry {
            Entry::Parameter(parameter) => Shape::Floats(parameter.torch_shape()),
            Entry::Buffer(buffer) => Shape::Floats(buffer.shape().to_vec()),
            Entry::Counter(_) => Shape::Count,
        };
        layout.push((name.to_owned(), shape));
    });
    layout
}

#[test]
fn a_backbone_has_the_names_and_shapes_that_its_architecture_promises() {
    for (plugin, config) in BACKBONES {
        let backbone = backbone(plugin, config);
        let architecture = backbone.architecture().unwrap();
        assert_eq!(layout(&*backbone), weights::layout(&architecture), "{config}");
        assert_eq!(backbone.n_features(), architecture.n_features(), "{config}");
    }
}

#[test]
fn weights_are_recognized_as_what_the_backbone_says_it_is() {
    for (plugin, config) in BACKBONES {
        let backbone = backbone(plugin, config);
        let stored = |shape| match shape {
            Shape::Floats(shape) => {
                let values = vec![0.0; shape.iter().product()];
                Stored::F32 { shape, values }
            }
            Shape::Count => Stored::U64(vec![0]),
        };
        let tensors: Tensors =
            layout(&*backbone).into_iter().map(|(name, shape)| (name, stored(shape))).collect();
        let mut architecture = backbone.architecture().unwrap();
        if let Architecture::Vit(vit) = &mut architecture {
            vit.heads = None;
        }
        assert_eq!(weights::detect(&tensors), Ok(architecture), "{config}");
    }
}
