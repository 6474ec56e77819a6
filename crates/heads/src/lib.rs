//! Heads: from a backbone's features to the embeddings that a loss compares.
//!
//! [`LinearHead`] is MoCo v1's, [`Mlp`] that of v2 and, with batch norm, the projector and predictor of v3. The two are made
//! of the layers of `nn`, and have the names of PyTorch's modules.

#![forbid(unsafe_code)]

mod identity;
mod linear;
mod mlp;
#[cfg(test)]
mod tests;
mod width;

use plugin_api::{Head, Plugin};

pub use self::identity::{Identity, IdentityConfig};
pub use self::linear::{LinearHead, LinearHeadConfig};
pub use self::mlp::{Mlp, MlpConfig, Norm};

inventory::submit! {
    Plugin::<dyn Head> {
        name: "identity",
        summary: "no head: gives what it gets (MoCo v3 without its predictor)",
        source: "an ablation of MoCo v3 (Chen et al. 2021, arXiv:2104.02057)",
        example: "()",
        schema: || schemars::schema_for!(IdentityConfig),
        build: |config, context| Ok(Box::new(Identity::new(config.parse()?, context))),
    }
}

inventory::submit! {
    Plugin::<dyn Head> {
        name: "linear",
        summary: "one linear layer (MoCo v1)",
        source: "MoCo v1 (He et al. 2020, arXiv:1911.05722)",
        example: "(out: 128)",
        schema: || schemars::schema_for!(LinearHeadConfig),
        build: |config, context| Ok(Box::new(LinearHead::new(config.parse()?, context)?)),
    }
}

inventory::submit! {
    Plugin::<dyn Head> {
        name: "mlp",
        summary: "linear layers with ReLU between them (MoCo v2), and batch norm behind them (MoCo v3)",
        source: "MoCo v2 (Chen et al. 2020, arXiv:2003.04297), v3 (Chen et al. 2021, arXiv:2104.02057)",
        example: "(layers: 2, out: 128)",
        schema: || schemars::schema_for!(MlpConfig),
        build: |config, context| Ok(Box::new(Mlp::new(config.parse()?, context)?)),
    }
}
