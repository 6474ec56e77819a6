//! The objective `__name__`.
__crate_attributes__
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, SortedInputs,
};
use tensor_ops::{
    Buffer, OpError, Rows as _, constant, l2_normalize, minus, number, scale_loss, square, sum_all,
};

plugin_api::register! {
    dyn Objective {
        name: "__name__",
        summary: "mean squared error between two values, at unit length",
        source: "",
        on: "values of two views, one of them trained at least",
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

/// How much of the usual distance is kept in a step.
const KEPT: f32 = 0.9;

/// `s |a/|a| - b/|b||²`, averaged over the rows `a` and `b` of two values, `(N, D)`. One of them may be fixed. The
/// form is that of Grill et al. 2020 (arXiv:2006.07733), Eq. 2.
///
/// Metrics: `distance`, the same without `s`; and `usual_distance`, its moving average over the steps before.
pub struct __Name__ {
    scale: f32,
    inputs: ObjectiveInputs,
    /// The moving average, `(1)`: a buffer, so that checkpoints have it.
    usual: Buffer,
    /// The distances of the losses of the step under way.
    put_aside: Vec<f32>,
}

impl __Name__ {
    /// The objective for `config`.
    ///
    /// # Errors
    /// If the scale is not positive, or it is evaluated on anything but two values of one width, of which one is trained.
    pub fn new(config: __Name__Config, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let scale = checked(config.scale)?;
        let inputs = ObjectiveInputs::of("__name__", context)?;
        let is_right = inputs.n_trained > 0 && inputs.n_trained + inputs.n_fixed == 2;
        inputs.require(is_right, context, "2 values, one of them trained", "name two steps in its `on`")?;
        Ok(Self { scale, inputs, usual: Buffer::zeros(&[1]), put_aside: Vec::new() })
    }
}

impl Module for __Name__ {
    plugin_api::visit! { self;
        "usual" => self.usual,
    }
}

impl Objective for __Name__ {
    fn evaluate(&mut self, inputs: Vec<Input>, _step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        // Whatever was checked in `new` holds for the values of each step too.
        let SortedInputs { trained, fixed } = self.inputs.sort(inputs)?;
        let [a, b] = self.inputs.two(trained.into_iter().chain(fixed.iter().map(constant)).collect())?;
        let n = a.n();
        let squares = square(minus(l2_normalize(a)?, l2_normalize(b)?)?)?;
        let distance = scale_loss(sum_all(squares)?, 1.0 / n as f32)?;
        // As numbers, before the loss takes it. State stays as it is until the step has ended.
        let metrics = vec![number(&distance), self.usual.to_vec()[0]];
        self.put_aside.push(metrics[0]);
        Ok(Evaluated::new(scale_loss(distance, self.scale)?, metrics))
    }

    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        let distances = std::mem::take(&mut self.put_aside);
        if distances.is_empty() {
            return Ok(());
        }
        let mean = distances.iter().sum::<f32>() / distances.len() as f32;
        self.usual.update(|usual| usual[0] = KEPT * usual[0] + (1.0 - KEPT) * mean)
    }

    fn discard_step(&mut self) {
        self.put_aside.clear();
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["distance", "usual_distance"]
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        if field != "scale" {
            return Err(ConfigError::stays_fixed(field, &["scale"]));
        }
        self.scale = checked(value)?;
        Ok(())
    }
}

/// A scale in single precision.
fn checked(scale: f64) -> Result<f32, ConfigError> {
    let single = scale as f32; // What it computes with: 1e-60 is 0 there.
    if single > 0.0 && single.is_finite() {
        return Ok(single);
    }
    Err(ConfigError::field("scale", scale, "it must be more than 0, in single precision"))
}

#[cfg(test)]
mod tests {
    use plugin_api::{InputShape, Progress};
    use tensor_ops::{Device, Recording, features_from_rows};

    use super::*;

    #[test]
    fn the_contract_is_kept() {
        plugin_tests::check_objective("__name__");
        plugin_tests::check_objective_with("__name__", "(scale: 0.5)");
    }

    #[test]
    fn rows_at_right_angles_are_2_apart() {
        let shape = |name: &str| InputShape { name: name.into(), width: 2, map: None, is_trained: true };
        let context = ObjectiveContext {
            device: Device::default(),
            inputs: vec![shape("a"), shape("b")],
            batch: 2,
            epochs: 1,
            seed: 0,
            name: "objective".into(),
        };
        let mut objective = __Name__::new(__Name__Config::default(), &context).unwrap();
        let rows = |values| features_from_rows(&Device::default(), (2, 2), values, Recording::Off).unwrap();
        let (a, b) = (rows(vec![3.0, 0.0, 0.0, 2.0]), rows(vec![0.0, 0.1, 1.0, 0.0]));
        let inputs = vec![Input::Trained(a), Input::Trained(b)];
        let at = Progress { epoch: 0, step: 0, steps_per_epoch: 1, epochs: 1 };
        let step = ObjectiveStep { seed: 0, at, indices: &[0, 1], labels: None };
        let evaluated = objective.evaluate(inputs, step).unwrap();
        let (value, metrics) = (evaluated.value, evaluated.metrics);
        assert!((value - 2.0).abs() < 1e-5, "{value}");
        assert!(metrics[0] == value && metrics[1] == 0.0, "{metrics:?}");
        objective.end_step().unwrap();
        let usual = objective.usual.to_vec()[0];
        assert!((usual - 0.2).abs() < 1e-5, "{usual}");
    }
}
