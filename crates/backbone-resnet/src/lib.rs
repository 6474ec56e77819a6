//! ResNet backbones (He et al. 2016, arXiv:1512.03385), as in torchvision, with ResNeXt (Xie et al. 2017, arXiv:1611.05431).
//!
//! Start at [`ResNet`]: a stem, then four stages of residual blocks, each a chain of convolutions with batch norm.
//! Parameter names and their order are those of torchvision's `state_dict`. The final linear layer, `fc`, belongs to a
//! head.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod block;
mod config;
mod layers;
mod resnet;
mod similarity;

pub use self::config::{BlockKind, Conv, ResNetConfig, Stem};
pub use self::resnet::ResNet;

plugin_api::register! {
    dyn Backbone {
        name: "resnet",
        summary: "ResNet of any depth (18, 34, 50, 101, 152 or custom) and width, also wide or ResNeXt, with the ImageNet or CIFAR stem",
        source: "He et al. 2016, arXiv:1512.03385; Xie et al. 2017, arXiv:1611.05431; torchvision",
        example: "(depth: 18, width: 8, stem: Cifar)",
        build: |config: ResNetConfig, context| ResNet::new(config, context),
    }
}
