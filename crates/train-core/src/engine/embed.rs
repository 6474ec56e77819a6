//! Features of images, in eval mode.

use dfdx::shapes::HasShape as _;
use tensor_ops::FeatureMap;

use super::encode::{Gives, Pass, encode};
use super::{Engine, EngineError};
use pipeline::Chain;
use plugin_api::Level;

impl Engine {
    /// The query encoder's features of `images`, `(N, D)` row by row, and `D`. Changes nothing.
    ///
    /// Which modules they pass through is said at [`Graph::features`](pipeline::Graph::features).
    ///
    /// # Errors
    /// If a module refuses the images.
    pub fn embed(&mut self, images: FeatureMap, level: Level) -> Result<(Vec<f32>, usize), EngineError> {
        let Chain { backbone, heads, .. } = self.graph.features(level);
        let encoders = &mut self.modules.encoders;
        let features =
            encode(encoders, backbone, heads, images, (Pass::Eval, Gives::Features), self.precision)?;
        let (_, d) = *features.shape();
        Ok((tensor_ops::to_rows(&features), d))
    }
}
