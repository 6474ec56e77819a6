//! Negatives from the other images of the batch (MoCo v3: Chen et al. 2021, arXiv:2104.02057, algorithm 1).
//!
//! Start at [`InBatch`]. A query is told apart from the keys of all other images of the batch, those of other processes
//! included; nothing is kept from step to step. The loss is used in both directions, each view's queries against the
//! other's keys, and the two are summed: that is the graph's to say.

#![forbid(unsafe_code)]

mod config;
mod in_batch;

use plugin_api::{ContrastiveLoss, Plugin};

pub use self::config::InBatchConfig;
pub use self::in_batch::InBatch;

inventory::submit! {
    Plugin::<dyn ContrastiveLoss> {
        name: "in-batch",
        summary: "InfoNCE against the keys of the other images of the batch, times 2 T (MoCo v3)",
        source: "Chen et al. 2021, arXiv:2104.02057",
        example: "(temperature: 0.2)",
        schema: || schemars::schema_for!(InBatchConfig),
        build: |config, context| Ok(Box::new(InBatch::new(config.parse()?, context)?)),
    }
}
