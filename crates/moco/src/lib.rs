//! A trained encoder, for programs that use it: images in, features out.
//!
//! Start at [`Encoder::load`]. It takes the folder of a run, or one checkpoint in it, and builds the part of the network that
//! features pass through: no loss, no queue, no second encoder, no optimizer.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encoder/tiny_run.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let run = write(folder.path());
//! use image::{DynamicImage, Rgb, RgbImage};
//!
//! let mut encoder = moco::Encoder::load(&run)?; // for instance "runs/mocov2-001"
//!
//! let red = DynamicImage::ImageRgb8(RgbImage::from_pixel(48, 40, Rgb([200, 30, 30])));
//! let blue = DynamicImage::ImageRgb8(RgbImage::from_pixel(40, 48, Rgb([30, 30, 200])));
//! let features = encoder.embed(&[red, blue])?;
//!
//! assert_eq!((features.n(), features.d()), (2, encoder.n_features()));
//! assert!(features.row(0) != features.row(1));
//! # Ok(())
//! # }
//! ```
//!
//! Images may also be files, and options select the checkpoint, the features and so on:
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encoder/tiny_run.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let run = write(folder.path());
//! # let photo = folder.path().join("photo.png");
//! # image::RgbImage::from_pixel(48, 40, image::Rgb([200, 30, 30])).save(&photo)?;
//! use moco::{Encoder, EncoderOptions, Level, Which};
//!
//! let options = EncoderOptions {
//!     checkpoint: Which::Latest,
//!     level: Level::Head,
//!     batch: Some(32),
//!     threads: Some(1),
//!     ..EncoderOptions::default()
//! };
//! let mut encoder = Encoder::load_with(&run, &options)?;
//! let features = encoder.embed(&[&photo])?;
//! assert_eq!(features.values().len(), encoder.n_features());
//! # Ok(())
//! # }
//! ```
//!
//! On one kind of machine, the same image gives bit-for-bit the same features for any batch size, order and number of
//! threads. An [`Encoder`] can be moved to another thread (except in a CUDA build). To share one, put it into a
//! `Mutex`, or load one per thread.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

#[cfg(feature = "train")]
pub mod advice;
mod classifier;
pub mod data;
mod deciding;
mod device;
mod encoder;
mod error;
#[cfg(feature = "train")]
pub mod estimate;
pub mod evaluation;
pub mod exchange;
pub mod map;
#[cfg(feature = "train")]
mod origin;
mod picture;
pub mod recipe;
mod report;
mod run;
#[cfg(feature = "train")]
pub mod runs;
mod source;
mod table;
#[cfg(feature = "train")]
mod together;
#[cfg(feature = "train")]
mod training;
mod views;

pub use self::classifier::{
    Classifier, ClassifierError, ClassifierFacts, ClassifierOptions, KeptClassifier, Prediction,
    PredictionFormat, PredictionTable, Predictions, find_classifier,
};
pub use self::device::{DeviceChoice, DeviceError, choose_device, device, prefer_gpu};
pub use self::encoder::{Attended, Encoder, EncoderOptions};
pub use self::error::{EmbedError, Error, LoadError};
pub use self::evaluation::EvaluationError;
#[cfg(feature = "train")]
pub use self::origin::{Changes, GoesOn, ModuleStart, Origin, OriginError, OwnCheckpoint};
pub use self::picture::{colors_note, rgb_of, write_picture};
pub use self::report::{ReportError, ReportOptions, report_page, report_path, write_report};
pub use self::run::{OpenRun, RUNS, RunError, Which, find_run};
pub use self::source::{Given, ImageSource, open_images};
pub use self::table::{FeatureTable, TableError, TableFormat};
#[cfg(feature = "train")]
pub use self::training::{Run, RunOptions, build_pipeline, open_dataset, parse_pipeline, read_pipeline};
pub use self::views::{SeenImage, seen_images, view_sheet};
pub use datasets::OpenedImages;
pub use pipeline::{self, Move, Moved, Pipeline, Weights};
pub use plugin_api::{ByteImage, Embeddings, Level, UnreadableImage};
pub use processes;
#[cfg(feature = "train")]
pub use sweep;
#[cfg(feature = "train")]
pub use train_core::trainer::{
    BestCheckpoint, EpochReport, EpochSummary, Finished, Note, Observer, ObserverError, PartReport, Reached,
    RolledBack, Silent, SpikeConsequence, Started, StepReport, Summary, TrainError, Verdict,
};

// Without this line, no plugin would be linked in.
use plugins as _;

/// What must hold before anything is built: the requested kernels exist, and names of plugins are unique.
fn check_process() -> Result<(), LoadError> {
    tensor_ops::choose_kernels().map_err(LoadError::Kernels)?;
    plugin_api::check_registry()?;
    Ok(())
}
