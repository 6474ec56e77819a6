//! The config of a ConvNeXt, and its checks.

use plugin_api::ConfigError;
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};

/// The config of [`ConvNext`](crate::ConvNext).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct ConvNextConfig {
    /// Published size, which sets `blocks` and `width` unless they are given: [3, 3, 9, 3] and 96, [3, 3, 27, 3] and 96,
    /// [3, 3, 27, 3] and 128, [3, 3, 27, 3] and 192.
    pub preset: Option<Preset>,
    /// Blocks of each of the four stages. Required without a preset.
    pub blocks: Option<Vec<usize>>,
    /// Channels of the first stage; each stage has twice as many as the one before, and the last 8 times as many, which is the
    /// feature dimension. Required without a preset.
    pub width: Option<usize>,
    /// Side of the patches, in pixels, that the stem makes a pixel of each. ConvNeXt's paper, for images of 224 pixels: 4. For
    /// images of 32 pixels, 1 or 2.
    pub patch: usize,
    /// Initial value of LayerScale: a trained scale of each channel of a block's branch (Touvron et al. 2021,
    /// arXiv:2103.17239), above 0 and at most 1. ConvNeXt's paper: 1e-6.
    pub layer_scale: f64,
    /// Rate of stochastic depth in the last block, from 0 to below 1: in training, the branch of a block is left out for each
    /// image so often, in earlier blocks less, linearly down to 0 in the first. ConvNeXt's paper: 0.1 to 0.5, by size.
    /// Default: 0.
    pub drop_path: f64,
}

/// A published size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Preset {
    /// 27.8 million parameters, 768 features.
    Tiny,
    /// 49.5 million parameters, 768 features.
    Small,
    /// 87.6 million parameters, 1024 features.
    Base,
    /// 196.2 million parameters, 1536 features.
    Large,
}

impl Preset {
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::Tiny => [3, 3, 9, 3],
            Self::Small | Self::Base | Self::Large => [3, 3, 27, 3],
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Tiny | Self::Small => 96,
            Self::Base => 128,
            Self::Large => 192,
        }
    }
}

/// The paper's, of no size: that must be said.
impl Default for ConvNextConfig {
    fn default() -> Self {
        Self { preset: None, blocks: None, width: None, patch: 4, layer_scale: 1e-6, drop_path: 0.0 }
    }
}

/// Sizes that match each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) blocks: [usize; 4],
    pub(crate) width: usize,
    pub(crate) patch: usize,
}

impl ConvNextConfig {
    /// The largest width that is accepted: beyond any published one, and far from overflow.
    const MAX_WIDTH: usize = 2048;
    /// Deeper stages are typos.
    const MAX_BLOCKS: usize = 256;
    /// Larger patches are typos.
    const MAX_PATCH: usize = 32;

    pub(crate) fn sizes(&self) -> Result<Sizes, ConfigError> {
        let Self { preset, ref blocks, width, patch, layer_scale, .. } = *self;
        let blocks = match blocks {
            Some(blocks) => Some(Self::of_four_stages(blocks)?),
            None => preset.map(Preset::blocks),
        };
        let width = width.or(preset.map(Preset::width));
        let Some((blocks, width)) = blocks.zip(width) else {
            let lacking = match (blocks, width) {
                (None, None) => "`blocks` and `width`",
                (None, Some(_)) => "`blocks`",
                (Some(_), _) => "`width`",
            };
            return Err(ConfigError::unfit(
                format!("this ConvNeXt has no {lacking}, and no `preset` to take them from"),
                "write `preset: Tiny` (or Small, Base, Large), or both: `blocks: [2, 2, 6, 2], width: 40`",
            ));
        };
        if !(1..=Self::MAX_WIDTH).contains(&width) {
            let must = format!("it must be between 1 and {}", Self::MAX_WIDTH);
            return Err(ConfigError::field("width", width, must));
        }
        if !(1..=Self::MAX_PATCH).contains(&patch) {
            let must = format!("it must be between 1 and {}", Self::MAX_PATCH);
            return Err(ConfigError::field("patch", patch, must));
        }
        if !(layer_scale > 0.0 && layer_scale <= 1.0) {
            return Err(ConfigError::field("layer_scale", layer_scale, "it must be above 0 and at most 1"));
        }
        Ok(Sizes { blocks, width, patch })
    }

    fn of_four_stages(blocks: &[usize]) -> Result<[usize; 4], ConfigError> {
        match <[usize; 4]>::try_from(blocks) {
            Ok(blocks) if blocks.iter().all(|n| (1..=Self::MAX_BLOCKS).contains(n)) => Ok(blocks),
            Ok(_) | Err(_) => {
                let must = format!("it must be four numbers, each between 1 and {}", Self::MAX_BLOCKS);
                Err(ConfigError::field("blocks", format!("{blocks:?}"), must))
            }
        }
    }
}

impl Sizes {
    /// The channels of a stage, from 0.
    pub(crate) fn dim(self, stage: usize) -> usize {
        self.width << stage
    }

    /// Accepts images of `(H, W)` pixels of which the last stage has something left.
    pub(crate) fn check(self, (height, width): (usize, usize)) -> Result<(), ConfigError> {
        let least = self.patch * 8;
        if height >= least && width >= least {
            return Ok(());
        }
        let message = format!(
            "nothing is left of images of {height}x{width} pixels after patches of {} and three halvings",
            self.patch
        );
        let fitting = height.min(width) / 8;
        let hint = match fitting {
            0 => format!("use views of {least} pixels or more"),
            _ => format!("use views of {least} pixels or more, or `patch: {fitting}`"),
        };
        Err(ConfigError::unfit(message, hint))
    }
}
