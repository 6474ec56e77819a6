//! Pipelines that commands write: MoCo v1, v2 or v3 of given sizes, through the same plugins as a user's file.

use pipeline::{Pipeline, Precision};
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
    /// Blocks in each stage, and their kind as the `resnet` plugin names it.
    Blocks(Vec<usize>, &'static str),
}

/// As the `resnet` plugin names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    ImageNet,
    Cifar,
}

/// As the `vit` plugin names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        Pipeline::parse(origin, &self.to_ron(), &[], device).map_err(|fault| {
            let message = format!("{origin}: {}", fault.message);
            match fault.hint {
                Some(hint) => Failure::new(message, hint),
                None => Failure::plain(message),
            }
        })
    }

    /// The pipeline file. Its views are MoCo v2's.
    pub(crate) fn to_ron(&self) -> String {
        let Self { dim, temperature, momentum, lr, batch, size, seed, precision, .. } = self;
        let view = format!(
            "[
            (\"random-resized-crop\", (size: {size}, scale: (0.2, 1.0))),
            (\"color-jitter\", (p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1)),
            (\"grayscale\", (p: 0.2)),
            (\"gaussian-blur\", (p: 0.5, sigma: (0.1, 2.0))),
            (\"flip\", (p: 0.5)),
            (\"normalize\", (statistics: ImageNet)),
        ]"
        );
        let backbone = self.encoder.to_ron();
        let [first, second] = self.views();
        let (heads, graph) = match &self.method {
            Method::Queue { head, len } => {
                let head = match head {
                    HeadKind::Linear => "linear",
                    HeadKind::Mlp => "mlp",
                };
                let modules = format!(
                    "\"{HEAD}\": (\"{head}\", (out: {dim})),
        \"{CONTRAST}\": (\"queue\", (len: {len}, temperature: {temperature:?})),"
                );
                (modules, queue_graph(first, second))
            }
            Method::InBatch { projector_layers, hidden, predictor_last_norm } => {
                let mlp = |layers: usize, last_norm: bool| {
                    format!(
                        "(\"mlp\", (layers: {layers}, hidden: {hidden}, out: {dim}, norm: Batch, last_norm: {last_norm}))"
                    )
                };
                let modules = format!(
                    "\"{PROJECTOR}\": {},
        \"{PREDICTOR}\": {},
        \"{CONTRAST}\": (\"in-batch\", (temperature: {temperature:?})),",
                    mlp(*projector_layers, true),
                    mlp(2, *predictor_last_norm),
                );
                (modules, symmetric_graph(first, second))
            }
        };
        format!(
            "Pipeline(
    name: \"reference\",
    seed: {seed},
    data: (source: (\"shapes\", ()), batch: {batch}),
    views: {{ \"{first}\": {view}, \"{second}\": {view} }},
    modules: {{
        \"{BACKBONE}\": {backbone},
        {heads}
    }},
    graph: [{graph}],
    momentum: (start: {momentum:?}),
    optimizer: {optimizer},
    learning_rate: (base: {lr:?}, scale: Absolute),
    schedule: (\"constant\", ()),
    epochs: 1,
    precision: {precision:?},
)
",
            optimizer = self.rule.to_ron(self.weight_decay),
        )
    }

    /// The names of the two views, in the order in which the engine wants them.
    fn views(&self) -> [&'static str; 2] {
        match self.method {
            Method::Queue { .. } => ["query", "key"],
            Method::InBatch { .. } => ["x1", "x2"],
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

    fn to_ron(&self) -> String {
        match self {
            Self::ResNet { depth, width, stem } => {
                let depth = match depth {
                    Depth::Layers(layers) => format!("depth: {layers}"),
                    Depth::Blocks(blocks, kind) => format!("blocks: {blocks:?}, block: {kind}"),
                };
                format!("(\"resnet\", ({depth}, width: {width}, stem: {stem:?}, conv: Auto))")
            }
            Self::Vit { patch, dim, depth, heads, stem, freeze_patch_projection } => format!(
                "(\"vit\", (patch: {patch}, dim: {dim}, depth: {depth}, heads: {heads}, stem: {stem:?}, \
                 freeze_patch_projection: {freeze_patch_projection}))"
            ),
        }
    }
}

impl Rule {
    fn to_ron(self, weight_decay: f64) -> String {
        match self {
            Self::Sgd(momentum) => {
                format!("(\"sgd\", (momentum: {momentum:?}, weight_decay: {weight_decay:?}))")
            }
            Self::Lars => format!("(\"lars\", (weight_decay: {weight_decay:?}))"),
            Self::AdamW => format!("(\"adamw\", (weight_decay: {weight_decay:?}))"),
        }
    }
}

fn queue_graph(query: &str, key: &str) -> String {
    format!(
        "
        (id: \"q\", run: [\"{BACKBONE}\", \"{HEAD}\"], on: [\"{query}\"]),
        (id: \"k\", run: [\"{BACKBONE}\", \"{HEAD}\"], on: [\"{key}\"], weights: Momentum),
        (id: \"loss\", run: [\"{CONTRAST}\"], on: [\"q\", \"k\"]),
    "
    )
}

fn symmetric_graph(first: &str, second: &str) -> String {
    format!(
        "
        (id: \"q1\", run: [\"{BACKBONE}\", \"{PROJECTOR}\", \"{PREDICTOR}\"], on: [\"{first}\"]),
        (id: \"q2\", run: [\"{BACKBONE}\", \"{PROJECTOR}\", \"{PREDICTOR}\"], on: [\"{second}\"]),
        (id: \"k1\", run: [\"{BACKBONE}\", \"{PROJECTOR}\"], on: [\"{first}\"], weights: Momentum),
        (id: \"k2\", run: [\"{BACKBONE}\", \"{PROJECTOR}\"], on: [\"{second}\"], weights: Momentum),
        (id: \"l12\", run: [\"{CONTRAST}\"], on: [\"q1\", \"k2\"]),
        (id: \"l21\", run: [\"{CONTRAST}\"], on: [\"q2\", \"k1\"]),
    "
    )
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
        let blocks = || resnet(Depth::Blocks(vec![1, 1, 1, 1], "Bottleneck"));
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
