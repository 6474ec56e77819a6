//! Projection heads: from features of a backbone to embeddings for the loss.
//!
//! [`LinearHead`] is MoCo v1's, [`Mlp`] that of v2 and, with batch norm, the projector and predictor of v3. The two are made
//! of the layers of `nn`, and have the names of PyTorch's modules. [`Prototypes`] is SwAV's last layer, and [`DinoHead`] is
//! DINO's: both end in cosines with weights of unit length.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod dense_mlp;
mod dino;
mod gelu;
mod identity;
mod linear;
mod mlp;
mod prototypes;
#[cfg(test)]
mod tests;
mod width;

pub use self::dense_mlp::DenseMlp;
pub use self::dino::{DinoHead, DinoHeadConfig};
pub use self::identity::{Identity, IdentityConfig};
pub use self::linear::{LinearHead, LinearHeadConfig};
pub use self::mlp::{Mlp, MlpConfig, Norm};
pub use self::prototypes::{Prototypes, PrototypesConfig};

plugin_api::register! {
    dyn Head {
        name: "dense-mlp",
        summary: "the head `mlp` at each position of a map (DenseCL)",
        source: "DenseCL (Wang et al. 2021, arXiv:2011.09157)",
        example: "(layers: 2, hidden: 256, out: 64)",
        build: |config: MlpConfig, context| DenseMlp::new(config, context),
    }
}

plugin_api::register! {
    dyn Head {
        name: "dino-head",
        summary: "linear layers with GELU, and a last one with weights of unit length (DINO)",
        source: "DINO (Caron et al. 2021, arXiv:2104.14294)",
        example: "(hidden: 256, bottleneck: 64, out: 1024)",
        build: |config: DinoHeadConfig, context| DinoHead::new(config, context),
    }
}

plugin_api::register! {
    dyn Head {
        name: "identity",
        summary: "returns its input, as if there were no head (MoCo v3 without its predictor)",
        source: "an ablation of MoCo v3 (Chen et al. 2021, arXiv:2104.02057)",
        example: "()",
        build: |config: IdentityConfig, context| Ok(Identity::new(config, context)),
    }
}

plugin_api::register! {
    dyn Head {
        name: "linear",
        summary: "one linear layer (MoCo v1)",
        source: "MoCo v1 (He et al. 2020, arXiv:1911.05722)",
        example: "(out: 128)",
        build: |config: LinearHeadConfig, context| LinearHead::new(config, context),
    }
}

plugin_api::register! {
    dyn Head {
        name: "mlp",
        summary: "linear layers with ReLU between them (MoCo v2), and optionally batch norm (MoCo v3)",
        source: "MoCo v2 (Chen et al. 2020, arXiv:2003.04297), v3 (Chen et al. 2021, arXiv:2104.02057)",
        example: "(layers: 2, out: 128)",
        build: |config: MlpConfig, context| Mlp::new(config, context),
    }
}

plugin_api::register! {
    dyn Head {
        name: "prototypes",
        summary: "cosines with prototypes, what images are assigned to clusters by (SwAV)",
        source: "SwAV (Caron et al. 2020, arXiv:2006.09882)",
        example: "(out: 300)",
        build: |config: PrototypesConfig, context| Prototypes::new(config, context),
    }
}
