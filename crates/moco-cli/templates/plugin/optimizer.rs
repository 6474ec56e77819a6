//! The optimizer `__name__`.
__crate_attributes__
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ConfigError, Optimizer, Update};

plugin_api::register! {
    dyn Optimizer {
        name: "__name__",
        summary: "plain gradient descent with L2 weight decay",
        source: "",
        example: "(weight_decay: 1e-4)",
        build: |config: __Name__Config, _context| __Name__::new(config),
    }
}

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// L2 penalty on all parameters, 0 or more.
    pub weight_decay: f64,
}

impl Default for __Name__Config {
    fn default() -> Self {
        Self { weight_decay: 1e-4 }
    }
}

/// `p ← p − lr (g + λ p)`.
#[derive(Debug, Clone)]
pub struct __Name__ {
    weight_decay: f64,
}

impl __Name__ {
    /// The optimizer for `config`.
    ///
    /// # Errors
    /// If the weight decay is negative.
    pub fn new(config: __Name__Config) -> Result<Self, ConfigError> {
        let weight_decay = config.weight_decay;
        if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
            return Err(ConfigError::field("weight_decay", weight_decay, "it must be 0 or more"));
        }
        Ok(Self { weight_decay })
    }
}

impl Optimizer for __Name__ {
    fn slots(&self) -> &'static [&'static str] {
        &[] // What is kept for each value, such as a momentum: the trainer saves it.
    }

    fn update(&self, update: Update<'_>) {
        let Update { values, gradient, lr, weight_decay, .. } = update;
        // A group of parameters may have a decay of its own.
        let decay = weight_decay.unwrap_or(self.weight_decay) as f32;
        for (value, gradient) in values.iter_mut().zip(gradient) {
            *value -= lr as f32 * (*gradient + decay * *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_optimizer("__name__");
        plugin_tests::check_optimizer_with("__name__", "(weight_decay: 0.0)");
    }

    #[test]
    fn a_step_is_the_rate_times_the_gradient() {
        let optimizer = __Name__::new(__Name__Config { weight_decay: 0.0 }).unwrap();
        let mut values = [1.0, -1.0];
        optimizer.update(Update {
            values: &mut values,
            gradient: &mut [2.0, 0.0],
            slots: &mut [],
            lr: 0.25,
            n_updates: 1,
            n_axes: 1,
            weight_decay: None,
        });
        assert_eq!(values, [0.5, -1.0]);
    }

    #[test]
    fn a_negative_decay_is_refused() {
        assert!(__Name__::new(__Name__Config { weight_decay: -1.0 }).is_err());
    }
}
