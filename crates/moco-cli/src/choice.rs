//! Choices that several commands offer: which features of which encoder, and positive numbers.

use pipeline::Weights;
use plugin_api::Level;

/// The layer that features come from.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Layer {
    /// What the backbone gives, and what is used after pre-training.
    Backbone,
    /// What the head gives, and what the loss sees.
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

/// An option's value, if it is a number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("it must be a number above 0".into()),
    }
}
