//! A linear layer with PyTorch's initial values.

use plugin_api::{ConfigError, Module, ModuleContext};
use tensor_ops::{Features, OpError, Parameter, ParameterKind, linear};

/// The widest layer that is accepted: far beyond any published one, and far from overflow.
const MAX_WIDTH: usize = 1 << 16;

/// `x W + b`, weights and biases from `U(−1/√I, 1/√I)` for `I` inputs: PyTorch's `nn.Linear`.
pub(crate) struct Dense {
    weight: Parameter,
    bias: Option<Parameter>,
}

/// Whether a layer adds a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bias {
    /// It does.
    Yes,
    /// It does not: batch norm follows.
    No,
}

/// Refuses a number of features that no layer can have; `field` is where the reader wrote it.
pub(crate) fn check_width(field: &'static str, width: usize) -> Result<(), ConfigError> {
    if (1..=MAX_WIDTH).contains(&width) {
        Ok(())
    } else {
        Err(ConfigError::field(field, width, format!("it must be between 1 and {MAX_WIDTH}")))
    }
}

impl Dense {
    /// A layer from `n_inputs` to `n_outputs` features. `prefix` is its name with a dot, or nothing.
    pub(crate) fn new(
        context: &ModuleContext,
        prefix: &str,
        n_inputs: usize,
        n_outputs: usize,
        bias: Bias,
    ) -> Result<Self, ConfigError> {
        let bound = 1.0 / (n_inputs as f64).sqrt();
        let draw = |name: &str, n: usize| -> Vec<f32> {
            let mut rng = context.rng(&format!("{prefix}{name}"));
            (0..n).map(|_| rng.uniform(-bound, bound) as f32).collect()
        };
        let weight = draw("weight", n_inputs * n_outputs);
        let weight = Parameter::new(&context.device, ParameterKind::Matrix, &[n_inputs, n_outputs], weight);
        let bias = match bias {
            Bias::Yes => {
                let values = draw("bias", n_outputs);
                let bias = Parameter::new(&context.device, ParameterKind::Vector, &[n_outputs], values);
                Some(bias.map_err(unplaced)?)
            }
            Bias::No => None,
        };
        Ok(Self { weight: weight.map_err(unplaced)?, bias })
    }

    /// `(N, I)` to `(N, O)`.
    pub(crate) fn forward(&self, x: Features) -> Result<Features, OpError> {
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// Building fails on the device alone, for shapes are ours.
pub(crate) fn unplaced(error: OpError) -> ConfigError {
    ConfigError::unfit(format!("the parameters cannot be placed: {error}"), "use a smaller `hidden` or `out`")
}

impl Module for Dense {
    plugin_api::visit! { self;
        "weight" => self.weight,
        "bias" => self.bias,
    }
}
