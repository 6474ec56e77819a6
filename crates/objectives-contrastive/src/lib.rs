//! Losses that tell the views of an image apart from other images.
//!
//! [`NtXent`] is SimCLR's: the other view is right, all other rows of the batch are wrong. [`Dcl`] leaves the right one out
//! of what it is compared with, [`SupCon`] has every row of the class right, [`NnClr`] the nearest of past images in place of
//! the view, [`MoChi`] adds wrong ones that are mixed of the hardest, [`DenseCl`] compares the positions of maps, and [`ReSsl`] asks two views for the same similarities to
//! past images.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod dcl;
mod dense_cl;
mod mixing;
mod mochi;
mod nnclr;
mod nt_xent;
mod own_first;
mod pairs;
mod ressl;
mod sup_con;

pub use self::dcl::{Dcl, DclConfig};
pub use self::dense_cl::{DenseCl, DenseClConfig};
pub use self::mochi::{MoChi, MoChiConfig};
pub use self::nnclr::{NnClr, NnClrConfig};
pub use self::nt_xent::{NtXent, NtXentConfig};
pub use self::ressl::{ReSsl, ReSslConfig};
pub use self::sup_con::{SupCon, SupConConfig};

plugin_api::register! {
    dyn Objective {
        name: "nt-xent",
        summary: "tells the other view of an image from all other images of the batch (SimCLR)",
        source: "SimCLR (Chen et al. 2020, arXiv:2002.05709)",
        on: "the embeddings of two views, both trained",
        example: "(temperature: 0.5)",
        build: |config: NtXentConfig, context| NtXent::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "dcl",
        summary: "as nt-xent, without the other view among what it is told from (decoupled contrastive learning, DCL)",
        source: "Yeh et al. 2021, arXiv:2110.06848",
        on: "the embeddings of two views, both trained",
        example: "(temperature: 0.1)",
        build: |config: DclConfig, context| Dcl::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "dense-cl",
        summary: "MoCo's loss for each position of a map, with the most similar position of the other view as its key (DenseCL)",
        source: "DenseCL (Wang et al. 2021, arXiv:2011.09157)",
        on: "the dense embeddings of a query, trained, and of a key of the other view, and the backbone's maps that they are made \
             of, fixed, in that order",
        example: "(len: 4096, temperature: 0.2)",
        build: |config: DenseClConfig, context| DenseCl::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "sup-con",
        summary: "tells views of images of the same class from all others (supervised contrastive, SupCon); needs labels",
        source: "Khosla et al. 2020, arXiv:2004.11362",
        on: "the embeddings of two or more views, all trained",
        example: "(temperature: 0.1)",
        build: |config: SupConConfig, context| SupCon::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "mochi",
        summary: "MoCo's queue, with negatives added that are mixed of those most like the query (MoCHi)",
        source: "MoCHi (Kalantidis et al. 2020, arXiv:2010.01028)",
        on: "the query of one view, trained, and the momentum encoder's key of another",
        example: "(len: 4096, temperature: 0.2)",
        build: |config: MoChiConfig, context| MoChi::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "nnclr",
        summary: "as nt-xent, with the nearest of past images in place of the other view (NNCLR)",
        source: "NNCLR (Dwibedi et al. 2021, arXiv:2104.14548)",
        on: "the predictions of two views, both trained, and the projections of both in the same order, fixed \
             by `gradient: None`",
        example: "(len: 4096, temperature: 0.1)",
        build: |config: NnClrConfig, context| NnClr::new(config, context),
    }
}

plugin_api::register! {
    dyn Objective {
        name: "ressl",
        summary: "similarities to past images are those that the momentum encoder's view has (ReSSL)",
        source: "ReSSL (Zheng et al. 2021, arXiv:2107.09282)",
        on: "the embedding of one view, trained, and the momentum encoder's of another",
        example: "(len: 4096)",
        build: |config: ReSslConfig, context| ReSsl::new(config, context),
    }
}
