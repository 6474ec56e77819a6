//! A small pipeline with a queue, and images for it.

use pipeline::Pipeline;
use plugin_api::Rng;
use tensor_ops::{Device, FeatureMap, Recording};

pub(crate) const BATCH: usize = 16;

/// The pipeline, with `rest` among its fields; or what is wrong with it.
pub(crate) fn parse(temperature: &str, decay: &str, rest: &str) -> Result<Pipeline, String> {
    let text = format!(
        r#"Pipeline(
    name: "small-queue",
    data: (source: ("shapes", (train: 64, test: 0)), batch: {BATCH}),
    views: {{
        "a": [("random-resized-crop", (size: 16)), ("normalize", (statistics: Cifar10))],
        "b": [("random-resized-crop", (size: 16)), ("normalize", (statistics: Cifar10))],
    }},
    modules: {{
        "backbone": ("resnet", (depth: 18, width: 4, stem: Cifar)),
        "head": ("linear", (out: 8)),
        "contrast": ("queue", (len: 32, temperature: {temperature})),
    }},
    graph: [
        (id: "q", run: ["backbone", "head"], on: ["a"]),
        (id: "k", run: ["backbone", "head"], on: ["b"], weights: Momentum),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    optimizer: ("sgd", (momentum: 0.9, weight_decay: {decay})),
    learning_rate: (base: 0.1, scale: Absolute),
    schedule: ("constant", ()),
    epochs: 4,
    {rest}
)"#
    );
    Pipeline::parse("small.ron", &text, &[], &Device::default()).map_err(|fault| fault.to_string())
}

/// Images that look random, `(N, H, W, C)`.
pub(crate) fn view(name: &str) -> FeatureMap {
    let mut rng = Rng::new(1, name, &[]);
    let values: Vec<f32> = (0..BATCH * 16 * 16 * 3).map(|_| rng.normal() as f32).collect();
    FeatureMap::from_nhwc(&Device::default(), [BATCH, 16, 16, 3], &values, Recording::Off).unwrap()
}
