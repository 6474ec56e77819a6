//! ResNet encoders (He et al. 2016, arXiv:1512.03385), as torchvision builds them.
//!
//! Start at [`ResNet`]: a stem, then four stages of blocks, each a chain of convolutions with batch
//! norm around which a residual leads. Names and their order are those of torchvision's `state_dict`; the last linear
//! layer, `fc`, is a head's.

#![forbid(unsafe_code)]

mod block;
mod config;
mod layers;
mod resnet;

pub use self::config::{BlockKind, Conv, ResNetConfig, Stem};
pub use self::resnet::ResNet;

plugin_api::register! {
    dyn Backbone {
        name: "resnet",
        summary: "ResNet-18, 34, 50, 101, 152 or of other depth, of any width, with the ImageNet or the CIFAR stem",
        source: "He et al. 2016, arXiv:1512.03385; torchvision",
        example: "(depth: 18, width: 8, stem: Cifar)",
        build: |config: ResNetConfig, context| ResNet::new(config, context),
    }
}
