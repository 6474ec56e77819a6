//! Losses by which a network learns what another one says of the same image. No image is told from another.
//!
//! [`NegativeCosine`] is that of BYOL and SimSiam, where a predictor and fixed targets guard against collapse; [`Dino`] is
//! DINO's, where centering and sharpening of the targets do.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod cosine;
mod dino;
mod negative_cosine;
mod warm_up;

pub use self::dino::{Dino, DinoConfig};
pub use self::negative_cosine::{NegativeCosine, NegativeCosineConfig};

plugin_api::register! {
    dyn Objective {
        name: "negative-cosine",
        summary: "predictions of a view point where the projections of the others do (BYOL, SimSiam)",
        source: "BYOL (Grill et al. 2020, arXiv:2006.07733), SimSiam (Chen and He 2021, arXiv:2011.10566)",
        on: "the predictions of views, trained, and the projections of the same views in the same order, fixed \
             by `weights: Momentum` or `gradient: None`; or a prediction of one view and a projection of another",
        example: "()",
        build: |config: NegativeCosineConfig, context| NegativeCosine::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "dino",
        summary: "every crop says what the momentum encoder says of the whole image, centered and sharpened (DINO)",
        source: "DINO (Caron et al. 2021, arXiv:2104.14294)",
        on: "the student's values of two or more crops, trained, and the momentum encoder's of the first of \
             these crops, in the same order",
        example: "(teacher_temperature: 0.04)",
        build: |config: DinoConfig, context| Dino::new(config, context),
    }
}
