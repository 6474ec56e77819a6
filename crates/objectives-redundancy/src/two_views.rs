//! The inputs of these losses: two views of a batch, both trained.

use plugin_api::{ConfigError, Input, ObjectiveContext, ObjectiveInputs};
use tensor_ops::{Features, OpError};

/// Refuses other inputs, and a batch over which nothing varies.
pub(crate) fn check(
    plugin: &'static str,
    context: &ObjectiveContext,
) -> Result<ObjectiveInputs, ConfigError> {
    let inputs = ObjectiveInputs::of(plugin, context)?;
    let is_right = (inputs.n_trained, inputs.n_fixed) == (2, 0);
    let hint = "name the embeddings of the two views, both with gradients";
    inputs.require(is_right, context, "2 trained values", hint)?;
    inputs.require_batch(2, context, "no channel varies over it")?;
    Ok(inputs)
}

/// The two views of a step.
pub(crate) fn of(inputs: ObjectiveInputs, given: Vec<Input>) -> Result<[Features; 2], OpError> {
    both(inputs, inputs.sort(given)?.trained)
}

/// As many views as were checked.
pub(crate) fn both(inputs: ObjectiveInputs, views: Vec<Features>) -> Result<[Features; 2], OpError> {
    let n = views.len();
    views.try_into().map_err(|_| OpError::Shape {
        op: inputs.plugin,
        what: "number of trained inputs",
        expected: "2".into(),
        got: n.to_string(),
    })
}
