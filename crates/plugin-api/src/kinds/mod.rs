//! The traits that plugins implement, one file a kind.

mod augmentation;
mod dataset;
mod dataset_files;
mod loss;
mod map_shape;
mod module;
mod monitor;
mod objective;
mod objective_inputs;
mod optimizer;
mod own_dataset;
mod schedule;
mod visit;

pub use self::augmentation::{Augmentation, AugmentationContext, Normalization};
pub use self::dataset::{Dataset, DatasetContext, DatasetError, Images, Split, Splits, UnreadableImage};
pub use self::dataset_files::DatasetFiles;
pub use self::loss::{Contrast, ContrastiveLoss, Keys, LossContext, LossRange, PastKeys};
pub use self::map_shape::MapShape;
pub use self::module::{Backbone, Head, Module, ModuleContext, NormScope, OfOtherSize, PassDraws, Resized};
pub use self::monitor::{
    Embed, EmbedViews, Embedding, FeatureExtractor, KeysAnew, Level, Metric, Monitor, MonitorContext,
    MonitorError, Outcome,
};
pub use self::objective::{
    Evaluated, Input, InputOrigin, InputShape, Objective, ObjectiveContext, ObjectiveStep,
};
pub use self::objective_inputs::{ObjectiveInputs, SortedInputs};
pub use self::optimizer::{Optimizer, OptimizerContext, Slots, Update, UpdateStep};
pub use self::own_dataset::{DatasetConfig, OwnDataset};
pub use self::schedule::{Progress, Schedule, ScheduleContext};
pub use self::visit::{Entry, EntryMut, Part, Visitor, VisitorMut};
