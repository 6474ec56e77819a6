//! A linear layer.

use plugin_api::{ConfigError, Module};
use tensor_ops::{
    Features, OpError, Parameter, ParameterKind, Tokens, linear, linear_add_tokens, linear_gelu_tokens,
    linear_tokens,
};

use crate::{Builder, Init};

/// The config of [`Linear`].
#[derive(Clone, Copy, Debug)]
pub struct LinearConfig {
    /// Features that come in, `I`.
    pub n_inputs: usize,
    /// Features that go out, `O`.
    pub n_outputs: usize,
    /// How the weights start.
    pub weight: Init,
    /// How the biases start, if there are any.
    pub bias: Option<Init>,
}

/// `x W + b`: PyTorch's `nn.Linear`.
pub struct Linear {
    /// `(I, O)`.
    pub weight: Parameter,
    /// `(O)`.
    pub bias: Option<Parameter>,
}

impl LinearConfig {
    /// A layer with bias and PyTorch's initial values.
    pub fn new(n_inputs: usize, n_outputs: usize) -> Self {
        let init = Init::torch(n_inputs);
        Self { n_inputs, n_outputs, weight: init, bias: Some(init) }
    }

    /// The layer.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn build(self, builder: &Builder<'_>) -> Result<Linear, ConfigError> {
        let Self { n_inputs, n_outputs, weight, bias } = self;
        let weight = builder.parameter("weight", ParameterKind::Matrix, &[n_inputs, n_outputs], weight)?;
        let bias = bias.map(|init| builder.parameter("bias", ParameterKind::Vector, &[n_outputs], init));
        Ok(Linear { weight, bias: bias.transpose()? })
    }
}

impl Linear {
    /// `(N, I)` to `(N, O)`.
    ///
    /// # Errors
    /// If the features have another width.
    pub fn forward(&self, x: Features) -> Result<Features, OpError> {
        linear(x, &self.weight, self.bias.as_ref())
    }

    /// `(N, T, I)` to `(N, T, O)`.
    ///
    /// # Errors
    /// If the tokens have another width.
    pub fn forward_tokens(&self, x: Tokens) -> Result<Tokens, OpError> {
        linear_tokens(x, &self.weight, self.bias.as_ref())
    }

    /// `gelu(x W + b)`, `(N, T, I)` to `(N, T, O)`.
    ///
    /// # Errors
    /// If the tokens have another width.
    pub fn forward_gelu(&self, x: Tokens) -> Result<Tokens, OpError> {
        linear_gelu_tokens(x, &self.weight, self.bias.as_ref())
    }

    /// `x W + b + residual`, `(N, T, I)` to `(N, T, O)`.
    ///
    /// # Errors
    /// If the tokens have another width, or the residual another shape.
    pub fn forward_add(&self, x: Tokens, residual: Tokens) -> Result<Tokens, OpError> {
        linear_add_tokens(x, &self.weight, self.bias.as_ref(), residual)
    }
}

impl Module for Linear {
    plugin_api::visit! { self;
        "weight" => self.weight,
        "bias" => self.bias,
    }
}
