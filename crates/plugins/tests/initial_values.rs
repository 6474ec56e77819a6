//! The bits that modules start with. Elsewhere the logarithm of the system's library may round otherwise.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use plugin_api::{Backbone, Config, Entry, Head, Module, ModuleContext, build};
use plugins as _;
use tensor_ops::Device;

fn context(n_inputs: usize) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs,
        map: None,
        image_size: (32, 32),
        batch: 4,
        parts: 1,
        processes: std::sync::Arc::new(plugin_api::processes::Alone),
        seed: 7,
        name: "module".into(),
    }
}

/// A hash (FNV-1a) of all names and of the bits of all values, in the order of a visit.
fn hash(module: &dyn Module) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    module.visit(&mut |name, entry| {
        add(name.as_bytes());
        let values = match entry {
            Entry::Parameter(parameter) => parameter.to_torch().1,
            Entry::Buffer(buffer) => buffer.to_vec(),
            Entry::Counter(_) => Vec::new(),
        };
        values.iter().for_each(|value| add(&value.to_bits().to_le_bytes()));
    });
    hash
}

/// A run's numbers follow from where it starts: whoever changes these changes every run.
#[test]
fn a_seed_gives_the_same_bits_as_ever() {
    let backbone = |plugin: &str, config: &str| {
        hash(&*build::<dyn Backbone>(plugin, Config::new(config), &context(3)).unwrap())
    };
    let head = |plugin: &str, config: &str| {
        hash(&*build::<dyn Head>(plugin, Config::new(config), &context(12)).unwrap())
    };
    let found = [
        backbone("resnet", "(depth: 18, width: 4, stem: Cifar)"),
        backbone("resnet", "(depth: 50, width: 4, zero_init_residual: true, batch_norm_splits: 2)"),
        backbone("vit", "(patch: 8, dim: 16, depth: 2, heads: 4, freeze_patch_projection: true)"),
        backbone("vit", "(patch: 16, dim: 16, depth: 1, heads: 2, stem: Conv, position: Learned)"),
        head("linear", "(out: 5)"),
        head("mlp", "(layers: 2, out: 5)"),
        head("mlp", "(layers: 3, hidden: 8, out: 5, norm: Batch, last_norm: true)"),
        head("mlp", "(layers: 2, hidden: 8, out: 5, norm: Batch)"),
    ];
    let expected = [
        0xb61dc01ff1f35d80_u64,
        0x00e1929f9e2f00fe,
        0xf3849e77c7ba2fba,
        0x69fa90246874ed36,
        0x9ef612e46ebda551,
        0x9fd27493478c7d80,
        0x3a66b8d1a8255f62,
        0xf63815c9217f7f22,
    ];
    assert_eq!(found, expected, "{found:#018x?}");
}
