//! Which features of which encoder: choices that several commands offer.

use train_core::pipeline::Weights;
use train_core::plugin::Level;

/// The layer that features come from.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Layer {
    /// What the backbone gives, and what is used after pre-training.
    Backbone,
    /// What the head gives, and what the loss sees.
    Head,
}

impl Layer {
    pub(crate) fn level(self) -> Level {
        match self {
            Self::Backbone => Level::Backbone,
            Self::Head => Level::Head,
        }
    }
}

/// One of a run's two encoders.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    /// The trained one.
    Query,
    /// Its moving average.
    Momentum,
}

impl Side {
    pub(crate) fn weights(self) -> Weights {
        match self {
            Self::Query => Weights::Query,
            Self::Momentum => Weights::Momentum,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Momentum => "momentum",
        }
    }
}
