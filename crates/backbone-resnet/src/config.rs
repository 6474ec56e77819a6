//! The config of a ResNet, and its checks.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};
use plugin_api::{ConfigError, ModuleContext, architecture};
use tensor_ops::ConvAlgorithm;

/// The config of [`ResNet`](crate::ResNet).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct ResNetConfig {
    /// Number of layers: 18, 34, 50, 101 or 152. MoCo: 50. Required without `blocks`.
    pub depth: Option<usize>,
    /// Number of blocks in each of the four stages, together with `block` and instead of `depth`, for a ResNet of
    /// another depth. `[2, 2, 2, 2]` of Basic is `depth: 18`, `[3, 4, 6, 3]` of Bottleneck is `depth: 50`.
    pub blocks: Option<Vec<usize>>,
    /// Type of the `blocks`.
    pub block: Option<BlockKind>,
    /// Channels of the first stage; the others have 2, 4 and 8 times as many. torchvision: 64.
    pub width: usize,
    /// Channels of the first 3x3 convolution of a Bottleneck block, in each of its `groups`, where `width` is 64; elsewhere in
    /// proportion. torchvision: 64, 128 for its wide ResNets (Zagoruyko & Komodakis 2016, arXiv:1605.07146), and 4 or 8 for
    /// ResNeXt.
    pub width_per_group: usize,
    /// Groups of channels in the 3x3 convolution of a Bottleneck block, each convolved by itself. ResNeXt (Xie et al. 2017,
    /// arXiv:1611.05431) calls it cardinality: 32 with `width_per_group: 4` is `32x4d`. torchvision: 1.
    pub groups: usize,
    /// Stem. torchvision: ImageNet.
    pub stem: Stem,
    /// Whether the last batch norm of each block starts with scale 0, so that the block starts as the identity. MoCo
    /// v1, v2: false; v3: true.
    pub zero_init_residual: bool,
    /// Number of groups that batch norm splits a batch into (every s-th image), each normalized separately, to simulate
    /// as many devices. Shuffled keys need at least 2. MoCo's CIFAR-10 demo: 8. With several processes that have one part of
    /// the batch each, 1 normalizes the batch of all of them together. MoCo v3: 1.
    pub batch_norm_splits: usize,
    /// Convolution algorithm. Winograd computes 3x3 convolutions of stride 1 with a quarter of the multiplications (16
    /// of 36 for pairs of bfloat16) and larger rounding errors; Auto uses it if it is faster; Direct never does.
    pub conv: Conv,
}

/// The convolution algorithm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Conv {
    /// Winograd's algorithm if it is faster.
    #[default]
    Auto,
    /// Each output from its own products.
    Direct,
    /// Winograd's algorithm wherever it applies.
    Winograd,
}

impl From<Conv> for ConvAlgorithm {
    fn from(conv: Conv) -> Self {
        match conv {
            Conv::Auto => Self::Auto,
            Conv::Direct => Self::Direct,
            Conv::Winograd => Self::Winograd,
        }
    }
}

/// The stem of a ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Stem {
    /// A 7x7 convolution with stride 2, then a 3x3 max-pool with stride 2.
    ImageNet,
    /// A 3x3 convolution with stride 1 and no pool, for images of about 32 pixels.
    Cifar,
}

impl Stem {
    /// The total stride, in height or width, of the last feature map.
    pub(crate) fn total_stride(self) -> usize {
        match self {
            Self::ImageNet => 32,
            Self::Cifar => 8,
        }
    }

    /// Whether something is left of images of `(H, W)` pixels.
    pub(crate) fn check_image(self, (height, width): (usize, usize)) -> Result<(), ConfigError> {
        let smallest = self.total_stride();
        if height >= smallest && width >= smallest {
            return Ok(());
        }
        let message = format!(
            "images of {height}x{width} pixels are too small for a ResNet with the {:?} stem, which halves them to \
             nothing below {smallest}x{smallest}",
            self
        );
        let hint = match self {
            Self::ImageNet => format!("use `stem: Cifar`, or views of at least {smallest} pixels"),
            Self::Cifar => format!("use views of at least {smallest} pixels"),
        };
        Err(ConfigError::unfit(message, hint))
    }
}

impl From<Stem> for architecture::ResNetStem {
    fn from(stem: Stem) -> Self {
        match stem {
            Stem::ImageNet => Self::ImageNet,
            Stem::Cifar => Self::Cifar,
        }
    }
}

/// The two residual blocks of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions, the last one 4 times as wide.
    Bottleneck,
}

impl From<BlockKind> for architecture::Block {
    fn from(kind: BlockKind) -> Self {
        match kind {
            BlockKind::Basic => Self::Basic,
            BlockKind::Bottleneck => Self::Bottleneck,
        }
    }
}

impl BlockKind {
    /// Output channels of a block, per channel of its 3x3 convolutions.
    pub(crate) fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// torchvision's, of no depth: that must be said.
impl Default for ResNetConfig {
    fn default() -> Self {
        Self {
            depth: None,
            blocks: None,
            block: None,
            width: 64,
            width_per_group: 64,
            groups: 1,
            stem: Stem::ImageNet,
            zero_init_residual: false,
            batch_norm_splits: 1,
            conv: Conv::Auto,
        }
    }
}

impl ResNetConfig {
    /// The widest ResNet that is accepted: far beyond any published one, and far from overflow.
    const MAX_WIDTH: usize = 4096;
    /// More blocks per stage are typos.
    const MAX_BLOCKS: usize = 256;

