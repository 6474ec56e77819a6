//! From an image to tokens.

use plugin_api::{ConfigError, Module, Part as _, Visitor, VisitorMut};
use tensor_ops::{
    BatchNorm, ConvAlgorithm, ConvGeometry, FeatureMap, Mode, OpError, Parameter, ParameterKind, Tokens,
    batch_norm_relu, conv2d, tokens_from_map,
};

use crate::config::{Sizes, Stem, VitConfig};
use crate::init::{Builder, unplaced, xavier};

/// What makes tokens of an image: `(N, H, W, 3)` to `(N, H/P · W/P, D)`, row after row.
pub(crate) struct PatchEmbed {
    /// The halving layers; none if patches are projected directly.
    layers: Vec<ConvNormRelu>,
    /// Of a whole batch; `None` without batch norm.
    batch_norm_splits: Option<usize>,
    /// The last convolution, or the only one.
    weight: Parameter,
    bias: Parameter,
    geometry: ConvGeometry,
}

/// A 3x3 convolution with stride 2, batch norm, ReLU.
struct ConvNormRelu {
    weight: Parameter,
    norm: BatchNorm,
}

impl ConvNormRelu {
    const GEOMETRY: ConvGeometry = ConvGeometry { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    /// Convolution, batch norm and ReLU count in the names.
    const N_PLACES: usize = 3;
}

impl PatchEmbed {
    /// The stem that `config` describes.
    pub(crate) fn new(config: &VitConfig, sizes: Sizes, builder: &Builder<'_>) -> Result<Self, ConfigError> {
        match config.stem {
            Stem::Patch => Self::projection(config, sizes, builder),
            Stem::Conv => Self::convolutions(config, sizes, builder),
        }
    }

    /// A linear layer on each patch, with Xavier's bound for that layer.
    fn projection(config: &VitConfig, sizes: Sizes, builder: &Builder<'_>) -> Result<Self, ConfigError> {
        let (side, n_inputs) = (config.patch, builder.context.n_inputs);
        let bound = xavier(n_inputs * side * side, sizes.dim);
        let shape = [side, side, n_inputs, sizes.dim];
        let mut weight = builder.uniform("patch_embed.proj.weight", ParameterKind::Kernel, &shape, bound)?;
        let mut bias = builder.zeros(sizes.dim)?;
        weight.set_trainable(!config.freeze_patch_projection);
        bias.set_trainable(!config.freeze_patch_projection);
        let geometry = ConvGeometry::square(side, side, 0);
        Ok(Self { layers: Vec::new(), batch_norm_splits: None, weight, bias, geometry })
    }

    /// Four layers that each halve the image and get wider, then a 1x1 convolution. PyTorch's initial values: the
    /// reference sets none here.
    fn convolutions(config: &VitConfig, sizes: Sizes, builder: &Builder<'_>) -> Result<Self, ConfigError> {
        let splits = builder.context.splits_in_part(config.batch_norm_splits)?;
        let mut n_inputs = builder.context.n_inputs;
        let mut layers = Vec::new();
        for (i, n_outputs) in [sizes.dim / 8, sizes.dim / 4, sizes.dim / 2, sizes.dim].into_iter().enumerate()
        {
            let name = format!("patch_embed.proj.{}.weight", i * ConvNormRelu::N_PLACES);
            let bound = torch_bound(9 * n_inputs);
            let weight =
                builder.uniform(&name, ParameterKind::Kernel, &[3, 3, n_inputs, n_outputs], bound)?;
            let mut norm = BatchNorm::new(builder.device(), n_outputs).map_err(unplaced)?;
            norm.splits = splits;
            layers.push(ConvNormRelu { weight, norm });
            n_inputs = n_outputs;
        }
        let name = format!("patch_embed.proj.{}", layers.len() * ConvNormRelu::N_PLACES);
        let bound = torch_bound(n_inputs);
        let shape = [1, 1, n_inputs, sizes.dim];
        let weight = builder.uniform(&format!("{name}.weight"), ParameterKind::Kernel, &shape, bound)?;
        let bias = builder.uniform(&format!("{name}.bias"), ParameterKind::Vector, &[sizes.dim], bound)?;
        let batch_norm_splits = Some(config.batch_norm_splits);
        Ok(Self { layers, batch_norm_splits, weight, bias, geometry: ConvGeometry::square(1, 1, 0) })
    }

    pub(crate) fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Tokens, OpError> {
        let mut x = images;
        for layer in &mut self.layers {
            x = conv2d(x, &layer.weight, None, ConvNormRelu::GEOMETRY, ConvAlgorithm::Auto)?; // (N, H, W, C) → (N, H/2, W/2, C′)
            x = batch_norm_relu(x, &mut layer.norm, mode)?;
        }
        let x = conv2d(x, &self.weight, Some(&self.bias), self.geometry, ConvAlgorithm::Auto)?; // → (N, H/P, W/P, D)
        tokens_from_map(x) // → (N, T, D)
    }

    /// The name of a parameter of the last convolution, which is numbered if others come before it.
    fn last_name(&self, parameter: &str) -> String {
        match self.layers.len() {
            0 => parameter.to_owned(),
            n => format!("{}.{parameter}", n * ConvNormRelu::N_PLACES),
        }
    }
}

/// Named as in the reference, where ReLU counts too.
impl Module for PatchEmbed {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (i, layer) in self.layers.iter().enumerate() {
            let place = i * ConvNormRelu::N_PLACES;
            layer.weight.visit_part(&format!("{place}.weight"), visitor);
            layer.norm.visit_part(&(place + 1).to_string(), visitor);
        }
        self.weight.visit_part(&self.last_name("weight"), visitor);
        self.bias.visit_part(&self.last_name("bias"), visitor);
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let place = i * ConvNormRelu::N_PLACES;
            layer.weight.visit_part_mut(&format!("{place}.weight"), visitor);
            layer.norm.visit_part_mut(&(place + 1).to_string(), visitor);
        }
        let (weight, bias) = (self.last_name("weight"), self.last_name("bias"));
        self.weight.visit_part_mut(&weight, visitor);
        self.bias.visit_part_mut(&bias, visitor);
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.batch_norm_splits
    }
}

/// The bound of PyTorch's uniform initial values for `n_inputs` values that each output sees.
fn torch_bound(n_inputs: usize) -> f64 {
    1.0 / (n_inputs as f64).sqrt()
}
