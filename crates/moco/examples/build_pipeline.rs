//! Builds MoCo v2 on generated shapes in Rust, and trains it.

use std::error::Error;

use moco::pipeline::{
    DataConfig, LearningRateConfig, LearningRateScale, MomentumConfig, PipelineConfig, PluginRef, StepConfig,
};
use moco::{Run, Silent};
use serde::Serialize;

/// As the `resnet` plugin names it.
#[derive(Serialize)]
enum Stem {
    Cifar,
}

/// As the `normalize` plugin names it.
#[derive(Serialize)]
enum Statistics {
    Cifar10,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = PipelineConfig::new(
        "mine",
        DataConfig::new(PluginRef::new("shapes"), 128),
        PluginRef::new("sgd").with("momentum", 0.9).with("weight_decay", 1e-4),
        LearningRateConfig { base: 0.06, scale: LearningRateScale::Absolute },
        PluginRef::new("cosine"),
        20,
    );
    let view = vec![
        PluginRef::new("random-resized-crop").with("size", 32).with("scale", (0.2, 1.0)),
        PluginRef::new("flip").with("p", 0.5),
        PluginRef::new("normalize").with("statistics", Statistics::Cifar10),
    ];
    config.views = [("query".into(), view.clone()), ("key".into(), view)].into();
    config.modules = [
        (
            "backbone".into(),
            PluginRef::new("resnet").with("depth", 18).with("width", 8).with("stem", Stem::Cifar),
        ),
        ("head".into(), PluginRef::new("mlp").with("out", 64)),
        ("contrast".into(), PluginRef::new("queue").with("len", 4096).with("temperature", 0.2)),
    ]
    .into();
    config.graph = vec![
        StepConfig::encode("q", &["backbone", "head"], "query"),
        StepConfig::encode("k", &["backbone", "head"], "key").with_momentum_weights(),
        StepConfig::loss("loss", "contrast", "q", "k"),
    ];
    config.momentum = Some(MomentumConfig::constant(0.99));

    Run::create(moco::build_pipeline(&config)?)?.train(&mut Silent)?;
    Ok(())
}
