//! From a RON file to a checked graph of plugins.
//!
//! Start at [`Pipeline::read`], or build a [`PipelineConfig`]. Everything that can be wrong is found here, before the first
//! image is read, and is told as a [`Fault`]: file, line, column, what was found, what to do.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod base;
mod build;
mod build_plan;
mod check_graph;
mod check_losses;
mod check_monitors;
mod check_names;
mod check_numbers;
mod check_passes;
mod check_plugins;
mod check_schedule;
mod check_use;
mod checker;
mod config;
mod differences;
mod drawing;
mod encoder;
mod error;
mod graph;
mod ids;
mod kept;
mod loss_module;
mod measuring;
mod minimize;
mod misplaced;
mod modules;
mod moved;
mod number_word;
mod on_features;
mod outline;
mod parameters;
mod parts;
mod patterns;
mod pipeline;
mod plugin_ref;
mod plugin_word;
mod ramps;
mod row_shape;
mod schema;
mod site;
mod stability;
mod views;
mod write;

pub use self::check_numbers::MOST_EPOCHS;
pub use self::config::{
    CheckpointConfig, Curve, DataConfig, EarlyStoppingConfig, Gives, Gradient, GroupConfig,
    LearningRateConfig, LearningRateScale, MomentumConfig, MomentumSchedule, PipelineConfig, Precision,
    RampConfig, Selection, StepConfig, Weights,
};
pub use self::differences::{Difference, differences};
pub use self::encoder::{EncoderModules, EncoderPipeline};
pub use self::error::PipelineError;
pub use self::graph::{
    Chain, Encode, Graph, Input, KeyStep, LossInputs, LossStep, ModuleId, QueryStep, StepId, ValueId,
};
pub use self::ids::{
    BackboneCopyId, BackboneId, HeadCopyId, HeadId, Id, KeyId, LossId, LossStepId, QueryId, Table, ViewId,
};
pub use self::loss_module::{LossModule, loss_range};
pub use self::modules::{Encoders, Modules, MomentumModules, Named, NamedModule, NamedModuleMut};
pub use self::moved::{Move, Moved};
pub use self::parameters::{ParameterSettings, Parameters};
pub use self::parts::{Parts, PartsMethod, Pass, batch_shuffle};
pub use self::pipeline::{Network, Pipeline, standalone_text};
pub use self::plugin_ref::PluginRef;
pub use self::ramps::{Ramp, RampOf, Way};
pub use self::schema::schema;
pub use self::site::Site;
pub use self::stability::{OnNonfinite, OnSpike, StabilityConfig};
pub use self::views::View;
pub use self::write::WriteError;
pub use pipeline_text::{Color, Fault};

/// `(H, W)` as messages write it.
pub(crate) fn pixels((height, width): (usize, usize)) -> String {
    format!("{width} × {height} px")
}
