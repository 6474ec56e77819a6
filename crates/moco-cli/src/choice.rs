//! Options that several commands share: the features, the encoder, and positive numbers.

use pipeline::Weights;
use plugin_api::Level;

/// Where in the encoder the features are taken.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Layer {
    /// Output of the backbone, which is used after pre-training.
    Backbone,
    /// Output of the projection head, which the loss sees.
    Head,
}

impl Layer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Backbone => "backbone",
            Self::Head => "head",
        }
    }

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
    /// The trained encoder.
    Query,
    /// Its moving average (EMA).
    Momentum,
}

impl Side {
    pub(crate) fn weights(self) -> Weights {
        match self {
            Self::Query => Weights::Query,
            Self::Momentum => Weights::Momentum,
        }
    }

    /// The side of an encoder in a file of weights.
    pub(crate) fn in_file(self) -> moco::exchange::Side {
        match self {
            Self::Query => moco::exchange::Side::Query,
            Self::Momentum => moco::exchange::Side::Momentum,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Momentum => "momentum",
        }
    }
}

/// Parses a number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("it must be a number above 0".into()),
    }
}
