//! The backbone `__name__`.
__crate_attributes__
use nn::{Builder, ConvNorm, ConvNormConfig, Init};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{Backbone, ConfigError, Module, ModuleContext};
use tensor_ops::{ConvAlgorithm, FeatureMap, Features, Mode, OpError, global_average_pool};

plugin_api::register! {
    dyn Backbone {
        name: "__name__",
        summary: "three convolutions with batch norm, each halving the image",
        source: "",
        example: "(width: 16)",
        build: |config: __Name__Config, context| __Name__::new(config, context),
    }
}

/// The smallest image, in pixels on each side: three times halved.
const MIN_SIDE: usize = 8;

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// Channels of the first convolution, 1-1024; the others have 2 and 4 times as many.
    pub width: usize,
    /// Parts of a batch, each normalized with statistics of its own. MoCo v1 and v2 need 2 or more.
    pub batch_norm_splits: usize,
}

impl Default for __Name__Config {
    fn default() -> Self {
        Self { width: 16, batch_norm_splits: 1 }
    }
}

/// Images `(N, H, W, C)` to features `(N, D)`, `D` = 4 × width.
pub struct __Name__ {
    convs: Vec<ConvNorm>,
    n_features: usize,
    batch_norm_splits: usize,
}

impl __Name__ {
    /// The network for `config`.
    ///
    /// # Errors
    /// If a value is out of range, the images are too small, or batch norm cannot split the batch.
    pub fn new(config: __Name__Config, context: &ModuleContext) -> Result<Self, ConfigError> {
        let __Name__Config { width, batch_norm_splits } = config;
        if !(1..=1024).contains(&width) {
            return Err(ConfigError::field("width", width, "it must be from 1 to 1024"));
        }
        if batch_norm_splits == 0 || !context.batch.is_multiple_of(batch_norm_splits) {
            let must = format!("it must divide the batch, {}", context.batch);
            return Err(ConfigError::field("batch_norm_splits", batch_norm_splits, must));
        }
        check_size(context.image_size)?;
        let (builder, mut n_inputs) = (Builder::of(context), context.n_inputs);
        let mut convs = Vec::new();
        for (place, n_outputs) in [width, 2 * width, 4 * width].into_iter().enumerate() {
            let conv = ConvNormConfig {
                conv_name: format!("conv{}", place + 1),
                norm_name: format!("bn{}", place + 1),
                n_inputs,
                n_outputs,
                groups: 1,
                side_px: 3,
                stride: 2,
                weight: Init::torch(9 * n_inputs),
                algorithm: ConvAlgorithm::Direct,
                scope: context.norm_scope(batch_norm_splits)?,
            };
            convs.push(conv.build(&builder)?);
            n_inputs = n_outputs;
        }
        Ok(Self { convs, n_features: n_inputs, batch_norm_splits })
    }
}

fn check_size((height, width): (usize, usize)) -> Result<(), ConfigError> {
    if height.min(width) >= MIN_SIDE {
        return Ok(());
    }
    Err(ConfigError::unfit(
        format!("images of {height} x {width} pixels are too small"),
        format!("make views of at least {MIN_SIDE} x {MIN_SIDE} pixels"),
    ))
}

impl Module for __Name__ {
    plugin_api::visit! { self;
        "" => self.convs[0],
        "" => self.convs[1],
        "" => self.convs[2],
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        Some(self.batch_norm_splits)
    }
}

impl Backbone for __Name__ {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn check_image_size(&self, size: (usize, usize), _mode: Mode) -> Result<(), ConfigError> {
        check_size(size)
    }

    fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Features, OpError> {
        let mut x = images; // (N, H, W, C)
        for conv in &mut self.convs {
            x = conv.forward_relu(x, mode)?; // (N, H/2, W/2, C′)
        }
        global_average_pool(x) // (N, D)
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::{Config, build};
    use plugin_tests::{Surroundings, check};

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_backbone("__name__");
        plugin_tests::check_backbone_with("__name__", "(width: 4, batch_norm_splits: 2)");
        let gray = Surroundings { channels: 1, image_size: (24, 40), ..Surroundings::default() };
        check("backbone", "__name__", None, &gray).unwrap();
    }

    #[test]
    fn a_width_of_0_is_refused() {
        let context = plugin_api::ModuleContext {
            device: tensor_ops::Device::default(),
            n_inputs: 3,
            map: None,
            image_size: (32, 32),
            batch: 8,
            parts: 1,
            processes: std::sync::Arc::new(plugin_api::processes::Alone),
            seed: 0,
            name: "backbone".into(),
        };
        let built = build::<dyn plugin_api::Backbone>("__name__", Config::new("(width: 0)"), &context);
        assert_eq!(
            built.map(drop).unwrap_err().to_string(),
            "`width` is 0, but it must be from 1 to 1024"
        );
    }
}
