//! How large gradients are, and whether they are numbers.

use tensor_ops::{Gradients, Parameter, ParameterKind, largest_gradients, largest_value};

use super::{Engine, EngineError, each_parameter};
use plugin_api::{Entry, Module as _};

/// The largest absolute value of each gradient: its infinity norm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GradientNorms {
    /// For each parameter in visiting order; `None` where there is no gradient.
    pub of: Vec<Option<f32>>,
    /// The weights of layers (not biases, class tokens or position tables) that have a gradient, first to last.
    pub weights: Vec<usize>,
}

impl GradientNorms {
    /// Of the first layer's weights that are trained.
    pub fn first(&self) -> Option<f32> {
        self.weights.first().and_then(|&place| self.of[place])
    }

    /// Of the last layer's weights that are trained.
    pub fn last(&self) -> Option<f32> {
        self.weights.last().and_then(|&place| self.of[place])
    }
}

/// What is not a number any more, or infinite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NonFinite {
    /// A parameter, before the step.
    Parameter(String),
    /// The gradient of a parameter.
    Gradient(String),
    /// A loss, though the parameters are finite.
    Loss(String),
}

impl std::fmt::Display for NonFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "the parameter `{name}`"),
            Self::Gradient(name) => write!(f, "the gradient of `{name}`"),
            Self::Loss(id) => write!(f, "the loss `{id}`"),
        }
    }
}

impl Engine {
    /// The norms of all gradients, or the first gradient that is not finite.
    ///
    /// # Errors
    /// If the device fails.
    pub fn gradient_norms(
        &mut self,
        gradients: &mut Gradients,
    ) -> Result<Result<GradientNorms, NonFinite>, EngineError> {
        let mut parameters: Vec<Parameter> = Vec::new();
        each_parameter(&mut self.modules, |parameter| parameters.push(parameter.share()));
        let trained: Vec<&Parameter> =
            parameters.iter().filter(|parameter| parameter.is_trainable()).collect();
        let mut largest = largest_gradients(&trained, gradients)?.into_iter();
        let mut norms = GradientNorms::default();
        for parameter in &parameters {
            let norm = if parameter.is_trainable() { largest.next().flatten() } else { None };
            if norm.is_some_and(|norm| !norm.is_finite()) {
                return Ok(Err(NonFinite::Gradient(self.parameter_name(norms.of.len()))));
            }
            if norm.is_some() && parameter.kind() != ParameterKind::Vector {
                norms.weights.push(norms.of.len());
            }
            norms.of.push(norm);
        }
        Ok(Ok(norms))
    }

    /// The name of a parameter by its place in visiting order.
    fn parameter_name(&mut self, place: usize) -> String {
        let mut names = Vec::new();
        for named in &mut self.modules {
            let module = &named.name;
            named.module.visit(&mut |name, entry| {
                if let Entry::Parameter(_) = entry {
                    names.push(format!("{module}.{name}"));
                }
            });
        }
        names.swap_remove(place)
    }

    /// The first parameter that is not finite.
    pub fn nonfinite_parameter(&mut self) -> Option<NonFinite> {
        let mut bad = None;
        let momentum = self.momentum_modules.iter_mut().flatten();
        for named in self.modules.iter_mut().chain(momentum) {
            let module = &named.name;
            named.module.visit(&mut |name, entry| {
                if let (Entry::Parameter(parameter), None) = (entry, &bad)
                    && !parameter.with_values(largest_value).is_finite()
                {
                    bad = Some(NonFinite::Parameter(format!("{module}.{name}")));
                }
            });
        }
        bad
    }
}
