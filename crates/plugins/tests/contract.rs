//! Every plugin that is linked in keeps the contract of its kind.

use plugin_api::MapShape;
use plugin_tests::{Surroundings, ValueInto};

/// Losses whose targets are made of their own inputs and pass no gradient: it is not that of their value.
const TARGETS_OF_THEIR_OWN: [&str; 1] = ["swav"];

fn surroundings(name: &str) -> Surroundings {
    let finite_differences = !TARGETS_OF_THEIR_OWN.contains(&name);
    let usual = Surroundings { finite_differences, ..Surroundings::default() };
    let map = |channels| MapShape { rows: 2, columns: 2, channels };
    match name {
        // Four features before a map.
        "dense-mlp" => Surroundings { map: Some(map(3)), ..usual },
        "dense-cl" => {
            let value = |n_features: usize, map: MapShape, is_trained| ValueInto {
                width: n_features + map.n_values(),
                map: Some(map),
                is_trained,
            };
            let values = vec![
                value(0, map(4), true),
                value(0, map(4), false),
                value(2, map(5), false),
                value(2, map(5), false),
            ];
            Surroundings { values: Some(values), ..usual }
        }
        _ => usual,
    }
}

/// In place of a plugin's example, whose blocks start at a millionth of their scale: differences of their results drown in rounding.
fn config(name: &str) -> Option<&'static str> {
    (name == "convnext").then_some("(blocks: [1, 1, 2, 1], width: 8, patch: 2, layer_scale: 1.0)")
}

/// Checks all plugins of `kind`.
fn check_all(kind: &str) {
    let faults: Vec<String> = plugins::all_plugins()
        .into_iter()
        .filter(|plugin| plugin.kind == kind)
        .filter_map(|plugin| {
            plugin_tests::check(kind, plugin.name, config(plugin.name), &surroundings(plugin.name)).err()
        })
        .map(|fault| fault.to_string())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Configs besides the examples: what else a plugin computes.
const MORE: &[(&str, &str, &str)] = &[
    ("backbone", "resnet", "(depth: 50, width: 4, stem: Cifar, batch_norm_splits: 2)"),
    ("backbone", "resnet", "(depth: 18, width: 4, stem: ImageNet, conv: Direct)"),
    ("backbone", "vit", "(patch: 8, dim: 48, depth: 2, heads: 4, drop_path: 0.3)"),
    ("backbone", "vit", "(patch: 16, dim: 16, depth: 1, heads: 2, stem: Conv)"),
    ("head", "mlp", "(layers: 3, hidden: 24, out: 8, norm: Batch, last_norm: true)"),
    ("loss", "queue", "(len: 64, temperature: 0.07)"),
    ("objective", "swav", "(high: 1, prototypes: 12, queue: 6)"),
    ("schedule", "cosine", "(per: Step)"),
];

#[test]
fn other_configs() {
    for (kind, name, config) in MORE {
        // Convolutions of small images: so many ReLUs bend within a step of differences that these tell nothing. The examples and
        // the operations' own tests are compared with differences.
        let finite_differences = !config.contains("stem") && !TARGETS_OF_THEIR_OWN.contains(name);
        let surroundings = Surroundings { finite_differences, ..Surroundings::default() };
        let checked = plugin_tests::check(kind, name, Some(config), &surroundings);
        assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}

macro_rules! kinds {
    ($($test:ident $kind:literal;)*) => {
        $(
            #[test]
            fn $test() {
                check_all($kind);
            }
        )*

        #[test]
        fn every_kind_is_checked() {
            for plugin in plugins::all_plugins() {
                assert!([$($kind),*].contains(&plugin.kind), "no test here checks a {}", plugin.kind);
            }
        }
    };
}

kinds! {
    datasets "dataset";
    augmentations "augmentation";
    backbones "backbone";
    heads "head";
    losses "loss";
    objectives "objective";
    optimizers "optimizer";
    schedules "schedule";
    monitors "monitor";
}
