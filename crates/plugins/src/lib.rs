//! The one list of plugin crates.
//!
//! A plugin registers itself when its crate is linked, and a crate that no code names is dropped without a word. So each
//! has a line here, and a program that wants the plugins has `use plugins as _;`, or calls [`all_plugins`]. To add a plugin
//! crate: a line here, a line in `Cargo.toml`, and its names in `tests/registry.rs`.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

use augment as _;
use backbone_convnext as _;
use backbone_resnet as _;
use backbone_vit as _;
use datasets as _;
use evaluate as _;
use heads as _;
use negatives_inbatch as _;
use negatives_queue as _;
use objectives_clusters as _;
use objectives_contrastive as _;
use objectives_distillation as _;
use objectives_redundancy as _;
use optimizers as _;

pub use plugin_api::all_plugins;
