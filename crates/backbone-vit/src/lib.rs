//! Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929), as in MoCo v3 (Chen et al. 2021, arXiv:2104.02057).
//!
//! Start at [`Vit`]: patches of the image become tokens, position embeddings are added, and transformer blocks follow.
//! Parameter names and their order are those of timm's `state_dict`. The final linear layer, `head`, belongs to a head.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod attention;
mod block;
mod config;
mod positions;
mod presets;
mod resample;
mod stem;
mod stem_choice;
#[cfg(test)]
mod tests;
mod vit;

pub use self::config::{Pool, Position, VitConfig};
pub use self::presets::Preset;
pub use self::stem_choice::Stem;
pub use self::vit::Vit;

plugin_api::register! {
    dyn Backbone {
        name: "vit",
        summary: "vision transformer (ViT) of any size, with the patch or convolution stem, LayerScale and registers",
        source: "Dosovitskiy et al. 2021, arXiv:2010.11929; MoCo v3 (Chen et al. 2021, arXiv:2104.02057)",
        example: "(patch: 8, dim: 48, depth: 2, heads: 4)",
        build: |config: VitConfig, context| Vit::new(config, context),
    }
}