    /// The type of block, and how many of them each stage has.
    pub(crate) fn stages(&self) -> Result<(BlockKind, [usize; 4]), ConfigError> {
        match (self.depth, &self.blocks) {
            (Some(depth), None) => self.stages_of_depth(depth),
            (None, Some(blocks)) => self.stages_of_blocks(blocks),
            (Some(_), Some(blocks)) => {
                let must = "it must be left out where `depth` is given, which says it already";
                Err(ConfigError::field("blocks", format!("{blocks:?}"), must))
            }
            (None, None) => Err(ConfigError::unfit(
                "this ResNet has no `depth`, and no `blocks` in its place",
                "write `depth: 18` (or 34, 50, 101, 152), or for instance `blocks: [1, 1, 1, 1], block: Basic`",
            )),
        }
    }

    fn stages_of_depth(&self, depth: usize) -> Result<(BlockKind, [usize; 4]), ConfigError> {
        if let Some(block) = self.block {
            let must = "it must be left out where `depth` is given, which says it already";
            return Err(ConfigError::field("block", format!("{block:?}"), must));
        }
        match depth {
            18 => Ok((BlockKind::Basic, [2, 2, 2, 2])),
            34 => Ok((BlockKind::Basic, [3, 4, 6, 3])),
            50 => Ok((BlockKind::Bottleneck, [3, 4, 6, 3])),
            101 => Ok((BlockKind::Bottleneck, [3, 4, 23, 3])),
            152 => Ok((BlockKind::Bottleneck, [3, 8, 36, 3])),
            depth => Err(ConfigError::field("depth", depth, "it must be 18, 34, 50, 101 or 152")),
        }
    }

    fn stages_of_blocks(&self, blocks: &[usize]) -> Result<(BlockKind, [usize; 4]), ConfigError> {
        let Some(kind) = self.block else {
            return Err(ConfigError::unfit(
                "`blocks` does not say of what kind they are",
                "add `block: Basic` or `block: Bottleneck`",
            ));
        };
        match <[usize; 4]>::try_from(blocks) {
            Ok(stages) if stages.iter().all(|n| (1..=Self::MAX_BLOCKS).contains(n)) => Ok((kind, stages)),
            _ => {
                let must = format!("it must be four numbers between 1 and {}", Self::MAX_BLOCKS);
                Err(ConfigError::field("blocks", format!("{blocks:?}"), must))
            }
        }
    }

    /// Checks what does not depend on the depth.
    pub(crate) fn check(&self, context: &ModuleContext) -> Result<(), ConfigError> {
        if !(1..=Self::MAX_WIDTH).contains(&self.width) {
            let must = format!("it must be between 1 and {}", Self::MAX_WIDTH);
            return Err(ConfigError::field("width", self.width, must));
        }
        self.check_width_per_group()?;
        self.check_groups()?;
        self.stem.check_image(context.image_size)?;
        self.check_splits(context)
    }

    fn check_width_per_group(&self) -> Result<(), ConfigError> {
        let refuse = |must: String| Err(ConfigError::field("width_per_group", self.width_per_group, must));
        let (kind, _) = self.stages()?;
        match self.width_per_group {
            64 => Ok(()),
            _ if kind == BlockKind::Basic => {
                refuse("it must be 64 for Basic blocks, which have one width".into())
            }
            0 => refuse(format!("it must be between 1 and {}", Self::MAX_WIDTH)),
            wide if wide > Self::MAX_WIDTH => refuse(format!("it must be between 1 and {}", Self::MAX_WIDTH)),
            wide if !(self.width * wide).is_multiple_of(64) => {
                refuse(format!("times the width of {} it must be a multiple of 64", self.width))
            }
            _ => Ok(()),
        }
    }

    fn check_groups(&self) -> Result<(), ConfigError> {
        let refuse = |must: String| Err(ConfigError::field("groups", self.groups, must));
        let (kind, _) = self.stages()?;
        match self.groups {
            1 => Ok(()),
            _ if kind == BlockKind::Basic => {
                refuse("it must be 1 for Basic blocks: those of ResNeXt are Bottleneck blocks".into())
            }
            0 => refuse("it must be at least 1".into()),
            groups if groups.saturating_mul(self.width_per_group) > Self::MAX_WIDTH => refuse(format!(
                "times the `width_per_group` of {} it must be at most {}",
                self.width_per_group,
                Self::MAX_WIDTH
            )),
            _ => Ok(()),
        }
    }

    fn check_splits(&self, context: &ModuleContext) -> Result<(), ConfigError> {
        let (splits, batch) = (self.batch_norm_splits, context.batch);
        if splits == 0 || !batch.is_multiple_of(splits) {
            let must = format!("it must divide the batch of {batch} images");
            return Err(ConfigError::field("batch_norm_splits", splits, must));
        }
        let (height, width) = context.image_size;
        let stride = self.stem.total_stride();
        if batch / splits * height.div_ceil(stride) * width.div_ceil(stride) < 2 {
            return Err(ConfigError::unfit(
                "the last batch norm would see a single value in each channel, which it would set to 0",
                "use a larger batch, larger views, or fewer `batch_norm_splits`",
            ));
        }
        Ok(())
    }
}
