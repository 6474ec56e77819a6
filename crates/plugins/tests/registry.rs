//! What holds for every plugin that is linked in.

use plugin_api::{
    Augmentation, AugmentationContext, Backbone, Config, ConfigError, ContrastiveLoss, Dataset,
    DatasetContext, Described, Head, InputShape, LossContext, MapShape, ModuleContext, Monitor,
    MonitorContext, Objective, ObjectiveContext, Optimizer, OptimizerContext, Schedule, ScheduleContext,
    build, check_registry,
};
use tensor_ops::Device;

/// The names that pipeline files rely on, by kind. A crate that fell out of `plugins` leaves a gap here.
const EXPECTED: &[(&str, &[&str])] = &[
    (
        "dataset",
        &[
            "archive",
            "cifar10",
            "cifar100",
            "class-folders",
            "flat-folder",
            "list-file",
            "pack",
            "parquet",
            "shapes",
            "split",
            "stl10",
            "tiny-imagenet",
        ],
    ),
    (
        "augmentation",
        &[
            "center-crop",
            "channel-drop",
            "color-jitter",
            "flip",
            "gaussian-blur",
            "gaussian-noise",
            "grayscale",
            "normalize",
            "quarter-turn",
            "rand-augment",
            "random-erasing",
            "random-resized-crop",
            "resize",
            "solarize",
            "vertical-flip",
        ],
    ),
    ("backbone", &["convnext", "resnet", "vit"]),
    ("head", &["dense-mlp", "dino-head", "identity", "linear", "mlp", "prototypes"]),
    ("loss", &["in-batch", "queue"]),
    (
        "objective",
        &[
            "barlow-twins",
            "dcl",
            "dense-cl",
            "dino",
            "mochi",
            "negative-cosine",
            "nnclr",
            "nt-xent",
            "ressl",
            "sup-con",
            "swav",
            "vicreg",
        ],
    ),
    ("optimizer", &["adamw", "lars", "lion", "sgd"]),
    ("schedule", &["constant", "cosine", "one-cycle", "steps", "wsd"]),
    ("monitor", &["alignment-uniformity", "feature-collapse", "key-drift", "knn", "lidar", "linear-probe"]),
];

/// Builds a plugin from its example, in the surroundings of an ordinary run.
fn build_example(plugin: &Described) -> Result<(), ConfigError> {
    let (name, config) = (plugin.name, Config::new(plugin.example));
    let module = ModuleContext {
        device: Device::default(),
        n_inputs: 3,
        map: None,
        image_size: (32, 32),
        batch: 64,
        parts: 1,
        processes: std::sync::Arc::new(plugin_api::processes::Alone),
        seed: 0,
        name: "module".into(),
    };
    let negatives = LossContext {
        device: Device::default(),
        n_inputs: 16,
        batch: 64,
        keys_per_step: 64,
        seed: 0,
        name: "contrast".into(),
    };
    match plugin.kind {
        "dataset" => build::<dyn Dataset>(name, config, &DatasetContext::default()).map(drop),
        "augmentation" => build::<dyn Augmentation>(name, config, &AugmentationContext).map(drop),
        "backbone" => build::<dyn Backbone>(name, config, &module).map(drop),
        "head" => {
            let map = Some(MapShape { rows: 2, columns: 2, channels: 3 });
            let with_map = || build::<dyn Head>(name, config, &ModuleContext { map, ..module.clone() });
            build::<dyn Head>(name, config, &module).or_else(|error| with_map().map_err(|_| error)).map(drop)
        }
        "loss" => build::<dyn ContrastiveLoss>(name, config, &negatives).map(drop),
        "objective" => build_objective(name, config),
        "optimizer" => build::<dyn Optimizer>(name, config, &OptimizerContext).map(drop),
        "schedule" => build::<dyn Schedule>(name, config, &ScheduleContext { epochs: 200 }).map(drop),
        "monitor" => build::<dyn Monitor>(name, config, &MonitorContext::default()).map(drop),
        other => panic!("this test does not know how to build a {other}: add it"),
    }
}

/// Builds an objective from its example, on inputs as it takes them: two trained ones, with two fixed ones or without, one of each, or
/// maps.
fn build_objective(name: &str, config: Config<'_>) -> Result<(), ConfigError> {
    let input = |place: usize, map: Option<MapShape>, is_trained| InputShape {
        name: format!("value{place}"),
        width: map.map_or(16, MapShape::n_values),
        map,
        is_trained,
    };
    let context = |map, inputs: &[bool]| ObjectiveContext {
        device: Device::default(),
        inputs: inputs.iter().enumerate().map(|(place, is_trained)| input(place, map, *is_trained)).collect(),
        batch: 64,
        epochs: 200,
        seed: 0,
        name: "objective".into(),
    };
    let map = Some(MapShape { rows: 2, columns: 2, channels: 3 });
    let kinds = [
        (None, &[true, true][..]),
        (None, &[true, true, false, false]),
        (None, &[true, false]),
        (map, &[true, false, false, false]),
    ];
    let built =
        kinds.map(|(map, inputs)| build::<dyn Objective>(name, config, &context(map, inputs)).map(drop));
    let mut refused = Vec::new();
    for result in built {
        match result {
            Ok(()) => return Ok(()),
            Err(error) => refused.push(error),
        }
    }
    Err(refused.remove(0))
}

#[test]
fn every_expected_plugin_is_linked_in() {
    let registered = plugins::all_plugins();
    let missing: Vec<(&str, &str)> = EXPECTED
        .iter()
        .flat_map(|(kind, names)| names.iter().map(|name| (*kind, *name)))
        .filter(|(kind, name)| !registered.iter().any(|plugin| plugin.kind == *kind && plugin.name == *name))
        .collect();
    assert!(missing.is_empty(), "not registered: {missing:?}");
}

#[test]
fn no_two_plugins_of_a_kind_have_the_same_name() {
    check_registry().unwrap();
}

#[test]
fn every_example_builds() {
    for plugin in plugins::all_plugins() {
        if let Err(error) = build_example(&plugin) {
            panic!("{} `{}`, example {}: {error}", plugin.kind, plugin.name, plugin.example);
        }
    }
}

#[test]
fn every_plugin_says_what_it_is_and_what_each_field_means() {
    for plugin in plugins::all_plugins() {
        let name = format!("{} `{}`", plugin.kind, plugin.name);
        let is_kebab_case = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(plugin.name.chars().all(is_kebab_case), "{name} is not in kebab-case");
        assert!(
            !plugin.summary.is_empty() && !plugin.summary.contains('\n'),
            "{name}: the summary is one line"
        );
        for field in plugin.fields {
            assert!(!field.help.is_empty(), "{name}: the field `{}` is not documented", field.name);
        }
    }
}

#[test]
fn an_unknown_field_is_refused_by_every_plugin() {
    for mut plugin in plugins::all_plugins() {
        // `()` and `(a: 1)` to `(no_such_field: 0)` and `(no_such_field: 0, a: 1)`.
        let rest = plugin.example.trim_start().strip_prefix('(').expect("an example is a struct");
        let comma = if rest.trim_start().starts_with(')') { "" } else { ", " };
        plugin.example = format!("(no_such_field: 0{comma}{rest}").leak();
        let error = build_example(&plugin).expect_err(plugin.name).to_string();
        assert!(error.contains("no_such_field"), "{} `{}`: {error}", plugin.kind, plugin.name);
    }
}
