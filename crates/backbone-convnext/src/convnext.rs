//! The whole network.

use nn::{Builder, Conv, DropPath, LayerNormConfig};
use plugin_api::{Backbone, ConfigError, MapShape, Module, ModuleContext, PassDraws};
use tensor_ops::{
    FeatureMap, Features, LayerNorm, Mode, OpError, Tokens, layer_norm, layer_norm_features, mean_tokens,
    tokens_from_map,
};

use crate::block::LAYER_NORM_EPS;
use crate::config::{ConvNextConfig, Sizes};
use crate::stage::{Stage, squares};

/// Images `(N, H, W, C)` to features `(N, D)`.
pub struct ConvNext {
    /// A convolution of patches, and a layer norm of what becomes of them.
    stem: Conv,
    stem_norm: LayerNorm,
    stages: Vec<Stage>,
    /// Of the means over all pixels.
    norm: LayerNorm,
    drop_path: DropPath,
    sizes: Sizes,
}

impl ConvNext {
    /// The network for `config`, with the paper's initialization.
    ///
    /// # Errors
    /// If a size is missing or out of range, or nothing is left of the images at its end.
    pub fn new(config: ConvNextConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        let sizes = config.sizes()?;
        sizes.check(context.image_size)?;
        let builder = Builder::of(context);
        let norm = |dim: usize| LayerNormConfig { dim, eps: LAYER_NORM_EPS }.build(&builder);
        let stages = sizes.blocks.into_iter().enumerate().map(|(i, n_blocks)| {
            let part = builder.part(&format!("stages.{i}"));
            Stage::new(sizes.dim(i.saturating_sub(1)), sizes.dim(i), n_blocks, config.layer_scale, &part)
        });
        Ok(Self {
            stem: squares(context.n_inputs, sizes.width, sizes.patch, &builder.part("stem.0"))?,
            stem_norm: norm(sizes.width)?,
            stages: stages.collect::<Result<_, _>>()?,
            norm: norm(sizes.dim(3))?,
            drop_path: DropPath::new(config.drop_path)?,
            sizes,
        })
    }

    /// What the last block makes of images: `(N, H, W, C)` to `(N, H″ W″, D)`.
    fn last_map(&mut self, images: FeatureMap, mode: Mode) -> Result<Tokens, OpError> {
        let n = images.n();
        let depth = self.n_blocks();
        let factors = match mode {
            Mode::Train => self.drop_path.pass::<1>(depth, n)?,
            Mode::Eval => vec![None; depth],
        };
        let mut factors = factors.into_iter().map(|of_block| of_block.map(|[of_branch]| of_branch));
        let map = self.stem.forward(images)?; // (N, H, W, C) → (N, H/P, W/P, D)
        let size = (map.h(), map.w());
        let mut x = (layer_norm(tokens_from_map(map)?, &self.stem_norm)?, size);
        for stage in &self.stages {
            x = stage.forward(x, &mut factors)?; // (N, H W, D) → (N, H/2 W/2, 2 D) but for the first
        }
        Ok(x.0)
    }

    fn n_blocks(&self) -> usize {
        self.stages.iter().map(Stage::n_blocks).sum()
    }
}

impl Module for ConvNext {
    plugin_api::visit! { self;
        "stem.0" => self.stem,
        "stem.1" => self.stem_norm,
        "stages" => self.stages,
        "head.norm" => self.norm,
    }
}

impl Backbone for ConvNext {
    fn n_features(&self) -> usize {
        self.sizes.dim(3)
    }

    fn stem(&self) -> &'static [&'static str] {
        &["stem"]
    }

    fn set_draws(&mut self, draws: PassDraws) {
        self.drop_path.set_draws(draws);
    }

    fn set_drop_path(&mut self, rate: f64) -> Result<(), ConfigError> {
        self.drop_path = DropPath::new(rate)?;
        Ok(())
    }

    fn check_image_size(&self, size: (usize, usize), _: Mode) -> Result<(), ConfigError> {
        self.sizes.check(size)
    }

    fn n_layers(&self) -> usize {
        1 + self.n_blocks()
    }

    /// Each block is a layer, and what halves the map before a stage is in that of its first block.
    fn layer_of(&self, name: &str) -> Option<usize> {
        if name.starts_with("head.") {
            return None;
        }
        let mut first = 1;
        for (i, stage) in self.stages.iter().enumerate() {
            if let Some(name) = name.strip_prefix(&format!("stages.{i}.")) {
                let is_of = |block: &usize| name.starts_with(&format!("blocks.{block}."));
                return Some(first + (0..stage.n_blocks()).find(is_of).unwrap_or(0));
            }
            first += stage.n_blocks();
        }
        Some(0)
    }

    fn map_shape(&self, (height, width): (usize, usize)) -> Option<MapShape> {
        // What does not fill a square of the stem or of a halving is left out.
        let halvings = self.stages.len() - 1;
        let [rows, columns] = [height, width].map(|side| (side / self.sizes.patch) >> halvings);
        Some(MapShape { rows, columns, channels: self.sizes.dim(3) })
    }

    fn forward_with_map(&mut self, images: FeatureMap, mode: Mode) -> Result<(Features, Tokens), OpError> {
        let x = self.last_map(images, mode)?;
        let positions = x.fork();
        Ok((layer_norm_features(mean_tokens(x, 0)?, &self.norm)?, positions))
    }

    fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Features, OpError> {
        let x = self.last_map(images, mode)?;
        layer_norm_features(mean_tokens(x, 0)?, &self.norm) // (N, H W, D) → (N, D)
    }
}
