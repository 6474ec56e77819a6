//! Negatives from a queue of past keys (MoCo v1 and v2: He et al. 2020, arXiv:1911.05722, §3.1).
//!
//! Start at [`Queue`]. A query is compared with its own key and with the `K` newest keys of earlier steps. After the
//! losses of a step are computed, its keys replace the oldest ones.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod config;
mod queue;

pub use self::config::QueueConfig;
pub use self::queue::Queue;

plugin_api::register! {
    dyn ContrastiveLoss {
        name: "queue",
        summary: "InfoNCE with a first-in, first-out queue of negative keys (MoCo v1, v2)",
        source: "He et al. 2020, arXiv:1911.05722",
        example: "(len: 4096, temperature: 0.2)",
        build: |config: QueueConfig, context| Queue::new(config, context),
    }
}
