//! Pipelines that programs build are checked as files are.

use pipeline::{
    DataConfig, Fault, LearningRateConfig, LearningRateScale, MomentumConfig, Pipeline, PipelineConfig,
    PipelineError, PluginRef, StepConfig,
};
use plugins as _;
use tensor_ops::Device;

#[derive(serde::Serialize)]
enum Statistics {
    Cifar10,
}

fn config() -> PipelineConfig {
    let mut config = PipelineConfig::new(
        "built",
        DataConfig::new(PluginRef::new("shapes").with("train", 64), 16),
        PluginRef::new("sgd").with("momentum", 0.9).with("weight_decay", 1e-4),
        LearningRateConfig { base: 0.06, scale: LearningRateScale::PerImages(256) },
        PluginRef::new("cosine"),
        2,
    );
    let view = vec![
        PluginRef::new("random-resized-crop").with("size", 32).with("scale", (0.2, 1.0)),
        PluginRef::new("normalize").with("statistics", Statistics::Cifar10),
    ];
    config.views = [("query".into(), view.clone()), ("key".into(), view)].into();
    config.modules = [
        ("backbone".into(), PluginRef::new("resnet").with("depth", 18).with("width", 4)),
        ("head".into(), PluginRef::new("linear").with("out", 16)),
        ("contrast".into(), PluginRef::new("queue").with("len", 64).with("temperature", 0.2)),
    ]
    .into();
    config.graph = vec![
        StepConfig::encode("q", &["backbone", "head"], "query"),
        StepConfig::encode("k", &["backbone", "head"], "key").with_momentum_weights(),
        StepConfig::loss("loss", "contrast", "q", "k"),
    ];
    config.momentum = Some(MomentumConfig::constant(0.99));
    config
}

fn fault(config: &PipelineConfig) -> Fault {
    match Pipeline::from_config(config, &Device::default()) {
        Err(PipelineError::Fault(fault)) => *fault,
        Err(error) => panic!("{error}"),
        Ok(pipeline) => panic!("{}", pipeline.text),
    }
}

#[test]
fn a_built_pipeline_is_the_one_that_its_text_says() {
    let config = config();
    let pipeline = Pipeline::from_config(&config, &Device::default()).unwrap();
    assert_eq!((&pipeline.name[..], pipeline.batch, pipeline.epochs), ("built", 16, 2));
    assert_eq!(pipeline.learning_rate.scaled(128), 0.03);
    let again = Pipeline::parse("text", &pipeline.text, &[], &Device::default()).unwrap();
    assert_eq!(again.text, pipeline.text);
    assert_eq!(again.network.graph, pipeline.network.graph);
    // The text reads back as the same structs.
    let read: PipelineConfig = plugin_api::parse_ron(&config.to_ron().unwrap()).unwrap();
    assert_eq!(read.to_ron().unwrap(), config.to_ron().unwrap());
}

#[test]
fn what_is_wrong_is_shown_in_the_text() {
    let mut config = config();
    config.modules.insert("backbone".into(), PluginRef::new("resnet").with("depth", 19));
    let fault = fault(&config);
    assert!(fault.message.contains("resnet: `depth` is 19"), "{fault}");
    assert_eq!(fault.origin, "the pipeline `built`");
    assert_eq!(&fault.text[fault.span.clone()], "19");
    assert_eq!(fault.text, config.to_ron().unwrap());
}

#[test]
fn a_value_that_ron_does_not_have_is_told() {
    struct Nothing;
    impl serde::Serialize for Nothing {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it is nothing"))
        }
    }
    let mut config = config();
    config.optimizer = PluginRef::new("sgd").with("momentum", Nothing);
    let error = Pipeline::from_config(&config, &Device::default()).err().unwrap().to_string();
    assert!(error.contains("`sgd` cannot be written") && error.contains("it is nothing"), "{error}");
}
