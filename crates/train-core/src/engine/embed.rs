//! Features of images, in eval mode.

use dfdx::shapes::HasShape as _;
use tensor_ops::{FeatureMap, Mode, Precision};

use super::forward::Start;
use super::{Engine, EngineError};
use crate::pipeline::{Action, AnyModule, Value, Weights};
use crate::plugin::{Backbone, Level};

impl Engine {
    /// The query encoder's backbone as it is now, and how values between its layers are kept; the rest is dropped.
    pub fn into_backbone(mut self) -> (Box<dyn Backbone>, Precision) {
        let first = self.query_modules()[0];
        match self.modules.swap_remove(first).module {
            AnyModule::Backbone(backbone) => (backbone, self.precision),
            AnyModule::Head(_) | AnyModule::Negatives(_) => {
                unreachable!("the graph check wants a backbone on a view")
            }
        }
    }

    /// The query encoder's features of `images`, `(N, D)` row by row, and `D`. Changes nothing.
    ///
    /// The backbone is the first module of the first query step. The head is what follows it there, as far as keys pass
    /// through it as well: MoCo v3's predictor is no part of it.
    ///
    /// # Errors
    /// If a module refuses the images.
    pub fn embed(&mut self, images: FeatureMap, level: Level) -> Result<(Vec<f32>, usize), EngineError> {
        let modules = self.query_modules();
        let modules = match level {
            Level::Backbone => &modules[..1],
            Level::Head => {
                let has_copy = |module: &&usize| self.momentum_modules[**module].is_some();
                &modules[..modules.iter().take_while(has_copy).count().max(1)]
            }
        };
        let features = self.chain(modules, Start::Images(images), Weights::Query, Mode::Eval)?;
        let (_, d) = *features.shape();
        Ok((tensor_ops::to_rows(&features), d))
    }

    /// The modules of the first query step on a view, in order.
    fn query_modules(&self) -> Vec<usize> {
        self.graph
            .steps
            .iter()
            .find_map(|step| match &step.action {
                Action::Encode { modules, input: Value::View(_), weights: Weights::Query, .. } => {
                    Some(modules.clone())
                }
                _ => None,
            })
            .unwrap_or_else(|| unreachable!("a graph that trains has a query step on a view"))
    }
}
