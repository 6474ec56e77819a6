//! A step with values kept in bfloat16 is nearly the step in single precision.

use pipeline::Pipeline;
use plugin_api::Rng;
use plugins as _;
use processes::Alone;
use tensor_ops::{Device, FeatureMap, Recording};
use train_core::engine::{Engine, EngineError};

const RESNET: &str = r#"("resnet", (depth: 18, width: 16, stem: Cifar))"#;
const VIT: &str = r#"("vit", (patch: 4, dim: 24, depth: 2, heads: 3))"#;

/// The losses of a few steps on the same images.
fn losses(backbone: &str, precision: &str) -> Vec<f32> {
    let text = format!(
        r#"Pipeline(
    name: "precision",
    data: (source: ("shapes", (train: 64, test: 0)), batch: 32),
    views: {{
        "x1": [("random-resized-crop", (size: 16)), ("normalize", (statistics: Cifar10))],
        "x2": [("random-resized-crop", (size: 16)), ("normalize", (statistics: Cifar10))],
    }},
    modules: {{
        "backbone": {backbone},
        "projector": ("mlp", (layers: 2, hidden: 24, out: 16, norm: Batch, last_norm: true)),
        "contrast": ("in-batch", (temperature: 0.2)),
    }},
    graph: [
        (id: "q", run: ["backbone", "projector"], on: ["x1"]),
        (id: "k", run: ["backbone", "projector"], on: ["x2"], weights: Momentum),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    momentum: (start: 0.9),
    optimizer: ("sgd", (momentum: 0.9)),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("constant", ()),
    epochs: 1,
    precision: {precision},
)"#
    );
    let device = Device::default();
    let pipeline =
        Pipeline::parse("test", &text, &[], &device).unwrap_or_else(|fault| panic!("{}", fault.message));
    let mut engine = Engine::new(pipeline.network, 1, device.clone(), std::sync::Arc::new(Alone)).unwrap();
    let images = |view: u64| {
        let mut rng = Rng::new(1, "images", &[view]);
        let values: Vec<f32> = (0..32 * 16 * 16 * 3).map(|_| rng.normal() as f32).collect();
        FeatureMap::from_nhwc(&device, [32, 16, 16, 3], &values, Recording::Off).unwrap()
    };
    (0..4)
        .map(|_| {
            let mut next = || Ok::<_, EngineError>(vec![images(1), images(2)]);
            let mut computed = engine.compute(32, 0.9, &mut next).unwrap();
            engine.update(&mut computed.gradients, 0.01).unwrap();
            computed.total()
        })
        .collect()
}

#[test]
fn bfloat16_trains_as_single_precision_does() {
    for backbone in [RESNET, VIT] {
        let (single, half) = (losses(backbone, "F32"), losses(backbone, "Bf16"));
        assert_ne!(single, half, "{backbone}: the precision makes no difference");
        assert!(single[3] < single[0], "{backbone}: {single:?} does not fall");
        // What a loss has fallen by, not what is left of it, is what few images can be compared by.
        for (loss, in_half) in single.iter().zip(&half) {
            assert!((loss - in_half).abs() < 0.05 * single[0], "{backbone}: {single:?} and {half:?}");
        }
    }
}
