//! Monitors and evaluation of encoders.
//!
//! Two monitors, one file each: [`KnnMonitor`], `knn` in a pipeline file, says how well an image's class is found among its neighbours, and
//! [`FeatureCollapse`],
//! `feature-collapse`, whether the features still differ from image to image, which needs no
//! labels. Both take features through [`train_core::plugin::Encoder`] and hold no images.
//!
//! What they compute is also there without a training run: [`knn()`], [`neighbours()`], [`feature_std`], [`effective_rank`].

mod normalize;

mod collapse;
mod feature_collapse;
mod knn;
mod knn_monitor;
mod neighbours;

pub use self::collapse::{effective_rank, feature_std};
pub use self::feature_collapse::{FeatureCollapse, FeatureCollapseConfig};
pub use self::knn::{KnnError, KnnScore, Neighbour, knn};
pub use self::knn_monitor::{KnnConfig, KnnMonitor};
pub use self::neighbours::neighbours;
