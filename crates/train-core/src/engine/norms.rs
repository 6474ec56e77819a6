//! How large gradients are, and whether they are numbers.

use tensor_ops::{Gradients, Parameter, ParameterKind, clip_gradients, largest_gradients, largest_value};

use super::{Engine, EngineError};
use plugin_api::{Entry, ParameterId};

/// The largest absolute value of each gradient: its infinity norm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GradientNorms {
    /// By [`ParameterId::index`].
    norms: Vec<Option<f32>>,
    weights: Vec<ParameterId>,
}

impl GradientNorms {
    /// Of all parameters in the order of their table, with the weights of layers that have a gradient.
    pub fn new(norms: Vec<Option<f32>>, weights: Vec<ParameterId>) -> Self {
        Self { norms, weights }
    }

    /// Of one parameter; `None` where there is no gradient.
    pub fn of(&self, parameter: ParameterId) -> Option<f32> {
        self.norms.get(parameter.index()).copied().flatten()
    }

    /// The weights of layers (not biases, class tokens or position tables) that have a gradient, first to last.
    pub fn weights(&self) -> &[ParameterId] {
        &self.weights
    }

    /// Of the first layer's weights that are trained.
    pub fn first(&self) -> Option<f32> {
        self.weights.first().and_then(|&id| self.of(id))
    }

    /// Of the last layer's weights that are trained.
    pub fn last(&self) -> Option<f32> {
        self.weights.last().and_then(|&id| self.of(id))
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
    /// A feature of an image.
    Feature {
        /// The monitor that was to measure it.
        monitor: String,
    },
}

impl std::fmt::Display for NonFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Parameter(name) => write!(f, "the parameter `{name}`"),
            Self::Gradient(name) => write!(f, "the gradient of `{name}`"),
            Self::Loss(id) => write!(f, "the loss `{id}`"),
            Self::Feature { monitor } => write!(f, "a feature that the monitor `{monitor}` measures"),
        }
    }
}

impl Engine {
    /// The norms of all gradients, or the first gradient that is not finite.
    ///
    /// # Errors
    /// If the device fails, or a module has changed its parameters.
    pub fn gradient_norms(
        &self,
        gradients: &mut Gradients,
    ) -> Result<Result<GradientNorms, NonFinite>, EngineError> {
        let parameters = self.parameters.collect(self.modules.named(), |_, parameter| parameter.share())?;
        let trained: Vec<&Parameter> =
            parameters.iter().filter(|parameter| parameter.is_trainable()).collect();
        let mut largest = largest_gradients(&trained, gradients)?.into_iter();
        let (mut norms, mut weights) = (Vec::new(), Vec::new());
        for (id, parameter) in self.parameters.ids().zip(&parameters) {
            let norm = if parameter.is_trainable() { largest.next().flatten() } else { None };
            if norm.is_some_and(|norm| !norm.is_finite()) {
                return Ok(Err(NonFinite::Gradient(self.parameters.name(id).to_owned())));
            }
            if norm.is_some() && parameter.kind() != ParameterKind::Vector {
                weights.push(id);
            }
            norms.push(norm);
        }
        Ok(Ok(GradientNorms { norms, weights }))
    }

    /// The names of the trainable parameters that have no gradient: no loss depends on them, or a module has lost its recording.
    ///
    /// # Errors
    /// If a module has changed its parameters.
    pub fn without_gradient(&self, norms: &GradientNorms) -> Result<Vec<&str>, EngineError> {
        let missing = self.parameters.collect(self.modules.named(), |id, parameter| {
            (parameter.is_trainable() && norms.of(id).is_none()).then(|| self.parameters.name(id))
        })?;
        Ok(missing.into_iter().flatten().collect())
    }

    /// Scales the gradients of all trained parameters down to the Euclidean norm `max_norm`, if theirs is larger. Those of
    /// parameters that are frozen in the step of [`set_progress`](Self::set_progress) do not count: they move nothing.
    ///
    /// # Errors
    /// If the device fails, or a module has changed its parameters.
    pub fn clip_gradients(&self, gradients: &mut Gradients, max_norm: f64) -> Result<(), EngineError> {
        let at = self.now.at();
        let parameters = self.parameters.collect(self.modules.named(), |id, parameter| {
            let is_moved = parameter.is_trainable() && !self.parameters[id].settings.is_frozen(at);
            is_moved.then(|| parameter.share())
        })?;
        let trained: Vec<&Parameter> = parameters.iter().flatten().collect();
        clip_gradients(&trained, gradients, max_norm)?;
        Ok(())
    }

    /// The first parameter that is not finite.
    pub fn nonfinite_parameter(&self) -> Option<NonFinite> {
        let mut bad = None;
        for (module, part) in self.modules.named().into_iter().chain(self.momentum_modules.named()) {
            part.visit(&mut |name, entry| {
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
