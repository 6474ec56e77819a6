//! A stage: blocks of one width, after a layer that halves the map.

use nn::{Builder, Conv, ConvConfig, Init, LayerNormConfig};
use plugin_api::{ConfigError, Module};
use tensor_ops::{
    ConvAlgorithm, ConvGeometry, LayerNorm, OpError, Tokens, layer_norm, map_from_tokens, tokens_from_map,
};

use crate::block::{Block, LAYER_NORM_EPS, WEIGHTS};

/// A convolution of squares of pixels that do not overlap, with bias.
pub(crate) fn squares(
    n_inputs: usize,
    n_outputs: usize,
    side: usize,
    builder: &Builder<'_>,
) -> Result<Conv, ConfigError> {
    let config = ConvConfig {
        n_inputs,
        n_outputs,
        groups: 1,
        geometry: ConvGeometry::square(side, side, 0),
        weight: WEIGHTS,
        bias: Some(Init::ZEROS),
        algorithm: ConvAlgorithm::Auto,
    };
    config.build(builder)
}

/// The pixels of maps, and the height and width of these.
pub(crate) type Pixels = (Tokens, (usize, usize));

/// Blocks, after a halving but in the first stage.
pub(crate) struct Stage {
    norm: Option<LayerNorm>,
    halving: Option<Conv>,
    blocks: Vec<Block>,
}

impl Stage {
    /// `n_inputs` is `dim` where the map is not halved.
    pub(crate) fn new(
        n_inputs: usize,
        dim: usize,
        n_blocks: usize,
        layer_scale: f64,
        builder: &Builder<'_>,
    ) -> Result<Self, ConfigError> {
        let is_halved = n_inputs != dim;
        let halving = is_halved.then(|| squares(n_inputs, dim, 2, &builder.part("downsample.1")));
        let norm = is_halved.then(|| LayerNormConfig { dim: n_inputs, eps: LAYER_NORM_EPS }.build(builder));
        let blocks =
            (0..n_blocks).map(|i| Block::new(dim, layer_scale, &builder.part(&format!("blocks.{i}"))));
        Ok(Self {
            norm: norm.transpose()?,
            halving: halving.transpose()?,
            blocks: blocks.collect::<Result<_, _>>()?,
        })
    }

    /// The number of its blocks.
    pub(crate) fn n_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// `(N, H W, D)` to `(N, H' W', D')`; `factors` gives those of each block in turn.
    pub(crate) fn forward(
        &self,
        (mut x, mut size): Pixels,
        factors: &mut impl Iterator<Item = Option<Vec<f32>>>,
    ) -> Result<Pixels, OpError> {
        if let (Some(norm), Some(halving)) = (&self.norm, &self.halving) {
            let map = halving.forward(map_from_tokens(layer_norm(x, norm)?, size)?)?;
            size = (map.h(), map.w());
            x = tokens_from_map(map)?;
        }
        for block in &self.blocks {
            x = block.forward(x, size, factors.next().flatten())?;
        }
        Ok((x, size))
    }
}

impl Module for Stage {
    plugin_api::visit! { self;
        "downsample.0" => self.norm,
        "downsample.1" => self.halving,
        "blocks" => self.blocks,
    }
}
