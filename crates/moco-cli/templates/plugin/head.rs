//! The head `__name__`.
__crate_attributes__
use nn::{Builder, Linear, LinearConfig};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ConfigError, Head, Module, ModuleContext};
use tensor_ops::{Features, Mode, OpError, relu_features};

plugin_api::register! {
    dyn Head {
        name: "__name__",
        summary: "two linear layers with ReLU between them",
        source: "",
        example: "(hidden: 128, out: 64)",
        build: |config: __Name__Config, context| __Name__::new(config, context),
    }
}

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// Width between the layers, 1-65536.
    pub hidden: usize,
    /// Width of the embeddings, 1-65536.
    pub out: usize,
}

impl Default for __Name__Config {
    fn default() -> Self {
        Self { hidden: 128, out: 64 }
    }
}

/// Features `(N, D)` to embeddings `(N, C)`.
pub struct __Name__ {
    first: Linear,
    last: Linear,
    n_outputs: usize,
}

impl __Name__ {
    /// The head for `config`, with PyTorch's initialization.
    ///
    /// # Errors
    /// If a width is out of range.
    pub fn new(config: __Name__Config, context: &ModuleContext) -> Result<Self, ConfigError> {
        let __Name__Config { hidden, out } = config;
        for (field, width) in [("hidden", hidden), ("out", out)] {
            if !(1..=65536).contains(&width) {
                return Err(ConfigError::field(field, width, "it must be from 1 to 65536"));
            }
        }
        let builder = Builder::of(context);
        Ok(Self {
            first: LinearConfig::new(context.n_inputs, hidden).build(&builder.part("first"))?,
            last: LinearConfig::new(hidden, out).build(&builder.part("last"))?,
            n_outputs: out,
        })
    }
}

impl Module for __Name__ {
    plugin_api::visit! { self;
        "first" => self.first,
        "last" => self.last,
    }
}

impl Head for __Name__ {
    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn forward(&mut self, features: Features, _mode: Mode) -> Result<Features, OpError> {
        let hidden = relu_features(self.first.forward(features)?)?; // (N, hidden)
        self.last.forward(hidden) // (N, C)
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::{Config, build};

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_head("__name__");
        plugin_tests::check_head_with("__name__", "(hidden: 5, out: 3)");
    }

    #[test]
    fn a_width_of_0_is_refused() {
        let context = plugin_api::ModuleContext {
            device: tensor_ops::Device::default(),
            n_inputs: 16,
            map: None,
            image_size: (32, 32),
            batch: 8,
            parts: 1,
            processes: std::sync::Arc::new(plugin_api::processes::Alone),
            seed: 0,
            name: "head".into(),
        };
        let built = build::<dyn plugin_api::Head>("__name__", Config::new("(out: 0)"), &context);
        assert_eq!(built.map(drop).unwrap_err().to_string(), "`out` is 0, but it must be from 1 to 65536");
    }
}
