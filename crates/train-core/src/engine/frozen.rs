//! A trained encoder without what has trained it.

use std::collections::BTreeMap;

use dfdx::shapes::HasShape as _;
use tensor_ops::{Device, FeatureMap, Mode, Precision};

use super::encode::{Gives, Pass, run_backbone};
use super::state::{all, load_module, nothing_left, save_module};
use super::{EngineError, StateError};
use pipeline::{EncoderModules, Named, Weights};
use plugin_api::{AttentionMaps, Backbone};
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
        let n_features = modules.n_features();
        let mut prefixes = Vec::new();
        for (name, module) in modules.named_mut() {
            let prefix = format!("{side}.{name}");
            load_module(&mut left, &prefix, module)?;
            prefixes.push(prefix);
        }
        left.retain(|name, _| prefixes.iter().any(|prefix| is_under(name, prefix)));
        nothing_left(&left)?;
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
    pub fn into_backbone(self) -> (Named<Box<dyn Backbone>>, Precision) {
        (self.modules.backbone, self.precision)
    }

    /// The values of all modules, by the names that they have in a checkpoint.
    pub fn tensors(&self) -> BTreeMap<String, Stored> {
        let mut tensors = BTreeMap::new();
        for (name, module) in self.modules.named() {
            save_module(&mut tensors, &format!("{}.{name}", self.side), module);
        }
        tensors
    }

    /// The features of `images`, `(N, D)` row by row. Changes nothing.
    ///
    /// # Errors
    /// If a module refuses the images.
    pub fn embed(&mut self, images: FeatureMap) -> Result<Vec<f32>, EngineError> {
        let EncoderModules { backbone, heads, chain } = &mut self.modules;
        let pass = (Pass::Eval, Gives::Features);
        let mut features = run_backbone(&mut *backbone.module, images, pass, self.precision)?;
        for head in chain.iter() {
            features = heads[*head].module.forward(features, Mode::Eval)?;
        }
        debug_assert_eq!(features.shape().1, self.n_features);
        Ok(tensor_ops::to_rows(&features))
    }

    /// Where the backbone looks in `images`; `None` if it has nothing to show. Changes nothing.
    ///
    /// # Errors
    /// If it refuses the images.
    pub fn attention(&mut self, images: FeatureMap) -> Result<Option<AttentionMaps>, EngineError> {
        Ok(self.modules.backbone.module.attention(images.with_precision(self.precision)?)?)
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
