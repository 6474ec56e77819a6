//! A trained encoder without what has trained it.

use std::collections::BTreeMap;

use dfdx::shapes::HasShape as _;
use tensor_ops::{Device, FeatureMap, Mode, Precision};

use super::forward::{Start, through};
use super::state::{all, load_module, nothing_left, save_module};
use super::{EngineError, StateError};
use pipeline::{AnyModule, EncoderModules, Weights};
use plugin_api::Backbone;
use run_store::checkpoint::{Snapshot, Stored};

/// The modules that turn images into features, in eval mode: no loss, no second encoder, no optimizer.
///
/// It gives the same bits as [`Engine::embed`](super::Engine::embed).
pub struct FrozenEncoder {
    device: Device,
    precision: Precision,
    modules: EncoderModules,
    n_features: usize,
    /// What the names of its tensors start with in a checkpoint.
    side: &'static str,
}

impl FrozenEncoder {
    /// The encoder of `modules` with the values that `snapshot` has of the trained weights, or of their moving average.
    ///
    /// # Errors
    /// The first tensor of these modules that is missing, unexpected or of another shape.
    pub fn new(
        mut modules: EncoderModules,
        precision: Precision,
        snapshot: &Snapshot,
        weights: Weights,
        device: Device,
    ) -> Result<Self, StateError> {
        let side = match weights {
            Weights::Query => "query",
            Weights::Momentum => "momentum",
        };
        let mut left = all(snapshot);
        let mut n_features = 0;
        let prefixes: Vec<String> =
            modules.modules.iter().map(|(name, _)| format!("{side}.{name}")).collect();
        for (prefix, (_, module)) in prefixes.iter().zip(&mut modules.modules) {
            load_module(&mut left, prefix, module)?;
        }
        left.retain(|name, _| prefixes.iter().any(|prefix| is_under(name, prefix)));
        nothing_left(&left)?;
        if let Some(last) = modules.chain.last() {
            n_features = match &modules.modules[*last].1 {
                AnyModule::Backbone(backbone) => backbone.n_features(),
                AnyModule::Head(head) => head.n_outputs(),
                AnyModule::Loss(_) => unreachable!("the graph check follows images and features"),
            };
        }
        Ok(Self { device, precision, modules, n_features, side })
    }

    /// `D`.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Where the parameters live.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The backbone, and how values between its layers are kept; the rest is dropped.
    pub fn into_backbone(mut self) -> (Box<dyn Backbone>, Precision) {
        let first = self.modules.chain[0];
        match self.modules.modules.swap_remove(first).1 {
            AnyModule::Backbone(backbone) => (backbone, self.precision),
            AnyModule::Head(_) | AnyModule::Loss(_) => {
                unreachable!("the graph check wants a backbone on a view")
            }
        }
    }

    /// The values of all modules, by the names that they have in a checkpoint.
    pub fn tensors(&self) -> BTreeMap<String, Stored> {
        let mut tensors = BTreeMap::new();
        for (name, module) in &self.modules.modules {
            save_module(&mut tensors, &format!("{}.{name}", self.side), module);
        }
        tensors
    }

    /// The features of `images`, `(N, D)` row by row. Changes nothing.
    ///
    /// # Errors
    /// If a module refuses the images.
    pub fn embed(&mut self, images: FeatureMap) -> Result<Vec<f32>, EngineError> {
        let EncoderModules { modules, chain } = &mut self.modules;
        let mut value = Start::Images(images);
        for module in chain.iter() {
            value = Start::Features(through(&mut modules[*module].1, value, Mode::Eval, self.precision)?);
        }
        let Start::Features(features) = value else { unreachable!("an encoder has at least its backbone") };
        debug_assert_eq!(features.shape().1, self.n_features);
        Ok(tensor_ops::to_rows(&features))
    }
}

fn is_under(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::is_under;

    #[test]
    fn a_module_is_not_taken_for_one_whose_name_goes_on() {
        assert!(is_under("query.head.weight", "query.head"));
        assert!(!is_under("query.head2.weight", "query.head"));
        assert!(!is_under("momentum.head.weight", "query.head"));
    }
}
