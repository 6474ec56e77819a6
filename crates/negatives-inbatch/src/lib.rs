//! Negatives from the other images of the batch (MoCo v3: Chen et al. 2021, arXiv:2104.02057, algorithm 1).
//!
//! Start at [`InBatch`]. The negatives of a query are the keys of all other images in the batch, including those of
//! other processes; nothing is kept between steps. MoCo v3 uses the loss in both directions, with the queries of each
//! view against the keys of the other, and sums the two; the pipeline's graph defines this.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod config;
mod in_batch;

pub use self::config::InBatchConfig;
pub use self::in_batch::InBatch;

plugin_api::register! {
    dyn ContrastiveLoss {
        name: "in-batch",
        summary: "InfoNCE with the other images of the batch as negatives, times 2 T (MoCo v3)",
        source: "Chen et al. 2021, arXiv:2104.02057",
        example: "(temperature: 0.2)",
        build: |config: InBatchConfig, context| InBatch::new(config, context),
    }
}
