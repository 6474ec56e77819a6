//! The head of MoCo v2, and the projector and predictor of v3.

use plugin_api::{ConfigError, Head, Module, ModuleContext, Part as _, Visitor, VisitorMut};
use tensor_ops::{BatchNorm, Features, Mode, OpError, batch_norm_features, relu_features};

use crate::dense::{Bias, Dense, check_width, unplaced};

/// The config of [`Mlp`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Linear layers. MoCo v2: 2; v3's projector: 2 for a ResNet, 3 for a ViT; v3's predictor: 2.
    #[serde(default = "MlpConfig::moco_v2_layers")]
    pub layers: usize,
    /// The width between two layers; as wide as what comes in where it is left out, which is MoCo v2's. MoCo v3: 4096.
    #[serde(default)]
    pub hidden: Option<usize>,
    /// The width of the embeddings. MoCo v2: 128; v3: 256.
    #[serde(default = "MlpConfig::moco_v2_out")]
    pub out: usize,
    /// What follows each layer but the last, before its ReLU. MoCo v2: None; v3: Batch. With batch norm no layer has a
    /// bias.
    #[serde(default = "MlpConfig::moco_v2_norm")]
    pub norm: Norm,
    /// Whether batch norm without scale and shift follows the last layer; needs `norm: Batch`. MoCo v3: true, but false
    /// for the predictor of a ResNet.
    #[serde(default = "MlpConfig::moco_v2_last_norm")]
    pub last_norm: bool,
}

/// What follows a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub enum Norm {
    /// Nothing.
    None,
    /// Batch norm.
    Batch,
}

impl MlpConfig {
    fn moco_v2_layers() -> usize {
        2
    }

    fn moco_v2_out() -> usize {
        128
    }

    fn moco_v2_norm() -> Norm {
        Norm::None
    }

    fn moco_v2_last_norm() -> bool {
        false
    }

    fn check(&self, context: &ModuleContext) -> Result<(), ConfigError> {
        /// Deeper heads are typing errors.
        const MAX_LAYERS: usize = 64;
        if !(1..=MAX_LAYERS).contains(&self.layers) {
            let must = format!("it must be between 1 and {MAX_LAYERS}");
            return Err(ConfigError::field("layers", self.layers, must));
        }
        if let Some(hidden) = self.hidden {
            check_width("hidden", hidden)?;
        }
        check_width("out", self.out)?;
        if self.last_norm && self.norm == Norm::None {
            return Err(ConfigError::field("last_norm", true, "it must be false unless `norm` is Batch"));
        }
        if self.norm == Norm::Batch && context.batch < 2 {
            let message = "batch norm would see a single row of features, which it would set to 0";
            return Err(ConfigError::unfit(message, "use a batch of at least 2, or `norm: None`"));
        }
        Ok(())
    }
}

/// Linear layers with ReLU between them: `(N, D)` to `(N, C)`.
///
/// The layers are numbered as in the PyTorch `nn.Sequential` of the reference, where batch norm and ReLU count too.
pub struct Mlp {
    layers: Vec<Layer>,
    n_outputs: usize,
}

struct Layer {
    dense: Dense,
    norm: Option<BatchNorm>,
    activation: Activation,
    /// The place of `dense` in PyTorch's sequence.
    place: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Activation {
    Identity,
    Relu,
}

impl Mlp {
    /// The head that `config` describes, with PyTorch's initial values.
    ///
    /// # Errors
    /// If a number is out of range, or two fields contradict each other.
    pub fn new(config: MlpConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        config.check(context)?;
        let hidden = config.hidden.unwrap_or(context.n_inputs);
        let mut layers = Vec::new();
        let mut n_inputs = context.n_inputs;
        let mut place = 0;
        for i in 0..config.layers {
            let is_last = i + 1 == config.layers;
            let n_outputs = if is_last { config.out } else { hidden };
            let layer = Layer::new(&config, context, is_last, place, n_inputs, n_outputs)?;
            place +=
                1 + usize::from(layer.norm.is_some()) + usize::from(layer.activation == Activation::Relu);
            n_inputs = n_outputs;
            layers.push(layer);
        }
        Ok(Self { layers, n_outputs: config.out })
    }
}

impl Layer {
    fn new(
        config: &MlpConfig,
        context: &ModuleContext,
        is_last: bool,
        place: usize,
        n_inputs: usize,
        n_outputs: usize,
    ) -> Result<Self, ConfigError> {
        let bias = match config.norm {
            Norm::None => Bias::Yes,
            Norm::Batch => Bias::No,
        };
        let dense = Dense::new(context, &format!("{place}."), n_inputs, n_outputs, bias)?;
        let norm = match config.norm {
            Norm::Batch if !is_last => Some(BatchNorm::new(&context.device, n_outputs).map_err(unplaced)?),
            Norm::Batch if config.last_norm => Some(BatchNorm::without_affine(n_outputs)),
            _ => None,
        };
        let activation = if is_last { Activation::Identity } else { Activation::Relu };
        Ok(Self { dense, norm, activation, place })
    }

    fn forward(&mut self, x: Features, mode: Mode) -> Result<Features, OpError> {
        let mut x = self.dense.forward(x)?; // (N, I) → (N, O)
        if let Some(norm) = &mut self.norm {
            x = batch_norm_features(x, norm, mode)?;
        }
        match self.activation {
            Activation::Identity => Ok(x),
            Activation::Relu => relu_features(x),
        }
    }
}

impl Module for Mlp {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for layer in &self.layers {
            layer.dense.visit_part(&layer.place.to_string(), visitor);
            layer.norm.visit_part(&(layer.place + 1).to_string(), visitor);
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        for layer in &mut self.layers {
            layer.dense.visit_part_mut(&layer.place.to_string(), visitor);
            layer.norm.visit_part_mut(&(layer.place + 1).to_string(), visitor);
        }
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.layers.iter().find_map(|layer| layer.norm.as_ref()).and_then(|norm| norm.batch_norm_splits())
    }
}

impl Head for Mlp {
    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        let mut x = features;
        for layer in &mut self.layers {
            x = layer.forward(x, mode)?;
        }
        Ok(x)
    }
}
