//! Pipelines that commands write: MoCo v1, v2 or v3 of given sizes, through the same plugins as a user's file.

use std::collections::BTreeMap;

use pipeline::{
    DataConfig, LearningRateConfig, LearningRateScale, MomentumConfig, Pipeline, PipelineConfig,
    PipelineError, PluginRef, Precision, StepConfig,
};
use serde::Serialize;
use tensor_ops::Device;

use moco_cli::Failure;

/// A MoCo, as numbers.
#[derive(Clone, Debug)]
pub(crate) struct Moco {
    pub(crate) encoder: Encoder,
    pub(crate) method: Method,
    /// Width of the embeddings.
    pub(crate) dim: usize,
    pub(crate) temperature: f64,
    /// Of the key encoder.
    pub(crate) momentum: f64,
    pub(crate) rule: Rule,
    pub(crate) lr: f64,
    pub(crate) weight_decay: f64,
    pub(crate) batch: usize,
    /// Height and width of a view, in pixels.
    pub(crate) size: usize,
    pub(crate) seed: u64,
    /// Of what lies between the layers of the encoder.
    pub(crate) precision: Precision,
}

/// What turns images into features.
#[derive(Clone, Debug)]
pub(crate) enum Encoder {
    /// The `resnet` plugin.
    ResNet {
        depth: Depth,
        /// Channels of the first stage.
        width: usize,
        /// How images enter it.
        stem: Stem,
    },
    /// The `vit` plugin.
    Vit {
        /// Pixels of a patch, in height and width.
        patch: usize,
        /// Width of a token.
        dim: usize,
        /// Blocks.
        depth: usize,
        /// Of each attention.
        heads: usize,
        stem: VitStem,
        /// Whether the projection of patches stays as it was drawn.
        freeze_patch_projection: bool,
    },
}

/// How deep a ResNet is.
#[derive(Clone, Debug)]
pub(crate) enum Depth {
    /// 18, 34, 50, 101 or 152 layers.
    Layers(usize),
    /// Blocks in each stage, and their kind.
    Blocks(Vec<usize>, Block),
}

/// As the `resnet` plugin names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Block {
    Basic,
    Bottleneck,
}

/// As the `resnet` plugin names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Stem {
    ImageNet,
    Cifar,
}

/// As the `vit` plugin names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum VitStem {
    Patch,
    Conv,
}

/// What is learned from features.
#[derive(Clone, Debug)]
pub(crate) enum Method {
    /// Negatives from a queue (v1, v2).
    Queue {
        head: HeadKind,
        /// Keys in the queue.
        len: usize,
    },
    /// Negatives from the batch, in both directions (v3).
    InBatch {
        /// Layers of the projector.
        projector_layers: usize,
        /// Width between the layers of projector and predictor.
        hidden: usize,
        /// Whether batch norm follows the predictor's last layer.
        predictor_last_norm: bool,
    },
}

/// What turns features into embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadKind {
    /// One linear layer (v1).
    Linear,
    /// Two, with ReLU between them (v2).
    Mlp,
}

/// How gradients move parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    /// With this momentum.
    Sgd(f64),
    Lars,
    AdamW,
}

/// The module that a reference's `fc` corresponds to (v1, v2).
pub(crate) const HEAD: &str = "head";
/// The module that a reference's `fc` or `head` corresponds to (v3).
pub(crate) const PROJECTOR: &str = "projector";
/// What queries pass through, and keys do not (v3).
pub(crate) const PREDICTOR: &str = "predictor";
/// The module of all else in the encoder.
pub(crate) const BACKBONE: &str = "backbone";
/// The negatives and their loss.
pub(crate) const CONTRAST: &str = "contrast";

impl Moco {
    /// The pipeline, which messages call `origin`.
    ///
    /// # Errors
    /// If a plugin refuses a number; the message is the plugin's.
    pub(crate) fn build(&self, origin: &str, device: &Device) -> Result<Pipeline, Failure> {
        Pipeline::from_config(&self.config(), device).map_err(|error| match error {
            PipelineError::Fault(fault) => {
                let message = format!("{origin}: {}", fault.message);
                match fault.hint {
                    Some(hint) => Failure::new(message, hint),
                    None => Failure::plain(message),
                }
            }
            other => Failure::plain(format!("{origin}: {other}")),
        })
    }

