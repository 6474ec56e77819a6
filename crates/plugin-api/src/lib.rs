//! The contract between plugins and what runs them.
//!
//! A plugin is a type that implements the trait of its kind, a config, and a registration. This is a whole one, a loss of two
//! values of a pipeline's graph:
//!
//! ```
//! use plugin_api::schemars::JsonSchema;
//! use plugin_api::serde::Deserialize;
//! use plugin_api::tensor_ops::{OpError, Rows as _, loss_with_gradient};
//! use plugin_api::{
//!     ConfigError, Evaluated, Input, Module, Objective, ObjectiveContext, ObjectiveStep,
//! };
//!
//! plugin_api::register! {
//!     dyn Objective {
//!         name: "pull",
//!         summary: "mean squared error of a trained value against a fixed one",
//!         source: "an example",
//!         example: "(scale: 1.0)",
//!         build: |config: PullConfig, context| Pull::new(config, context),
//!     }
//! }
//!
//! /// The config of [`Pull`].
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(crate = "plugin_api::serde", deny_unknown_fields)]
//! #[schemars(crate = "plugin_api::schemars")]
//! struct PullConfig {
//!     /// What the loss is multiplied with, more than 0.
//!     scale: f32,
//! }
//!
//! /// `s (x - y)²`, averaged over all values.
//! struct Pull {
//!     scale: f32,
//! }
//!
//! impl Pull {
//!     // What cannot work is refused here, before an image is read, and told at its place in the file.
//!     fn new(config: PullConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
//!         if !(config.scale > 0.0 && config.scale.is_finite()) {
//!             return Err(ConfigError::field("scale", config.scale, "it must be more than 0"));
//!         }
//!         match &context.inputs[..] {
//!             [x, y] if x.is_trained && !y.is_trained && x.width == y.width => Ok(Self { scale: config.scale }),
//!             _ => Err(ConfigError::unfit(
//!                 "`pull` takes a trained value and a fixed one of the same width",
//!                 "name a step, and one with `weights: Momentum`, in its `on`",
//!             )),
//!         }
//!     }
//! }
//!
//! // It has no parameters, and keeps nothing from step to step.
//! impl Module for Pull {
//!     plugin_api::visit! { self; }
//! }
//!
//! impl Objective for Pull {
//!     fn evaluate(&mut self, mut inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
//!         let shapes: Vec<(usize, usize)> = inputs.iter().map(Input::shape).collect();
//!         let (Some(Input::Fixed(y)), Some(Input::Trained(x))) = (inputs.pop(), inputs.pop()) else {
//!             unreachable!("`new` has seen that the second value is fixed, and the first one trained")
//!         };
//!         if shapes[0] != shapes[1] {
//!             let (expected, got) = (format!("{:?}", shapes[0]), format!("{:?}", shapes[1]));
//!             return Err(OpError::Shape { op: "pull", what: "shape of the fixed value", expected, got });
//!         }
//!         let differences: Vec<f32> = x.rows().iter().zip(y.rows()).map(|(x, y)| x - y).collect();
//!         let scale = self.scale / differences.len() as f32;
//!         let value = scale * differences.iter().map(|d| d * d).sum::<f32>();
//!         let gradient = differences.iter().map(|d| 2.0 * scale * d).collect();
//!         let loss = loss_with_gradient(x, value, gradient)?;
//!         Ok(Evaluated { loss, value, metrics: Vec::new() })
//!     }
//! }
//!
//! assert!(plugin_api::find::<dyn Objective>("pull").is_some());
//! ```
//!
//! A pipeline then names it, in a program that links its crate: `"loss": ("pull", (scale: 1.0))`. `moco new-plugin` writes such
//! a crate, and the crate `plugin-tests` tests what it must do.
//!
//! The kinds are [`Dataset`], [`Augmentation`], [`Backbone`], [`Head`], [`ContrastiveLoss`], [`Objective`], [`Optimizer`],
//! [`Schedule`] and [`Monitor`]; each trait says what its implementer must do. This crate names no plugin, opens no file and
//! prints nothing.
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
mod plain_text;
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
    DatasetContext, DatasetError, DatasetFiles, Embed, EmbedViews, Embedding, Entry, EntryMut, Evaluated,
    FeatureExtractor, Head, Images, Input, InputOrigin, InputShape, Keys, KeysAnew, Level, LossContext,
    LossRange, MapShape, Metric, Module, ModuleContext, Monitor, MonitorContext, MonitorError, NormScope,
    Normalization, Objective, ObjectiveContext, ObjectiveInputs, ObjectiveStep, OfOtherSize, Optimizer,
    OptimizerContext, Outcome, OwnDataset, Part, PassDraws, PastKeys, Progress, Resized, Schedule,
    ScheduleContext, Slots, SortedInputs, Split, Splits, UnreadableImage, Update, UpdateStep, Visitor,
    VisitorMut,
};
pub use self::nearest::{nearest, suggest, suggest_plugin};
pub use self::plain_text::plain_text;
pub use self::registry::{
    Described, Field, Kind, Plugin, RegistryError, all_plugins, build, check_registry, find,
};
pub use self::rng::Rng;
pub use self::temperature::{TEMPERATURES, check_temperature, check_temperature_of, set_temperature};
pub use self::transform::{ViewTransform, WrongStep};
