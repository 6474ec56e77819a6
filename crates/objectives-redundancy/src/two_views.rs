//! The inputs of these losses: two views of a batch, both trained.

use plugin_api::{ConfigError, Input, ObjectiveContext, ObjectiveInputs};
use tensor_ops::{Features, OpError};

/// Refuses other inputs, and a batch over which nothing varies.
pub(crate) fn check(
    plugin: &'static str,
    context: &ObjectiveContext,
) -> Result<ObjectiveInputs, ConfigError> {
    ObjectiveInputs::two_views(plugin, context, "no channel varies over it")
}

/// The two views of a step.
pub(crate) fn of(inputs: ObjectiveInputs, given: Vec<Input>) -> Result<[Features; 2], OpError> {
    inputs.two(inputs.sort(given)?.trained)
}