    /// The pipeline as a file would have it. Its views are MoCo v2's.
    fn config(&self) -> PipelineConfig {
        let mut config = PipelineConfig::new(
            "reference",
            DataConfig::new(PluginRef::new("shapes"), self.batch),
            self.rule.plugin(self.weight_decay),
            LearningRateConfig { base: self.lr, scale: LearningRateScale::Absolute },
            PluginRef::new("constant"),
            1,
        );
        config.seed = self.seed;
        config.views = self.views().map(|name| (name.to_owned(), self.view())).into();
        config.modules = self.modules();
        config.graph = self.graph();
        config.momentum = Some(MomentumConfig::constant(self.momentum));
        config.precision = self.precision;
        config
    }

    fn view(&self) -> Vec<PluginRef> {
        let jitter = PluginRef::new("color-jitter").with("p", 0.8);
        let jitter = jitter.with("brightness", 0.4).with("contrast", 0.4).with("saturation", 0.4);
        vec![
            PluginRef::new("random-resized-crop").with("size", self.size).with("scale", (0.2, 1.0)),
            jitter.with("hue", 0.1),
            PluginRef::new("grayscale").with("p", 0.2),
            PluginRef::new("gaussian-blur").with("p", 0.5).with("sigma", (0.1, 2.0)),
            PluginRef::new("flip").with("p", 0.5),
            PluginRef::new("normalize").with("statistics", Statistics::ImageNet),
        ]
    }

    /// The names of the two views, in the order in which the engine wants them.
    fn views(&self) -> [&'static str; 2] {
        match self.method {
            Method::Queue { .. } => ["query", "key"],
            Method::InBatch { .. } => ["x1", "x2"],
        }
    }

    fn modules(&self) -> BTreeMap<String, PluginRef> {
        let loss = |plugin: PluginRef| (CONTRAST, plugin.with("temperature", self.temperature));
        let mut modules = vec![(BACKBONE, self.encoder.plugin())];
        match &self.method {
            Method::Queue { head, len } => {
                let head = match head {
                    HeadKind::Linear => "linear",
                    HeadKind::Mlp => "mlp",
                };
                modules.push((HEAD, PluginRef::new(head).with("out", self.dim)));
                modules.push(loss(PluginRef::new("queue").with("len", len)));
            }
            Method::InBatch { projector_layers, hidden, predictor_last_norm } => {
                let mlp = |layers: usize, last_norm: bool| {
                    let mlp = PluginRef::new("mlp").with("layers", layers).with("hidden", hidden);
                    mlp.with("out", self.dim).with("norm", Norm::Batch).with("last_norm", last_norm)
                };
                modules.push((PROJECTOR, mlp(*projector_layers, true)));
                modules.push((PREDICTOR, mlp(2, *predictor_last_norm)));
                modules.push(loss(PluginRef::new("in-batch")));
            }
        }
        modules.into_iter().map(|(name, plugin)| (name.to_owned(), plugin)).collect()
    }

    fn graph(&self) -> Vec<StepConfig> {
        let [first, second] = self.views();
        let encode = StepConfig::encode;
        match self.method {
            Method::Queue { .. } => vec![
                encode("q", &[BACKBONE, HEAD], first),
                encode("k", &[BACKBONE, HEAD], second).with_momentum_weights(),
                StepConfig::loss("loss", CONTRAST, "q", "k"),
            ],
            Method::InBatch { .. } => vec![
                encode("q1", &[BACKBONE, PROJECTOR, PREDICTOR], first),
                encode("q2", &[BACKBONE, PROJECTOR, PREDICTOR], second),
                encode("k1", &[BACKBONE, PROJECTOR], first).with_momentum_weights(),
                encode("k2", &[BACKBONE, PROJECTOR], second).with_momentum_weights(),
                StepConfig::loss("l12", CONTRAST, "q1", "k2"),
                StepConfig::loss("l21", CONTRAST, "q2", "k1"),
            ],
        }
    }
}

