//! Optimizers and learning rate schedules.
//!
//! [`Sgd`] is the optimizer of MoCo v1 and v2, [`Lars`] and [`AdamW`] those of v3 for a ResNet and a ViT; [`Lion`] is one with
//! half of AdamW's memory. [`Constant`], [`Steps`] (v1), [`Cosine`] (v2, v3), [`OneCycle`] and [`Wsd`] are factors on the
//! pipeline's learning rate. They depend only on the position in the run, so a checkpoint needs no state of theirs.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod adamw;
mod checks;
mod constant;
mod cosine;
mod lars;
mod lion;
#[cfg(test)]
mod on_device;
mod one_cycle;
mod one_slot;
mod sgd;
mod steps;
mod wsd;

pub use self::adamw::{AdamW, AdamWConfig};
pub use self::constant::{Constant, ConstantConfig};
pub use self::cosine::{Cosine, CosineConfig, Per};
pub use self::lars::{Lars, LarsConfig, LarsRule};
pub use self::lion::{Lion, LionConfig};
pub use self::one_cycle::{OneCycle, OneCycleConfig};
pub use self::sgd::{Sgd, SgdConfig};
pub use self::steps::{Steps, StepsConfig};
pub use self::wsd::{Fall, Wsd, WsdConfig};

plugin_api::register! {
    dyn Optimizer {
        name: "sgd",
        summary: "stochastic gradient descent with momentum and L2 weight decay",
        source: "torch.optim.SGD; MoCo v1, v2 (He et al. 2020, arXiv:1911.05722)",
        example: "(momentum: 0.9, weight_decay: 1e-4)",
        build: |config: SgdConfig, _context| Sgd::new(config),
    }
}

plugin_api::register! {
    dyn Optimizer {
        name: "adamw",
        summary: "Adam with decoupled weight decay",
        source: "torch.optim.AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); MoCo v3 for a ViT (arXiv:2104.02057)",
        example: "(weight_decay: 0.1)",
        build: |config: AdamWConfig, _context| AdamW::new(config),
    }
}

plugin_api::register! {
    dyn Optimizer {
        name: "lars",
        summary: "SGD with momentum and layer-wise adaptive learning rates, for large batches",
        source: "You et al. 2017, arXiv:1708.03888; MoCo v3 for a ResNet (arXiv:2104.02057)",
        example: "(weight_decay: 1.5e-6)",
        build: |config: LarsConfig, _context| Lars::new(config),
    }
}

plugin_api::register! {
    dyn Optimizer {
        name: "lion",
        summary: "steps of one size in the direction of the gradient's sign, with half of Adam's memory",
        source: "Chen et al. 2023, arXiv:2302.06675",
        example: "(weight_decay: 1.0)",
        build: |config: LionConfig, _context| Lion::new(config),
    }
}

plugin_api::register! {
    dyn Schedule {
        name: "constant",
        summary: "constant learning rate",
        source: "",
        example: "()",
        build: |config: ConstantConfig, _context| Ok(Constant::new(config)),
    }
}

plugin_api::register! {
    dyn Schedule {
        name: "steps",
        summary: "step decay: the learning rate drops by a factor at given epochs",
        source: "MoCo v1 (He et al. 2020, arXiv:1911.05722)",
        example: "(at: [120, 160], factor: 0.1)",
        build: |config: StepsConfig, context| Steps::new(config, context),
    }
}

plugin_api::register! {
    dyn Schedule {
        name: "cosine",
        summary: "linear warm-up from 0, then cosine decay to 0",
        source: "Loshchilov & Hutter 2017, arXiv:1608.03983; MoCo v2 (arXiv:2003.04297), v3 (arXiv:2104.02057)",
        example: "(warmup_epochs: 40)",
        build: |config: CosineConfig, context| Cosine::new(config, context),
    }
}

plugin_api::register! {
    dyn Schedule {
        name: "one-cycle",
        summary: "half a cosine up, then half a cosine down to almost 0",
        source: "Smith & Topin 2018, arXiv:1708.07120; torch.optim.lr_scheduler.OneCycleLR",
        example: "(rise: 0.3)",
        build: |config: OneCycleConfig, context| OneCycle::new(config, context),
    }
}

plugin_api::register! {
    dyn Schedule {
        name: "wsd",
        summary: "linear warm-up from 0, then constant, then a fall at the end of the run (WSD)",
        source: "Hu et al. 2024, arXiv:2404.06395",
        example: "(warmup_epochs: 10, decay: 0.2)",
        build: |config: WsdConfig, context| Wsd::new(config, context),
    }
}
