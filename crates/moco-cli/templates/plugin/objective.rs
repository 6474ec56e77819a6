//! The objective `__name__`.
__crate_attributes__
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    ConfigError, Evaluated, Input, LossRange, Module, Objective, ObjectiveContext, ObjectiveStep,
};
use tensor_ops::{
    Features, OpError, Recording, Rows as _, l2_normalize, loss_with_gradient, sum_losses,
};

plugin_api::register! {
    dyn Objective {
        name: "__name__",
        summary: "mean squared error between two values, at unit length",
        source: "BYOL (Grill et al. 2020, arXiv:2006.07733)",
        example: "()",
        build: |config: __Name__Config, context| __Name__::new(config, context),
    }
}

/// The config of [`__Name__`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct __Name__Config {
    /// What the loss is multiplied with, more than 0.
    pub scale: f64,
}

impl Default for __Name__Config {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

/// `s |a/|a| - b/|b||²`, averaged over the rows `a` and `b` of two values, `(N, D)`. Each of them may be trained or fixed.
#[derive(Debug, Clone)]
pub struct __Name__ {
    scale: f32,
    width: usize,
}

impl __Name__ {
    /// The objective for `config`.
    ///
    /// # Errors
    /// If the scale is not positive, or it is evaluated on anything but two values of one width.
    pub fn new(config: __Name__Config, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let scale = config.scale;
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(ConfigError::field("scale", scale, "it must be more than 0"));
        }
        match &context.inputs[..] {
            [a, b] if a.width == b.width => Ok(Self { scale: scale as f32, width: a.width }),
            [a, b] => Err(ConfigError::unfit(
                format!("`{}` has a width of {}, and `{}` of {}", a.name, a.width, b.name, b.width),
                "give their heads the same `out`",
            )),
            inputs => Err(ConfigError::unfit(
                format!("`__name__` compares two values, and is given {}", inputs.len()),
                "name two steps in its `on`",
            )),
        }
    }
}

/// A value at unit length; recorded if it was.
fn normalized(input: Input) -> Result<Features, OpError> {
    l2_normalize(match input {
        Input::Trained(features) => features,
        Input::Fixed(matrix) => matrix.with_recording(Recording::Off),
    })
}

impl Module for __Name__ {
    plugin_api::visit! { self; }
}

impl Objective for __Name__ {
    fn evaluate(&mut self, inputs: Vec<Input>, _step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let shapes: Vec<(usize, usize)> = inputs.iter().map(Input::shape).collect();
        let expected = vec![(shapes.first().map_or(0, |shape| shape.0), self.width); 2];
        if shapes != expected {
            let (expected, got) = (format!("{expected:?}"), format!("{shapes:?}"));
            return Err(OpError::Shape { op: "__name__", what: "shapes of the values", expected, got });
        }
        let values = inputs.into_iter().map(normalized).collect::<Result<Vec<_>, _>>()?;
        let differences: Vec<f32> =
            values[0].rows().iter().zip(values[1].rows()).map(|(a, b)| a - b).collect();
        let factor = self.scale / shapes[0].0 as f32;
        let value = factor * differences.iter().map(|difference| difference * difference).sum::<f32>();
        // What reaches the one value, and the other: the derivatives of `value`.
        let gradient: Vec<f32> = differences.iter().map(|difference| 2.0 * factor * difference).collect();
        let negated = gradient.iter().map(|gradient| -gradient).collect();
        let mut losses = Vec::new();
        for (of_value, gradient) in values.into_iter().zip([gradient, negated]) {
            losses.push(loss_with_gradient(of_value, 0.5 * value, gradient)?);
        }
        Ok(Evaluated { loss: sum_losses(losses)?, value, metrics: Vec::new() })
    }

    fn loss_range(&self, _n: usize) -> Option<LossRange> {
        // Rows at right angles, and equal ones.
        Some(LossRange { chance: 2.0 * f64::from(self.scale), floor: 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::Progress;
    use tensor_ops::{Device, features_from_rows};

    use super::*;

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_objective("__name__");
        plugin_tests::check_objective_with("__name__", "(scale: 0.5)");
    }

    #[test]
    fn rows_at_right_angles_are_2_apart() {
        let mut objective = __Name__ { scale: 1.0, width: 2 };
        let row = |values| features_from_rows(&Device::default(), (1, 2), values, Recording::Off).unwrap();
        let inputs = vec![Input::Trained(row(vec![3.0, 0.0])), Input::Trained(row(vec![0.0, 0.1]))];
        let at = Progress { epoch: 0, step: 0, steps_per_epoch: 1, epochs: 1 };
        let step = ObjectiveStep { at, indices: &[0], labels: None };
        let value = objective.evaluate(inputs, step).unwrap().value;
        assert!((value - 2.0).abs() < 1e-5, "{value}");
    }
}
