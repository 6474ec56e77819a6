//! The whole network.

use tensor_ops::{ConvGeometry, FeatureMap, Features, Mode, OpError, global_average_pool, max_pool};
use train_core::plugin::{Backbone, ConfigError, Entry, Module, ModuleContext};

use crate::block::{Block, Place};
use crate::config::{BlockKind, ResNetConfig, Stem};
use crate::conv_norm::{Builder, ConvNorm, Names, Shape};

/// Images `(N, H, W, 3)` to features `(N, D)`, `D` = 8 × width × the block's expansion.
pub struct ResNet {
    first: ConvNorm,
    stem: Stem,
    /// `layer1` to `layer4`.
    stages: Vec<Vec<Block>>,
    n_features: usize,
    batch_norm_splits: usize,
}

impl ResNet {
    /// The network that `config` describes, with torchvision's initial values.
    ///
    /// # Errors
    /// If a value is out of range, the images are too small, or batch norm cannot split the batch.
    pub fn new(config: ResNetConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        config.check(context)?;
        let (kind, n_blocks) = config.stages()?;
        let builder = Builder { context, batch_norm_splits: config.batch_norm_splits };
        let (side_px, stride) = match config.stem {
            Stem::ImageNet => (7, 2),
            Stem::Cifar => (3, 1),
        };
        let shape = Shape { n_inputs: context.n_inputs, n_outputs: config.width, side_px, stride };
        let first = builder.conv_norm("", Names::numbered(1), shape)?;
        let mut stages = build_stages(config.width, kind, n_blocks, &builder)?;
        if config.zero_init_residual {
            stages.iter_mut().flatten().try_for_each(Block::zero_last_scale)?;
        }
        Ok(Self {
            first,
            stem: config.stem,
            stages,
            n_features: 8 * config.width * kind.expansion(),
            batch_norm_splits: config.batch_norm_splits,
        })
    }
}

fn build_stages(
    width: usize,
    kind: BlockKind,
    n_blocks: [usize; 4],
    builder: &Builder<'_>,
) -> Result<Vec<Vec<Block>>, ConfigError> {
    let mut n_inputs = width;
    let mut stages = Vec::new();
    for (stage_idx, n_blocks) in n_blocks.into_iter().enumerate() {
        let width = width << stage_idx;
        let mut blocks = Vec::new();
        for block_idx in 0..n_blocks {
            let prefix = format!("layer{}.{block_idx}.", stage_idx + 1);
            let stride = if stage_idx > 0 && block_idx == 0 { 2 } else { 1 };
            blocks.push(Block::new(kind, Place { prefix: &prefix, n_inputs, width, stride }, builder)?);
            n_inputs = width * kind.expansion();
        }
        stages.push(blocks);
    }
    Ok(stages)
}

impl Module for ResNet {
    fn visit(&mut self, visitor: &mut dyn FnMut(&str, Entry<'_>)) {
        self.first.visit(visitor);
        for (stage_idx, blocks) in self.stages.iter_mut().enumerate() {
            for (block_idx, block) in blocks.iter_mut().enumerate() {
                let prefix = format!("layer{}.{block_idx}", stage_idx + 1);
                block.visit(&mut |name, entry| visitor(&format!("{prefix}.{name}"), entry));
            }
        }
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        Some(self.batch_norm_splits)
    }
}

impl Backbone for ResNet {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Features, OpError> {
        let mut x = self.first.forward_relu(images, mode)?; // (N, H, W, 3) → (N, H', W', C)
        if self.stem == Stem::ImageNet {
            x = max_pool(x, ConvGeometry::square(3, 2, 1))?;
        }
        for block in self.stages.iter_mut().flatten() {
            x = block.forward(x, mode)?;
        }
        global_average_pool(x) // (N, H″, W″, D) → (N, D)
    }
}
