//! Monitors and evaluation of encoders.
//!
//! Three monitors, one file each: [`KnnMonitor`], `knn` in a pipeline file, says how well an image's class is found among its
//! neighbors, [`LinearProbeMonitor`], `linear-probe`, how well a linear classifier tells it, and [`FeatureCollapse`],
//! `feature-collapse`, whether the features still differ from image to image, which needs no labels. All take features
//! through [`plugin_api::FeatureExtractor`] and hold no images.
//!
//! What they compute is also there without a training run: [`knn()`], [`neighbors()`], [`linear`],
//! [`feature_std`], [`effective_rank`]. [`label_subset`] takes a few labels of each class.

mod normalize;

mod collapse;
mod feature_collapse;
mod knn;
mod knn_monitor;
mod label_subset;
mod labeled;
pub mod linear;
mod neighbors;
mod probe_monitor;

pub use self::collapse::{effective_rank, feature_std};
pub use self::feature_collapse::{FeatureCollapse, FeatureCollapseConfig};
pub use self::knn::{KnnError, KnnScore, Neighbor, knn};
pub use self::knn_monitor::{KnnConfig, KnnMonitor};
pub use self::label_subset::label_subset;
pub use self::neighbors::neighbors;
pub use self::probe_monitor::{LinearProbeConfig, LinearProbeMonitor};
