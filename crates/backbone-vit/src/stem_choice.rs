//! Which stem a ViT has, as its config names it.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};

/// How patches become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Stem {
    /// One linear projection of each patch.
    Patch,
    /// Four 3x3 convolutions with stride 2, each with batch norm and ReLU, and a 1x1 convolution.
    Conv,
}
