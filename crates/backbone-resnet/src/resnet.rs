//! The whole network.

use nn::{Builder, ConvNorm};
use plugin_api::architecture::{self, Architecture};
use plugin_api::{AttentionMaps, Backbone, ConfigError, MapShape, Module, ModuleContext};
use tensor_ops::{
    ConvGeometry, FeatureMap, Features, Mode, OpError, Tokens, global_average_pool, max_pool, tokens_from_map,
};

use crate::block::{Block, Place};
use crate::config::{BlockKind, ResNetConfig, Stem};
use crate::layers::{Common, Names, Shape};
use crate::similarity::of_last_map;

/// Images `(N, H, W, C)` to features `(N, D)`, `D` = 8 × width × the block's expansion.
pub struct ResNet {
    first: ConvNorm,
    stem: Stem,
    /// `layer1` to `layer4`.
    stages: [Vec<Block>; 4],
    architecture: architecture::ResNet,
    n_features: usize,
    batch_norm_splits: usize,
}

impl ResNet {
    /// The network for `config`, with torchvision's initialization.
    ///
    /// # Errors
    /// If a value is out of range, the images are too small, or batch norm cannot split the batch.
    pub fn new(config: ResNetConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        config.check(context)?;
        let (kind, n_blocks) = config.stages()?;
        let builder = Builder::of(context);
        let common = Common {
            norm_scope: context.norm_scope(config.batch_norm_splits)?,
            algorithm: config.conv.into(),
        };
        let (side_px, stride) = match config.stem {
            Stem::ImageNet => (7, 2),
            Stem::Cifar => (3, 1),
        };
        let shape = Shape { n_inputs: context.n_inputs, n_outputs: config.width, groups: 1, side_px, stride };
        let first = common.conv_norm(&builder, Names::numbered(1), shape)?;
        let architecture = architecture::ResNet {
            block: kind.into(),
            blocks: n_blocks,
            width: config.width,
            width_per_group: config.width_per_group,
            groups: config.groups,
            stem: config.stem.into(),
            channels: context.n_inputs,
        };
        let mut stages = build_stages(&architecture, kind, &common, &builder)?;
        if config.zero_init_residual {
            stages.iter_mut().flatten().try_for_each(Block::zero_last_scale)?;
        }
        Ok(Self {
            first,
            stem: config.stem,
            stages,
            architecture,
            n_features: 8 * config.width * kind.expansion(),
            batch_norm_splits: config.batch_norm_splits,
        })
    }
}

impl ResNet {
    /// What the last block makes of images: `(N, H, W, C)` to `(N, H″, W″, D)`.
    fn last_map(&mut self, images: FeatureMap, mode: Mode) -> Result<FeatureMap, OpError> {
        let mut x = self.first.forward_relu(images, mode)?; // (N, H, W, 3) → (N, H', W', C)
        if self.stem == Stem::ImageNet {
            x = max_pool(x, ConvGeometry::square(3, 2, 1))?;
        }
        for block in self.stages.iter_mut().flatten() {
            x = block.forward(x, mode)?;
        }
        Ok(x)
    }
}

fn build_stages(
    architecture: &architecture::ResNet,
    kind: BlockKind,
    common: &Common,
    builder: &Builder<'_>,
) -> Result<[Vec<Block>; 4], ConfigError> {
    let mut n_inputs = architecture.width;
    let mut stages = [const { Vec::new() }; 4];
    for (stage_idx, n_blocks) in architecture.blocks.into_iter().enumerate() {
        let (width, inner) = (architecture.width << stage_idx, architecture.inner_width(stage_idx));
        for block_idx in 0..n_blocks {
            let builder = builder.part(&format!("layer{}.{block_idx}", stage_idx + 1));
            let stride = if stage_idx > 0 && block_idx == 0 { 2 } else { 1 };
            stages[stage_idx].push(Block::new(
                kind,
                Place { n_inputs, width, inner, groups: architecture.groups, stride },
                common,
                &builder,
            )?);
            n_inputs = width * kind.expansion();
        }
    }
    Ok(stages)
}

impl Module for ResNet {
    plugin_api::visit! { self;
        "" => self.first,
        "layer1" => self.stages[0],
        "layer2" => self.stages[1],
        "layer3" => self.stages[2],
        "layer4" => self.stages[3],
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        Some(self.batch_norm_splits)
    }
}

impl Backbone for ResNet {
    fn check_image_size(&self, size: (usize, usize), _mode: Mode) -> Result<(), ConfigError> {
        self.stem.check_image(size)
    }

    fn n_features(&self) -> usize {
        self.n_features
    }

    fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Features, OpError> {
        global_average_pool(self.last_map(images, mode)?) // (N, H″, W″, D) → (N, D)
    }

    fn map_shape(&self, (height, width): (usize, usize)) -> Option<MapShape> {
        // Each halving rounds up.
        let stride = self.stem.total_stride();
        let [rows, columns] = [height, width].map(|side| side.div_ceil(stride));
        Some(MapShape { rows, columns, channels: self.n_features })
    }

    fn forward_with_map(&mut self, images: FeatureMap, mode: Mode) -> Result<(Features, Tokens), OpError> {
        let map = self.last_map(images, mode)?;
        let positions = map.fork();
        Ok((global_average_pool(map)?, tokens_from_map(positions)?))
    }

    fn attention(&mut self, images: FeatureMap) -> Result<Option<AttentionMaps>, OpError> {
        Ok(Some(of_last_map(&self.last_map(images, Mode::Eval)?)))
    }

    fn architecture(&self) -> Option<Architecture> {
        Some(Architecture::ResNet(self.architecture.clone()))
    }

    fn stem(&self) -> &'static [&'static str] {
        &["conv1"]
    }

    /// The stem and the four stages.
    fn n_layers(&self) -> usize {
        1 + self.stages.len()
    }

    fn layer_of(&self, name: &str) -> Option<usize> {
        let stage = (1..self.n_layers()).find(|stage| name.starts_with(&format!("layer{stage}.")));
        Some(stage.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
