//! Reads and writes weights of encoders in the formats of other programs: names, layouts and files.
//!
//! Start at [`Target`] to export and at [`WeightFile`] to import. Inside this project, an encoder has the names of
//! torchvision (ResNet) and timm (ViT), see [`layout`]; all other conventions are renamings of these.
//!
//! PyTorch files are pickles, which are programs. They are parsed without executing code: see [`read`].
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod channels;
mod choice;
mod convention;
mod detect;
mod error;
mod family;
mod file;
mod head;
mod layout;
mod onnx;
mod plausible;
mod python;
mod rename;
mod report;
mod roles;
mod shown;
mod target;
mod timm_config;
mod torch;
mod unsupported;

use std::collections::BTreeMap;

use run_store::checkpoint::Stored;

pub use plugin_api::architecture::{Architecture, Block, ResNet, ResNetStem, Vit, VitStem};

pub use self::channels::adapt_channels;
pub use self::choice::{Choice, Place, Side};
pub use self::convention::{Convention, EncoderWeights, Encoders};
pub use self::detect::detect;
pub use self::error::{EncodersError, ReadError, Unrecognized};
pub use self::file::{WeightFile, read, write_safetensors};
pub use self::head::{HeadLayer, HeadLayers};
pub use self::layout::{Shape, layout};
pub use self::onnx::{OnnxOutput, write_onnx};
pub use self::plausible::implausible;
pub use self::python::{Facts, loading_lines};
pub use self::report::Report;
pub use self::shown::shown;
pub use self::target::{Target, Unfit};
pub use self::timm_config::timm_config;

/// Named tensors, as in a checkpoint: float32 with PyTorch's shapes and layouts, and counts.
pub type Tensors = BTreeMap<String, Stored>;
