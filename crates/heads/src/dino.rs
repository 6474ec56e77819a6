//! DINO's head.

use nn::{Builder, Init, Linear, LinearConfig, cosines};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{ConfigError, Head, Module, ModuleContext, Part as _, Visitor, VisitorMut};
use tensor_ops::{BatchNorm, Features, Mode, OpError, Parameter, ParameterKind, batch_norm_features};

use crate::Norm;
use crate::gelu::gelu;
use crate::width::check_width;

/// The config of [`DinoHead`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct DinoHeadConfig {
    /// Number of linear layers before the last one. DINO: 3.
    pub layers: usize,
    /// Hidden dimension. DINO: 2048.
    pub hidden: usize,
    /// Dimension in which rows have unit length, before the last layer. DINO: 256.
    pub bottleneck: usize,
    /// Number of outputs. DINO: 65536 for ImageNet.
    pub out: usize,
    /// Normalization after each hidden layer, before its GELU. DINO: None for a ViT, Batch for a ResNet. With batch norm,
    /// these layers have no bias.
    pub norm: Norm,
}

/// DINO's for ImageNet and a ViT.
impl Default for DinoHeadConfig {
    fn default() -> Self {
        Self { layers: 3, hidden: 2048, bottleneck: 256, out: 65536, norm: Norm::None }
    }
}

impl DinoHeadConfig {
    fn check(&self, context: &ModuleContext) -> Result<(), ConfigError> {
        /// Deeper heads are typos.
        const MAX_LAYERS: usize = 64;
        if !(1..=MAX_LAYERS).contains(&self.layers) {
            let must = format!("it must be between 1 and {MAX_LAYERS}");
            return Err(ConfigError::field("layers", self.layers, must));
        }
        check_width("hidden", self.hidden)?;
        check_width("bottleneck", self.bottleneck)?;
        check_width("out", self.out)?;
        if self.norm == Norm::Batch && context.batch < 2 {
            let message = "batch norm would see a single row of features, which it would set to 0";
            return Err(ConfigError::unfit(message, "use a batch of at least 2, or `norm: None`"));
        }
        Ok(())
    }
}

/// Linear layers with GELU between them, rows of unit length, and a last layer with weights of unit length: `(N, D)` to
/// `(N, K)` (DINO: Caron et al. 2021, arXiv:2104.14294, §3 and appendix C).
///
/// The last layer is PyTorch's with weight normalization whose lengths stay 1, as in the authors' program: it has the name
/// `last_layer.weight_v`, and no lengths.
pub struct DinoHead {
    layers: Vec<Layer>,
    /// `(bottleneck, K)`.
    last: Parameter,
    n_outputs: usize,
}

struct Layer {
    linear: Linear,
    norm: Option<BatchNorm>,
    is_last: bool,
    /// The place of `linear` in PyTorch's sequence.
    place: usize,
}

/// The spread of initial weights but for the last layer's; biases start at 0.
const INIT: Init = Init::Normal { std: 0.02 };

impl DinoHead {
    /// The head for `config`, with the authors' initialization.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn new(config: DinoHeadConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        config.check(context)?;
        let builder = Builder::of(context);
        let mut layers = Vec::with_capacity(config.layers);
        let (mut n_inputs, mut place) = (context.n_inputs, 0);
        for i in 0..config.layers {
            let is_last = i + 1 == config.layers;
            let has_norm = config.norm == Norm::Batch && !is_last;
            let n_outputs = if is_last { config.bottleneck } else { config.hidden };
            let bias = (!has_norm).then_some(Init::ZEROS);
            let linear = LinearConfig { n_inputs, n_outputs, weight: INIT, bias };
            let linear = linear.build(&builder.part(&format!("mlp.{place}")))?;
            let norm = if has_norm { Some(batch_norm(builder.device(), n_outputs)?) } else { None };
            layers.push(Layer { linear, norm, is_last, place });
            n_inputs = n_outputs;
            place += if has_norm { 3 } else { 2 };
        }
        let shape = [config.bottleneck, config.out];
        // Made after the others' weights are drawn, in the authors' program, it keeps PyTorch's own. Only its direction counts,
        // but a longer row turns more slowly.
        let init = Init::torch(config.bottleneck);
        let last = builder.part("last_layer").parameter("weight_v", ParameterKind::Matrix, &shape, init)?;
        Ok(Self { layers, last, n_outputs: config.out })
    }
}

fn batch_norm(device: &tensor_ops::Device, width: usize) -> Result<BatchNorm, ConfigError> {
    BatchNorm::new(device, width).map_err(|error| {
        ConfigError::unfit(format!("the parameters cannot be placed: {error}"), "use a narrower module")
    })
}

impl Layer {
    fn forward(&mut self, x: Features, mode: Mode) -> Result<Features, OpError> {
        let mut x = self.linear.forward(x)?;
        if let Some(norm) = &mut self.norm {
            x = batch_norm_features(x, norm, mode)?;
        }
        if self.is_last { Ok(x) } else { gelu(x) }
    }
}

impl Module for DinoHead {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for Layer { linear, norm, place, .. } in &self.layers {
            linear.visit_part(&format!("mlp.{place}"), visitor);
            norm.visit_part(&format!("mlp.{}", place + 1), visitor);
        }
        self.last.visit_part("last_layer.weight_v", visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        for Layer { linear, norm, place, .. } in &mut self.layers {
            linear.visit_part_mut(&format!("mlp.{place}"), visitor);
            norm.visit_part_mut(&format!("mlp.{}", *place + 1), visitor);
        }
        self.last.visit_part_mut("last_layer.weight_v", visitor);
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.layers.iter().find_map(|layer| layer.norm.as_ref()).and_then(Module::batch_norm_splits)
    }
}

impl Head for DinoHead {
    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        let features = self.layers.iter_mut().try_fold(features, |x, layer| layer.forward(x, mode))?;
        cosines(features, &self.last)
    }
}
