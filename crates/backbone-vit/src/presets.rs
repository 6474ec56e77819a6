//! The published sizes.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};

use crate::config::Stem;

/// A published size: width, blocks and heads.
///
/// MoCo v3's small one has 12 heads where DeiT's has 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Preset {
    /// 384 wide, 12 blocks of 12 heads.
    Small,
    /// 768 wide, 12 blocks of 12 heads.
    Base,
    /// 1024 wide, 24 blocks of 16 heads.
    Large,
    /// 1280 wide, 32 blocks of 16 heads.
    Huge,
}

impl Preset {
    /// The width of a token.
    pub(crate) fn dim(self) -> usize {
        match self {
            Self::Small => 384,
            Self::Base => 768,
            Self::Large => 1024,
            Self::Huge => 1280,
        }
    }

    /// Blocks behind `stem`: the convolution stem takes the place of one, so that both have about the same cost.
    pub(crate) fn depth(self, stem: Stem) -> usize {
        let n_blocks = match self {
            Self::Small | Self::Base => 12,
            Self::Large => 24,
            Self::Huge => 32,
        };
        match stem {
            Stem::Patch => n_blocks,
            Stem::Conv => n_blocks - 1,
        }
    }

    /// Heads of each attention.
    pub(crate) fn heads(self) -> usize {
        match self {
            Self::Small | Self::Base => 12,
            Self::Large | Self::Huge => 16,
        }
    }
}
