//! Layers, each a config and a module: what backbones, heads and probes are made of; and rows of past images, with which losses
//! compare.
//!
//! A config says what a layer is and how it starts, and builds it by a [`Builder`], which knows the device and the random
//! draws. Names within a layer are PyTorch's; what a layer is called is up to the module that holds it.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod bank;
mod builder;
mod conv;
mod conv_norm;
mod cosines;
mod drop_path;
mod init;
mod layer_norm;
mod linear;
mod mlp;
mod row_ring;

pub use self::bank::Bank;
pub use self::builder::Builder;
pub use self::conv::{Conv, ConvConfig};
pub use self::conv_norm::{ConvNorm, ConvNormConfig};
pub use self::cosines::{cosines, random_directions};
pub use self::drop_path::DropPath;
pub use self::init::Init;
pub use self::layer_norm::LayerNormConfig;
pub use self::linear::{Linear, LinearConfig};
pub use self::mlp::{Mlp, MlpConfig, MlpNorm};
pub use self::row_ring::{RowRing, unit_rows};
