//! Pipelines that commands write: MoCo v1 or v2 of given sizes, through the same plugins as a user's file.

use tensor_ops::Device;
use train_core::pipeline::Pipeline;

use crate::failure::Failure;

/// MoCo v1 or v2, as numbers.
#[derive(Clone, Debug)]
pub(crate) struct Moco {
    /// The ResNet: 18, 34, 50, 101 or 152.
    pub(crate) depth: usize,
    /// Channels of its first stage.
    pub(crate) width: usize,
    /// How images enter it.
    pub(crate) stem: Stem,
    /// What follows it.
    pub(crate) head: HeadKind,
    /// Width of the embeddings.
    pub(crate) dim: usize,
    /// Keys in the queue.
    pub(crate) queue: usize,
    pub(crate) temperature: f64,
    /// Of the key encoder.
    pub(crate) momentum: f64,
    pub(crate) lr: f64,
    pub(crate) weight_decay: f64,
    /// Of the optimiser.
    pub(crate) sgd_momentum: f64,
    pub(crate) batch: usize,
    /// Height and width of a view, in pixels.
    pub(crate) size: usize,
    pub(crate) seed: u64,
}

/// As the `resnet` plugin names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    ImageNet,
    Cifar,
}

/// What turns features into embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadKind {
    /// One linear layer (v1).
    Linear,
    /// Two, with ReLU between them (v2).
    Mlp,
}

/// The module that a reference's `fc` corresponds to.
pub(crate) const HEAD: &str = "head";
/// The module of all else.
pub(crate) const BACKBONE: &str = "backbone";
/// The queue and its loss.
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
        let Self { depth, width, stem, dim, queue, temperature, momentum, lr, size, .. } = self;
        let head = match self.head {
            HeadKind::Linear => "linear",
            HeadKind::Mlp => "mlp",
        };
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
        format!(
            "Pipeline(
    name: \"reference\",
    seed: {seed},
    data: (source: (\"shapes\", ()), batch: {batch}),
    views: {{ \"query\": {view}, \"key\": {view} }},
    modules: {{
        \"{BACKBONE}\": (\"resnet\", (depth: {depth}, width: {width}, stem: {stem:?})),
        \"{HEAD}\": (\"{head}\", (out: {dim})),
        \"{CONTRAST}\": (\"queue\", (len: {queue}, temperature: {temperature:?})),
    }},
    graph: [
        (id: \"q\", run: [\"{BACKBONE}\", \"{HEAD}\"], on: [\"query\"]),
        (id: \"k\", run: [\"{BACKBONE}\", \"{HEAD}\"], on: [\"key\"], weights: Momentum),
        (id: \"loss\", run: [\"{CONTRAST}\"], on: [\"q\", \"k\"]),
    ],
    minimize: [\"loss\"],
    momentum: (start: {momentum:?}),
    optimizer: (\"sgd\", (momentum: {sgd_momentum:?}, weight_decay: {weight_decay:?})),
    learning_rate: (base: {lr:?}, scale: Absolute),
    schedule: (\"constant\", ()),
    epochs: 1,
)
",
            seed = self.seed,
            batch = self.batch,
            sgd_momentum = self.sgd_momentum,
            weight_decay = self.weight_decay,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_pipeline_is_one_that_the_plugins_take() {
        let moco = Moco {
            depth: 18,
            width: 4,
            stem: Stem::Cifar,
            head: HeadKind::Mlp,
            dim: 8,
            queue: 64,
            temperature: 0.07,
            momentum: 0.999,
            lr: 1e-3,
            weight_decay: 1e-4,
            sgd_momentum: 0.9,
            batch: 4,
            size: 32,
            seed: 7,
        };
        let pipeline = moco.build("test", &Device::default()).unwrap();
        assert_eq!((pipeline.batch, pipeline.seed), (4, 7));
        assert_eq!(pipeline.network.graph.views, ["query", "key"]);
        let error = Moco { depth: 19, ..moco }.build("test", &Device::default()).err().unwrap();
        assert!(error.to_string().contains("`depth` is 19"), "{error}");
    }
}
