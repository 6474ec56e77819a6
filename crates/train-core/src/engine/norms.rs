//! How large gradients are, and whether they are numbers.

use tensor_ops::{Gradients, ParameterKind};

use super::{Engine, EngineError};
use crate::plugin::{Entry, Module as _};

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
        let mut norms = GradientNorms::default();
        let mut bad = None;
        let mut result = Ok(());
        for named in &mut self.modules {
            let module = &named.name;
            named.module.visit(&mut |name, entry| {
                let Entry::Parameter(parameter) = entry else { return };
                if result.is_err() || bad.is_some() {
                    return;
                }
                let norm = if parameter.is_trainable() {
                    parameter.with_gradient(gradients, |gradient| largest(gradient))
                } else {
                    Ok(None)
                };
                match norm {
                    Ok(norm) => {
                        if norm.is_some_and(|norm| !norm.is_finite()) {
                            bad = Some(NonFinite::Gradient(format!("{module}.{name}")));
                        }
                        if norm.is_some() && parameter.kind() != ParameterKind::Vector {
                            norms.weights.push(norms.of.len());
                        }
                        norms.of.push(norm);
                    }
                    Err(error) => result = Err(error),
                }
            });
        }
        result?;
        Ok(match bad {
            Some(bad) => Err(bad),
            None => Ok(norms),
        })
    }

    /// The first parameter that is not finite.
    pub fn nonfinite_parameter(&mut self) -> Option<NonFinite> {
        let mut bad = None;
        let momentum = self.momentum_modules.iter_mut().flatten();
        for named in self.modules.iter_mut().chain(momentum) {
            let module = &named.name;
            named.module.visit(&mut |name, entry| {
                if let (Entry::Parameter(parameter), None) = (entry, &bad)
                    && !parameter.with_values(largest).is_finite()
                {
                    bad = Some(NonFinite::Parameter(format!("{module}.{name}")));
                }
            });
        }
        bad
    }
}

/// The largest absolute value; not finite if any value is not.
fn largest(values: &[f32]) -> f32 {
    // Lanes that do not wait for each other. As integers, absolute values are ordered, and NaN is the largest.
    let mut lanes = [0_u32; 16];
    let chunks = values.chunks_exact(lanes.len());
    for value in chunks.remainder() {
        lanes[0] = lanes[0].max(value.abs().to_bits());
    }
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane).max(value.abs().to_bits());
        }
    }
    f32::from_bits(lanes.into_iter().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_is_found_and_nan_is_not_overlooked() {
        let mut values: Vec<f32> = (0..37).map(|i| (i as f32 - 30.0) / 10.0).collect();
        assert_eq!(largest(&values), 3.0);
        values[36] = f32::NEG_INFINITY;
        assert_eq!(largest(&values), f32::INFINITY);
        for place in [0, 17, 35] {
            let mut values = values.clone();
            values[place] = -f32::NAN;
            assert!(largest(&values).is_nan(), "{place}");
        }
        assert_eq!(largest(&[]), 0.0);
    }
}
