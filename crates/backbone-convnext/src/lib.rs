//! ConvNeXt backbones (Liu et al. 2022, arXiv:2201.03545), as in timm.
//!
//! Start at [`ConvNext`]: patches of the image become pixels of a map, and four stages of blocks follow, each half as high and
//! wide as the one before and twice as deep. Parameter names and their order are those of timm's `state_dict`. The final linear
//! layer, `head.fc`, belongs to a head.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod block;
mod config;
mod convnext;
mod stage;
#[cfg(test)]
mod tests;

pub use self::config::{ConvNextConfig, Preset};
pub use self::convnext::ConvNext;

plugin_api::register! {
    dyn Backbone {
        name: "convnext",
        summary: "ConvNeXt of any size: depthwise convolutions and MLPs of each pixel, without batch norm",
        source: "Liu et al. 2022, arXiv:2201.03545; timm",
        example: "(blocks: [1, 1, 2, 1], width: 8, patch: 2)",
        build: |config: ConvNextConfig, context| ConvNext::new(config, context),
    }
}
