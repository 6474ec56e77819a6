//! The kinds of plugins.

use plugin_api::{
    Augmentation, Backbone, ContrastiveLoss, Dataset, Head, Kind, Monitor, Objective, Optimizer, Schedule,
};

/// What a plugin may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PluginKind {
    /// One step of a view's recipe.
    Augmentation,
    /// Images to features.
    Backbone,
    /// Where images come from.
    Dataset,
    /// Features to embeddings.
    Head,
    /// What queries are told apart from.
    Loss,
    /// What is measured while training.
    Monitor,
    /// A loss over any values of the graph.
    Objective,
    /// How gradients move parameters.
    Optimizer,
    /// How the learning rate changes.
    Schedule,
}

impl PluginKind {
    /// As listings and the registry call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Augmentation => <dyn Augmentation>::NAME,
            Self::Backbone => <dyn Backbone>::NAME,
            Self::Dataset => <dyn Dataset>::NAME,
            Self::Head => <dyn Head>::NAME,
            Self::Loss => <dyn ContrastiveLoss>::NAME,
            Self::Monitor => <dyn Monitor>::NAME,
            Self::Objective => <dyn Objective>::NAME,
            Self::Optimizer => <dyn Optimizer>::NAME,
            Self::Schedule => <dyn Schedule>::NAME,
        }
    }

    /// `an augmentation`.
    pub(super) fn with_article(self) -> String {
        let name = self.name();
        let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {name}")
    }

    /// The source of a plugin of this kind, with places for its name.
    pub(super) fn source(self) -> &'static str {
        match self {
            Self::Augmentation => include_str!("../../templates/plugin/augmentation.rs"),
            Self::Backbone => include_str!("../../templates/plugin/backbone.rs"),
            Self::Dataset => include_str!("../../templates/plugin/dataset.rs"),
            Self::Head => include_str!("../../templates/plugin/head.rs"),
            Self::Loss => include_str!("../../templates/plugin/loss.rs"),
            Self::Monitor => include_str!("../../templates/plugin/monitor.rs"),
            Self::Objective => include_str!("../../templates/plugin/objective.rs"),
            Self::Optimizer => include_str!("../../templates/plugin/optimizer.rs"),
            Self::Schedule => include_str!("../../templates/plugin/schedule.rs"),
        }
    }

    /// The crates of moco-rs that its source uses, in order.
    pub(super) fn crates(self) -> &'static [&'static str] {
        match self {
            Self::Augmentation | Self::Dataset | Self::Monitor | Self::Optimizer | Self::Schedule => {
                &["plugin-api"]
            }
            Self::Backbone | Self::Head => &["nn", "plugin-api", "tensor-ops"],
            Self::Loss | Self::Objective => &["plugin-api", "tensor-ops"],
        }
    }

    /// Where a pipeline file names it, and how.
    pub(super) fn use_in_a_pipeline(self) -> &'static str {
        match self {
            Self::Augmentation => "in a view: `(\"__name__\", (p: 0.5))`",
            Self::Backbone => "in `modules`: `\"backbone\": (\"__name__\", (width: 16))`",
            Self::Dataset => "in `data`: `source: (\"__name__\", (train: 1024, test: 256))`",
            Self::Head => "in `modules`: `\"head\": (\"__name__\", (hidden: 128, out: 64))`",
            Self::Loss => "in `modules`: `\"contrast\": (\"__name__\", (temperature: 0.2))`",
            Self::Monitor => "in `monitor`: `(\"__name__\", (every: 1))`",
            Self::Objective => {
                "in `modules`: `\"objective\": (\"__name__\", ())`, and in `graph` on two steps: \
                 `(id: \"loss\", run: [\"objective\"], on: [\"a\", \"b\"])`"
            }
            Self::Optimizer => "`optimizer: (\"__name__\", (weight_decay: 1e-4))`",
            Self::Schedule => "`schedule: (\"__name__\", (end: 0.0))`",
        }
    }

    /// A small pipeline that trains with it.
    pub(super) fn pipeline(self) -> String {
        if self == Self::Objective {
            return include_str!("../../templates/pipeline/objective.ron").to_owned();
        }
        let mut pipeline = include_str!("../../templates/pipeline/contrast.ron").to_owned();
        for (place, kind, own, usual) in [
            (
                "source",
                Self::Dataset,
                "(\"__name__\", (train: 2048, test: 512))",
                "(\"shapes\", (train: 2048, test: 512))",
            ),
            ("augmentation", Self::Augmentation, "(\"__name__\", (p: 0.2)),\n            ", ""),
            (
                "backbone",
                Self::Backbone,
                "(\"__name__\", (width: 16, batch_norm_splits: 4))",
                "(\"resnet\", (depth: 18, width: 8, stem: Cifar, batch_norm_splits: 4))",
            ),
            ("head", Self::Head, "(\"__name__\", (hidden: 64, out: 64))", "(\"mlp\", (out: 64))"),
            (
                "loss",
                Self::Loss,
                "(\"__name__\", (temperature: 0.1))",
                "(\"queue\", (len: 512, temperature: 0.1))",
            ),
            (
                "optimizer",
                Self::Optimizer,
                "(\"__name__\", (weight_decay: 1e-4))",
                "(\"sgd\", (momentum: 0.9, weight_decay: 1e-4))",
            ),
            ("schedule", Self::Schedule, "(\"__name__\", (end: 0.0))", "(\"cosine\", (per: Step))"),
            ("monitor", Self::Monitor, ", (\"__name__\", (every: 1))", ""),
        ] {
            pipeline = pipeline.replace(&format!("__{place}__"), if kind == self { own } else { usual });
        }
        pipeline
    }
}
