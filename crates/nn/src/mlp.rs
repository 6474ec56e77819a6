//! Linear layers with ReLU between them.

use plugin_api::{ConfigError, Module, Part as _, Visitor, VisitorMut};
use tensor_ops::{BatchNorm, Features, Mode, OpError, batch_norm_features, relu_features};

use crate::builder::unplaced;
use crate::{Builder, Linear, LinearConfig};

/// The config of [`Mlp`].
#[derive(Clone, Copy, Debug)]
pub struct MlpConfig {
    /// Features that come in.
    pub n_inputs: usize,
    /// The width between two layers.
    pub hidden: usize,
    /// Features that go out.
    pub n_outputs: usize,
    /// Linear layers.
    pub layers: usize,
    /// Where batch norm stands.
    pub norm: MlpNorm,
}

/// Where batch norm stands in an [`Mlp`]. With it no layer has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpNorm {
    /// Nowhere.
    None,
    /// Behind each layer but the last, before its ReLU.
    Hidden,
    /// As `Hidden`, and behind the last layer without scale and shift.
    All,
}

/// Linear layers with ReLU between them, with PyTorch's initial values: `(N, D)` to `(N, C)`.
///
/// The layers are numbered as in a PyTorch `nn.Sequential`, where batch norm and ReLU count too.
pub struct Mlp {
    layers: Vec<Layer>,
}

struct Layer {
    linear: Linear,
    norm: Option<BatchNorm>,
    has_relu: bool,
    /// The place of `linear` in PyTorch's sequence.
    place: usize,
}

impl MlpConfig {
    /// The layers.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn build(self, builder: &Builder<'_>) -> Result<Mlp, ConfigError> {
        let mut layers: Vec<Layer> = Vec::new();
        let mut place = 0;
        for i in 0..self.layers {
            let n_inputs = if i == 0 { self.n_inputs } else { self.hidden };
            let is_last = i + 1 == self.layers;
            let layer = self.layer(builder, n_inputs, is_last, place)?;
            place += 1 + usize::from(layer.norm.is_some()) + usize::from(layer.has_relu);
            layers.push(layer);
        }
        Ok(Mlp { layers })
    }

    fn layer(
        self,
        builder: &Builder<'_>,
        n_inputs: usize,
        is_last: bool,
        place: usize,
    ) -> Result<Layer, ConfigError> {
        let n_outputs = if is_last { self.n_outputs } else { self.hidden };
        let mut linear = LinearConfig::new(n_inputs, n_outputs);
        if self.norm != MlpNorm::None {
            linear.bias = None;
        }
        let linear = linear.build(&builder.part(&place.to_string()))?;
        let norm = match (self.norm, is_last) {
            (MlpNorm::None, _) | (MlpNorm::Hidden, true) => None,
            (MlpNorm::Hidden | MlpNorm::All, false) => {
                Some(BatchNorm::new(builder.device(), n_outputs).map_err(unplaced)?)
            }
            (MlpNorm::All, true) => Some(BatchNorm::without_affine(n_outputs)),
        };
        Ok(Layer { linear, norm, has_relu: !is_last, place })
    }
}

impl Layer {
    fn forward(&mut self, x: Features, mode: Mode) -> Result<Features, OpError> {
        let mut x = self.linear.forward(x)?; // (N, I) → (N, O)
        if let Some(norm) = &mut self.norm {
            x = batch_norm_features(x, norm, mode)?;
        }
        if self.has_relu { relu_features(x) } else { Ok(x) }
    }
}

impl Mlp {
    /// `(N, D)` to `(N, C)`.
    ///
    /// # Errors
    /// If the features have another width.
    pub fn forward(&mut self, features: Features, mode: Mode) -> Result<Features, OpError> {
        self.layers.iter_mut().try_fold(features, |x, layer| layer.forward(x, mode))
    }
}

impl Module for Mlp {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for layer in &self.layers {
            layer.linear.visit_part(&layer.place.to_string(), visitor);
            layer.norm.visit_part(&(layer.place + 1).to_string(), visitor);
        }
    }

    fn visit_mut(&mut self, visitor: &mut VisitorMut<'_>) {
        for layer in &mut self.layers {
            layer.linear.visit_part_mut(&layer.place.to_string(), visitor);
            layer.norm.visit_part_mut(&(layer.place + 1).to_string(), visitor);
        }
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.layers.iter().find_map(|layer| layer.norm.as_ref()).and_then(Module::batch_norm_splits)
    }
}
