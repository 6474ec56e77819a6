//! The contract between plugins and what runs them.
//!
//! A plugin is a type that implements the trait of its kind ([`Backbone`], [`Head`], [`ContrastiveLoss`], [`Objective`],
//! [`Augmentation`], [`Dataset`], [`Optimizer`], [`Schedule`], [`Monitor`]), and a [`Plugin`] that registers it.
//! This crate names no plugin, opens no file and prints nothing.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod architecture;
mod attention;
mod by_name;
mod config;
mod counted;
mod decoding_scope;
mod embeddings;
mod image;
mod kinds;
mod nearest;
mod registry;
mod rng;
mod temperature;
mod transform;

// What a plugin's code names, so that it needs no dependency but this one: derives are told by
// `#[serde(crate = "plugin_api::serde")]` and `#[schemars(crate = "plugin_api::schemars")]`.
pub use {inventory, processes, schemars, serde, tensor_ops};

pub use self::attention::AttentionMaps;
pub use self::by_name::{ByName, NamesError, ParameterId};
pub use self::config::{Config, ConfigError, parse_ron};
pub use self::counted::counted;
pub use self::decoding_scope::{DecodingScope, MAX_DECODING_TOGETHER_BYTES};
pub use self::embeddings::Embeddings;
pub use self::image::{ByteImage, FloatImage, Image, ImageShape, ImageValues, MAX_CHANNELS};
pub use self::kinds::{
    Augmentation, AugmentationContext, Backbone, Contrast, ContrastiveLoss, Dataset, DatasetConfig,
    DatasetContext, DatasetError, Embed, EmbedViews, Embedding, Entry, EntryMut, Evaluated, FeatureExtractor,
    Head, Images, Input, InputShape, Keys, KeysAnew, Level, LossContext, LossRange, Metric, Module,
    ModuleContext, Monitor, MonitorContext, MonitorError, NormScope, Normalization, Objective,
    ObjectiveContext, ObjectiveInputs, ObjectiveStep, OfOtherSize, Optimizer, OptimizerContext, Outcome,
    OwnDataset, Part, PassDraws, PastKeys, Progress, Resized, Schedule, ScheduleContext, Slots, SortedInputs,
    Split, Splits, UnreadableImage, Update, UpdateStep, Visitor, VisitorMut,
};
pub use self::nearest::{nearest, suggest};
pub use self::registry::{
    Described, Field, Kind, Plugin, RegistryError, all_plugins, build, check_registry, find,
};
pub use self::rng::Rng;
pub use self::temperature::{TEMPERATURES, check_temperature};
pub use self::transform::ViewTransform;