impl Encoder {
    /// The encoder's name in a report: `resnet18`, `vit`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::ResNet { depth: Depth::Layers(layers), .. } => format!("resnet{layers}"),
            Self::ResNet { depth: Depth::Blocks(..), .. } => "resnet".into(),
            Self::Vit { .. } => "vit".into(),
        }
    }

    fn plugin(&self) -> PluginRef {
        match self {
            Self::ResNet { depth, width, stem } => {
                let plugin = PluginRef::new("resnet");
                let plugin = match depth {
                    Depth::Layers(layers) => plugin.with("depth", layers),
                    Depth::Blocks(blocks, kind) => plugin.with("blocks", blocks).with("block", kind),
                };
                plugin.with("width", width).with("stem", stem).with("conv", Conv::Auto)
            }
            Self::Vit { patch, dim, depth, heads, stem, freeze_patch_projection } => PluginRef::new("vit")
                .with("patch", patch)
                .with("dim", dim)
                .with("depth", depth)
                .with("heads", heads)
                .with("stem", stem)
                .with("freeze_patch_projection", freeze_patch_projection),
        }
    }
}

impl Rule {
    fn plugin(self, weight_decay: f64) -> PluginRef {
        let plugin = match self {
            Self::Sgd(momentum) => PluginRef::new("sgd").with("momentum", momentum),
            Self::Lars => PluginRef::new("lars"),
            Self::AdamW => PluginRef::new("adamw"),
        };
        plugin.with("weight_decay", weight_decay)
    }
}

/// As the `normalize` plugin names it.
#[derive(Serialize)]
enum Statistics {
    ImageNet,
}

/// As the `mlp` plugin names it.
#[derive(Serialize)]
enum Norm {
    Batch,
}

/// As the `resnet` plugin names it.
#[derive(Serialize)]
enum Conv {
    Auto,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moco(encoder: Encoder, method: Method, rule: Rule) -> Moco {
        Moco {
            encoder,
            method,
            dim: 8,
            temperature: 0.07,
            momentum: 0.999,
            rule,
            lr: 1e-3,
            weight_decay: 1e-4,
            batch: 4,
            size: 32,
            seed: 7,
            precision: Precision::Bf16,
        }
    }

    fn resnet(depth: Depth) -> Encoder {
        Encoder::ResNet { depth, width: 4, stem: Stem::Cifar }
    }

    fn vit() -> Encoder {
        Encoder::Vit {
            patch: 8,
            dim: 16,
            depth: 1,
            heads: 2,
            stem: VitStem::Patch,
            freeze_patch_projection: true,
        }
    }

    const QUEUE: Method = Method::Queue { head: HeadKind::Mlp, len: 64 };
    const IN_BATCH: Method = Method::InBatch { projector_layers: 3, hidden: 16, predictor_last_norm: true };

    #[test]
    fn the_written_pipelines_are_ones_that_the_plugins_take() {
        let blocks = || resnet(Depth::Blocks(vec![1, 1, 1, 1], Block::Bottleneck));
        for (moco, views) in [
            (moco(resnet(Depth::Layers(18)), QUEUE, Rule::Sgd(0.9)), ["query", "key"]),
            (moco(blocks(), IN_BATCH, Rule::Lars), ["x1", "x2"]),
            (moco(vit(), IN_BATCH, Rule::AdamW), ["x1", "x2"]),
            (moco(vit(), QUEUE, Rule::AdamW), ["query", "key"]),
        ] {
            let pipeline = moco.build("test", &Device::default()).unwrap();
            assert_eq!((pipeline.batch, pipeline.seed), (4, 7));
            assert_eq!(*pipeline.network.graph.views, views);
        }
    }

    #[test]
    fn what_a_plugin_refuses_is_told_in_its_words() {
        let moco = moco(resnet(Depth::Layers(19)), QUEUE, Rule::Sgd(0.9));
        let error = moco.build("test", &Device::default()).err().unwrap();
        assert!(error.to_string().contains("`depth` is 19"), "{error}");
    }
}
