//! Losses that keep an embedding's channels from telling the same thing. No image is told from another, and nothing is fixed.
//!
//! [`BarlowTwins`] wants the cross-correlation of two views to be the identity; [`VicReg`] keeps each view's channels varied
//! and uncorrelated, and the views near each other.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod barlow_twins;
mod coefficient;
mod standardized;
mod two_views;
mod vicreg;

pub use self::barlow_twins::{BarlowTwins, BarlowTwinsConfig};
pub use self::vicreg::{VicReg, VicRegConfig};

plugin_api::register! {
    dyn Objective {
        name: "barlow-twins",
        summary: "channels of two views correlate each with itself and with no other (Barlow Twins)",
        source: "Barlow Twins (Zbontar et al. 2021, arXiv:2103.03230)",
        on: "the embeddings of two views, both trained",
        example: "(redundancy: 0.005)",
        build: |config: BarlowTwinsConfig, context| BarlowTwins::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "vicreg",
        summary: "views are near each other, channels vary and are uncorrelated (VICReg)",
        source: "VICReg (Bardes et al. 2022, arXiv:2105.04906)",
        on: "the embeddings of two views, both trained",
        example: "(invariance: 25.0, variance: 25.0, covariance: 1.0)",
        build: |config: VicRegConfig, context| VicReg::new(config, context),
    }
}
