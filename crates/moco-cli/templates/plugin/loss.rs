//! The contrastive loss `__name__`.
__crate_attributes__
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    ConfigError, Contrast, ContrastiveLoss, Keys, LossContext, LossRange, Module, check_temperature,
    set_temperature,
};
use tensor_ops::{
    Features, KeepLogits, Matrix, OpError, Recording, Rows as _, info_nce_in_batch, l2_normalize, scale_loss,
};

plugin_api::register! {
    dyn ContrastiveLoss {
        name: "__name__",
        summary: "cross entropy of a query over the keys of the batch, with its own key as the target",
        source: "InfoNCE (van den Oord et al. 2018, arXiv:1807.03748)",
        example: "(temperature: 0.2)",
        build: |config: __Name__Config, context| __Name__::new(config, context),
    }
}

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// Temperature `T`, 0.001 to 1000: cosines are divided by it.
    pub temperature: f64,
}

/// `-log(exp(q·k / T) / Σ exp(q·kᵢ / T))`, averaged over the queries `q`; `k` is the key of the same image, and the sum is over
/// the keys of the batch. It has no parameters and keeps nothing from step to step.
#[derive(Debug, Clone)]
pub struct __Name__ {
    width: usize,
    temperature: f64,
}

impl __Name__ {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If the temperature is out of range, or a batch has a single image.
    pub fn new(config: __Name__Config, context: &LossContext) -> Result<Self, ConfigError> {
        let temperature = check_temperature(config.temperature)?;
        if context.batch < 2 {
            return Err(ConfigError::unfit(
                "a batch of one image has nothing to compare it with",
                "use a batch of at least 2",
            ));
        }
        Ok(Self { width: context.n_inputs, temperature })
    }

    fn check_shapes(&self, queries: &Features, keys: &Matrix) -> Result<(), OpError> {
        let (expected, got) = ((queries.n(), self.width), (keys.n(), keys.d()));
        for (what, got) in [("shape of the queries", (queries.n(), queries.d())), ("shape of the keys", got)] {
            if got != expected {
                return Err(OpError::shape("__name__", what, expected, got));
            }
        }
        Ok(())
    }
}

impl Module for __Name__ {
    plugin_api::visit! { self; }
}

impl ContrastiveLoss for __Name__ {
    fn loss(&mut self, queries: Features, keys: Keys<'_>, keep: KeepLogits) -> Result<Contrast, OpError> {
        self.check_shapes(&queries, keys.own)?;
        let queries = l2_normalize(queries)?; // (N, C)
        let all = keys.all.clone().with_recording(Recording::Off);
        let (all, _) = l2_normalize(all)?.split_recording(); // (M, C)
        let temperature = self.temperature as f32;
        let contrast = info_nce_in_batch(queries, &all, keys.first, temperature, keep)?;
        // The operation is MoCo v3's, which is 2 T times the cross entropy.
        let factor = 1.0 / (2.0 * temperature);
        Ok(Contrast {
            loss: scale_loss(contrast.loss, factor)?,
            value: contrast.value * factor,
            ..contrast
        })
    }

    fn enqueue(&mut self, _keys: &Matrix) -> Result<(), OpError> {
        Ok(()) // The next step has keys of its own.
    }

    fn loss_range(&self, n: usize) -> LossRange {
        let n = n as f64;
        LossRange {
            chance: n.ln(),
            floor: ((n - 1.0) * (-1.0 / self.temperature).exp()).ln_1p(),
        }
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::{Config, build};

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_loss("__name__");
        plugin_tests::check_loss_with("__name__", "(temperature: 1.0)");
    }

    #[test]
    fn a_temperature_of_0_is_refused() {
        let context = plugin_api::LossContext {
            device: tensor_ops::Device::default(),
            n_inputs: 16,
            batch: 8,
            keys_per_step: 8,
            seed: 0,
            name: "contrast".into(),
        };
        let config = Config::new("(temperature: 0.0)");
        let built = build::<dyn plugin_api::ContrastiveLoss>("__name__", config, &context);
        assert_eq!(
            built.map(drop).unwrap_err().to_string(),
            "`temperature` is 0, but it must be from 0.001 to 1000; papers have 0.04 to 1"
        );
    }
}
