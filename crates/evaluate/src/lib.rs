//! Monitors, and evaluation of encoders.
//!
//! There is one file for each monitor. With labels, [`KnnMonitor`] (`knn` in a pipeline file) measures the accuracy of a kNN
//! classifier, and [`LinearProbeMonitor`] (`linear-probe`) that of a linear classifier. Without labels, [`FeatureCollapse`]
//! (`feature-collapse`) measures the spread and the effective rank of features, [`AlignmentMonitor`] (`alignment-uniformity`)
//! how views of an image and images lie to each other, [`LidarMonitor`] (`lidar`) the effective rank of what tells images
//! apart, and [`KeyDrift`] (`key-drift`) how far the keys in a queue have drifted. All of
//! them get features from [`plugin_api::FeatureExtractor`] and keep no images.
//!
//! Their functions can also be used without a training run: [`knn()`], [`neighbors()`], [`knn_left_out`], [`linear`], [`feature_std`],
//! [`effective_rank`], [`alignment()`], [`uniformity`], [`lidar()`], [`key_drift()`], [`key_age_gap`]. [`label_subset`] selects a few labels per class.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod normalize;

mod alignment;
mod alignment_monitor;
mod collapse;
mod drift;
mod feature_collapse;
mod key_drift;
mod knn;
mod knn_monitor;
mod label_subset;
mod labeled;
mod left_out;
mod lidar;
mod lidar_monitor;
pub mod linear;
mod neighbors;
mod probe_monitor;
mod unlabeled;

pub use self::alignment::{alignment, uniformity};
pub use self::alignment_monitor::{AlignmentConfig, AlignmentMonitor};
pub use self::collapse::{effective_rank, feature_std};
pub use self::drift::{key_age_gap, key_drift};
pub use self::feature_collapse::{FeatureCollapse, FeatureCollapseConfig};
pub use self::key_drift::{KeyDrift, KeyDriftConfig};
pub use self::knn::{KnnError, KnnScore, Neighbor, knn, knn_while};
pub use self::knn_monitor::{KnnConfig, KnnMonitor};
pub use self::label_subset::{chosen_images, label_subset};
pub use self::left_out::knn_left_out;
pub use self::lidar::lidar;
pub use self::lidar_monitor::{LidarConfig, LidarMonitor};
pub use self::neighbors::neighbors;
pub use self::probe_monitor::{LinearProbeConfig, LinearProbeMonitor};
