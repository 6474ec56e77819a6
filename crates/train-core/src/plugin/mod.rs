//! The registry: one collection of [`Plugin`]s for each [`Kind`].

mod config;
mod kinds;
mod registry;

pub(crate) use self::config::parse_ron;
pub use self::config::{Config, ConfigError};
pub use self::kinds::{
    Augmentation, AugmentationContext, Backbone, Contrast, ContrastiveLoss, Dataset, DatasetContext,
    DatasetError, Embed, Embedding, Entry, FeatureExtractor, Head, Images, Keys, Level, LossContext,
    LossRange, Metric, Module, ModuleContext, Monitor, MonitorContext, MonitorError, Optimizer,
    OptimizerContext, Outcome, Progress, Schedule, ScheduleContext, Split, Splits, UnreadableImage, Update,
    UpdateStep, visit_part,
};
pub use self::registry::{Described, Field, Kind, Plugin, RegistryError, all, build, check_registry, find};
