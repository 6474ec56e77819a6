//! Monitors, and evaluation of encoders.
//!
//! There are three monitors, one file each: [`KnnMonitor`] (`knn` in a pipeline file) measures the accuracy of a kNN
//! classifier, [`LinearProbeMonitor`] (`linear-probe`) that of a linear classifier, and [`FeatureCollapse`]
//! (`feature-collapse`) the spread of features, which needs no labels. All of them get features from
//! [`plugin_api::FeatureExtractor`] and keep no images.
//!
//! Their functions can also be used without a training run: [`knn()`], [`neighbors()`], [`linear`], [`feature_std`],
//! [`effective_rank`]. [`label_subset`] selects a few labels per class.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod normalize;

mod collapse;
mod drift;
mod feature_collapse;
mod key_drift;
mod knn;
mod knn_monitor;
mod label_subset;
mod labeled;
pub mod linear;
mod neighbors;
mod probe_monitor;

pub use self::collapse::{effective_rank, feature_std};
pub use self::drift::{key_age_gap, key_drift};
pub use self::feature_collapse::{FeatureCollapse, FeatureCollapseConfig};
pub use self::key_drift::{KeyDrift, KeyDriftConfig};
pub use self::knn::{KnnError, KnnScore, Neighbor, knn};
pub use self::knn_monitor::{KnnConfig, KnnMonitor};
pub use self::label_subset::{chosen_images, label_subset};
pub use self::neighbors::neighbors;
pub use self::probe_monitor::{LinearProbeConfig, LinearProbeMonitor};
