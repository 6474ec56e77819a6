//! Initial values: those of MoCo v3, and PyTorch's where it says nothing.

use plugin_api::Rng;
use plugin_api::{ConfigError, ModuleContext};
use tensor_ops::{Device, LayerNorm, OpError, Parameter, ParameterKind};

/// What all layers of one ViT are built with.
#[derive(Clone, Copy)]
pub(crate) struct Builder<'a> {
    pub(crate) context: &'a ModuleContext,
}

impl Builder<'_> {
    /// Where the parameters live.
    pub(crate) fn device(&self) -> &Device {
        &self.context.device
    }

    /// A parameter called `name`, each value drawn by `draw`.
    pub(crate) fn drawn(
        &self,
        name: &str,
        kind: ParameterKind,
        shape: &[usize],
        mut draw: impl FnMut(&mut Rng) -> f64,
    ) -> Result<Parameter, ConfigError> {
        let mut rng = self.context.rng(name);
        let values = (0..shape.iter().product()).map(|_| draw(&mut rng) as f32).collect();
        Parameter::new(self.device(), kind, shape, values).map_err(unplaced)
    }

    /// A parameter from `U(−bound, bound)`.
    pub(crate) fn uniform(
        &self,
        name: &str,
        kind: ParameterKind,
        shape: &[usize],
        bound: f64,
    ) -> Result<Parameter, ConfigError> {
        self.drawn(name, kind, shape, |rng| rng.uniform(-bound, bound))
    }

    /// Weights and bias of a linear layer: Xavier's uniform initialization (Glorot & Bengio 2010, Eq. 16), and 0. Of its
    /// outputs, `n_parts` equal parts are layers of their own for the bound, as queries, keys and values are.
    pub(crate) fn linear(
        &self,
        name: &str,
        n_inputs: usize,
        n_outputs: usize,
        n_parts: usize,
    ) -> Result<(Parameter, Parameter), ConfigError> {
        let bound = xavier(n_inputs, n_outputs / n_parts);
        let shape = [n_inputs, n_outputs];
        let weight = self.uniform(&format!("{name}.weight"), ParameterKind::Matrix, &shape, bound)?;
        Ok((weight, self.zeros(n_outputs)?))
    }

    /// A vector of zeros.
    pub(crate) fn zeros(&self, len: usize) -> Result<Parameter, ConfigError> {
        Parameter::new(self.device(), ParameterKind::Vector, &[len], vec![0.0; len]).map_err(unplaced)
    }

    /// Scale 1, shift 0, and the epsilon of ViTs.
    pub(crate) fn layer_norm(&self, dim: usize) -> Result<LayerNorm, ConfigError> {
        LayerNorm::new(self.device(), dim, 1e-6).map_err(unplaced)
    }
}

/// `√(6 / (inputs + outputs))`.
pub(crate) fn xavier(n_inputs: usize, n_outputs: usize) -> f64 {
    (6.0 / (n_inputs + n_outputs) as f64).sqrt()
}

/// Building fails on the device alone, for shapes are ours.
pub(crate) fn unplaced(error: OpError) -> ConfigError {
    ConfigError::unfit(format!("the parameters cannot be placed: {error}"), "use a smaller `dim` or `depth`")
}
