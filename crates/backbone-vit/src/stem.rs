//! From an image to tokens.

use nn::{Builder, Conv, ConvConfig, ConvNorm, ConvNormConfig, Init};
use plugin_api::{ConfigError, Module, ModuleContext, Part as _, Visitor, VisitorMut};
use tensor_ops::{ConvAlgorithm, ConvGeometry, FeatureMap, Mode, OpError, Tokens, tokens_from_map};

use crate::config::{Sizes, VitConfig};
use crate::stem_choice::Stem;

/// Converts an image to tokens: `(N, H, W, C)` to `(N, H/P · W/P, D)`, row after row.
pub(crate) struct PatchEmbed {
    /// The layers that halve the image; none if patches are projected directly.
    layers: Vec<ConvNorm>,
    /// Of a whole batch; `None` without batch norm.
    batch_norm_splits: Option<usize>,
    /// The last convolution, or the only one.
    last: Conv,
    /// Empty for the only one.
    last_name: String,
}

/// Of a halving layer: convolution, batch norm and ReLU count in the names.
const N_PLACES: usize = 3;

impl PatchEmbed {
    /// The stem that `config` describes, of the part that `builder` is for.
    pub(crate) fn new(
        config: &VitConfig,
        sizes: Sizes,
        context: &ModuleContext,
        builder: &Builder<'_>,
    ) -> Result<Self, ConfigError> {
        match config.stem {
            Stem::Patch => Self::projection(config, sizes, context, builder),
            Stem::Conv => Self::convolutions(config, sizes, context, builder),
        }
    }

    /// A linear layer on each patch, with Xavier's bound for that layer.
    fn projection(
        config: &VitConfig,
        sizes: Sizes,
        context: &ModuleContext,
        builder: &Builder<'_>,
    ) -> Result<Self, ConfigError> {
        let (side, n_inputs) = (config.patch, context.n_inputs);
        let last = ConvConfig {
            n_inputs,
            n_outputs: sizes.dim,
            groups: 1,
            geometry: ConvGeometry::square(side, side, 0),
            weight: Init::xavier(n_inputs * side * side, sizes.dim),
            bias: Some(Init::ZEROS),
            algorithm: ConvAlgorithm::Auto,
        };
        let mut last = last.build(builder)?;
        for parameter in [&mut last.weight].into_iter().chain(&mut last.bias) {
            parameter.set_trainable(!config.freeze_patch_projection);
        }
        Ok(Self { layers: Vec::new(), batch_norm_splits: None, last, last_name: String::new() })
    }

    /// Four layers that each halve the image and widen it, then a 1x1 convolution. With PyTorch's initialization,
    /// because the reference sets none here.
    fn convolutions(
        config: &VitConfig,
        sizes: Sizes,
        context: &ModuleContext,
        builder: &Builder<'_>,
    ) -> Result<Self, ConfigError> {
        let scope = context.norm_scope(config.batch_norm_splits)?;
        let dim = sizes.dim;
        let mut n_inputs = context.n_inputs;
        let mut layers = Vec::new();
        for (i, n_outputs) in [dim / 8, dim / 4, dim / 2, dim].into_iter().enumerate() {
            let config = ConvNormConfig {
                conv_name: (i * N_PLACES).to_string(),
                norm_name: (i * N_PLACES + 1).to_string(),
                n_inputs,
                n_outputs,
                groups: 1,
                side_px: 3,
                stride: 2,
                weight: Init::torch(9 * n_inputs),
                algorithm: ConvAlgorithm::Auto,
                scope: scope.clone(),
            };
            layers.push(config.build(builder)?);
            n_inputs = n_outputs;
        }
        let init = Init::torch(n_inputs);
        let last = ConvConfig {
            n_inputs,
            n_outputs: dim,
            groups: 1,
            geometry: ConvGeometry::square(1, 1, 0),
            weight: init,
            bias: Some(init),
            algorithm: ConvAlgorithm::Auto,
        };
        let last_name = (layers.len() * N_PLACES).to_string();
        let last = last.build(&builder.part(&last_name))?;
        Ok(Self { layers, batch_norm_splits: Some(config.batch_norm_splits), last, last_name })
    }

    pub(crate) fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Tokens, OpError> {
        let mut x = images;
        for layer in &mut self.layers {
            x = layer.forward_relu(x, mode)?; // (N, H, W, C) → (N, H/2, W/2, C′)
        }
        tokens_from_map(self.last.forward(x)?) // → (N, H/P, W/P, D) → (N, T, D)
    }
}

/// Named as in the reference, where ReLU counts too.
impl Module for PatchEmbed {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.layers.iter().for_each(|layer| layer.visit(visitor));
        self.last.visit_part(&self.last_name, visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        self.layers.iter_mut().for_each(|layer| layer.visit_mut(visitor));
        self.last.visit_part_mut(&self.last_name, visitor);
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.batch_norm_splits
    }
}
