//! Features of images, in eval mode.

use dfdx::shapes::HasShape as _;
use tensor_ops::{FeatureMap, Mode};

use super::forward::Start;
use super::{Engine, EngineError};
use pipeline::Weights;
use plugin_api::Level;

impl Engine {
    /// The query encoder's features of `images`, `(N, D)` row by row, and `D`. Changes nothing.
    ///
    /// Which modules they pass through is said at [`Graph::encoder`](pipeline::Graph::encoder).
    ///
    /// # Errors
    /// If a module refuses the images.
    pub fn embed(&mut self, images: FeatureMap, level: Level) -> Result<(Vec<f32>, usize), EngineError> {
        let (_, modules) = self.graph.encoder(level);
        let modules = modules.to_vec();
        let features = self.chain(&modules, Start::Images(images), Weights::Query, Mode::Eval)?;
        let (_, d) = *features.shape();
        Ok((tensor_ops::to_rows(&features), d))
    }
}
