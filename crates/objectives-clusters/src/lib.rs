//! Losses over the clusters that images are assigned to. No image is told from another.
//!
//! [`SwAv`] is SwAV's: the assignment of one view is predicted from the others, and assignments are spread evenly over the
//! clusters.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod past_images;
mod sinkhorn;
mod swav;

pub use self::swav::{SwAv, SwAvConfig};

plugin_api::register! {
    dyn Objective {
        name: "swav",
        summary: "each view predicts to which prototypes the others are assigned, evenly over the batch (SwAV)",
        source: "SwAV (Caron et al. 2020, arXiv:2006.09882)",
        on: "the scores of two or more views, all trained, those of high resolution first: what the head \
             `prototypes` makes; with `prototypes` of its own, embeddings",
        example: "(high: 2)",
        build: |config: SwAvConfig, context| SwAv::new(config, context),
    }
}
