//! The published sizes.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};

use crate::stem_choice::Stem;

/// A published size: dimension, blocks and heads.
///
/// MoCo v3's small ViT has 12 heads; DeiT's has 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Preset {
    /// Dimension 384, 12 blocks of 12 heads.
    Small,
    /// Dimension 768, 12 blocks of 12 heads.
    Base,
    /// Dimension 1024, 24 blocks of 16 heads.
    Large,
    /// Dimension 1280, 32 blocks of 16 heads.
    Huge,
}

impl Preset {
    /// The embedding dimension of a token.
    pub(crate) fn dim(self) -> usize {
        match self {
            Self::Small => 384,
            Self::Base => 768,
            Self::Large => 1024,
            Self::Huge => 1280,
        }
    }

    /// The number of blocks after `stem`: the convolution stem replaces one, so that both have about the same cost.
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

    /// The number of attention heads.
    pub(crate) fn heads(self) -> usize {
        match self {
            Self::Small | Self::Base => 12,
            Self::Large | Self::Huge => 16,
        }
    }
}
