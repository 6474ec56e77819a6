//! What a pipeline file says about unstable training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checker::Checker;
use pipeline_text::Checked;

/// What is watched, and what is done when training becomes unstable (Chen et al. 2021, arXiv:2104.02057, §4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename = "stability")]
pub struct StabilityConfig {
    /// The parameters whose gradients are watched; the first trained layer's weights where none is named.
    pub watch: Vec<String>,
    /// A gradient whose largest value is more than this many times its running median is a spike; above 1.
    pub spike: f64,
    /// Steps that the running median is over, at least 3.
    pub window: usize,
    /// What is done besides telling.
    pub on_spike: OnSpike,
    /// What is done when a loss or a gradient is not finite.
    pub on_nonfinite: OnNonfinite,
    /// Gradients of a larger Euclidean norm, of all parameters together, are scaled down to this one; positive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
}

impl Default for StabilityConfig {
    fn default() -> Self {
        Self {
            watch: Vec::new(),
            spike: 10.0,
            window: 50,
            on_spike: OnSpike::Nothing,
            on_nonfinite: OnNonfinite::Stop,
            clip_norm: None,
        }
    }
}

/// What is done about a spike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnSpike {
    /// It is told and counted.
    Nothing,
    /// The step changes no weights.
    SkipStep,
    /// The parameters that these patterns match are trained no more (§4: the random patch projection).
    Freeze(Vec<String>),
}

/// What is done when a loss or a gradient is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnNonfinite {
    /// The run ends; its last checkpoint is named.
    Stop,
    /// Training goes on from the last checkpoint, with other draws; after three times in a row the run ends.
    RollBack,
}

/// Whether the numbers make sense.
pub(crate) fn check(checker: &Checker, config: &StabilityConfig) -> Checked<()> {
    let StabilityConfig { spike, window, .. } = config;
    if !(spike.is_finite() && *spike > 1.0) {
        return Err(checker.fault(
            &["stability", "spike"],
            format!("a spike is {spike} times the median, but it must be more than once"),
            "10 is a clear spike",
        ));
    }
    if let Some(norm) = config.clip_norm.filter(|norm| !(norm.is_finite() && *norm > 0.0)) {
        return Err(checker.fault(
            &["stability", "clip_norm"],
            format!("gradients cannot be scaled to a norm of {norm}"),
            "write a positive number; 1 is usual for vision transformers",
        ));
    }
    if *window < 3 {
        return Err(checker.fault(
            &["stability", "window"],
            format!("the median over {window} steps says little"),
            "write 3 or more; 50 is usual",
        ));
    }
    Ok(())
}
