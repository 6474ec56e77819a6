//! A layer whose weights have unit length where they are used.

use plugin_api::ConfigError;
use tensor_ops::{
    Features, OpError, Parameter, ParameterKind, Recording, Rows as _, l2_normalize, matmul_transposed,
    parameter_features, transpose,
};

use crate::{Builder, Init};

/// Weights `(D, K)` of [`cosines`], in random directions, called `weight` in the part of the module that `layers` is for.
///
/// # Errors
/// If the machine or the device has no room for them.
pub fn random_directions(layers: &Builder<'_>, (width, n): (usize, usize)) -> Result<Parameter, ConfigError> {
    // Of a normal distribution, whose directions are uniform.
    let init = Init::Normal { std: 1.0 / (width as f64).sqrt() };
    layers.parameter("weight", ParameterKind::Matrix, &[width, n], init)
}

/// The cosine of each row of `x` with each output's weights, `(N, D)` to `(N, K)`: both are scaled to unit length. `weight`
/// is `(D, K)`, and only the direction of each output's weights counts.
///
/// # Errors
/// If `x` has another width than the weights, or the device has no room.
pub fn cosines(x: Features, weight: &Parameter) -> Result<Features, OpError> {
    let (width, expected) = (x.d(), weight.shape()[0]);
    if width != expected {
        let (what, expected, got) = ("width of the features", expected.to_string(), width.to_string());
        return Err(OpError::Shape { op: "cosines", what, expected, got });
    }
    let (x, recording) = x.split_recording();
    let beside = if recording.is_on() { Recording::start() } else { Recording::Off };
    let rows = l2_normalize(transpose(parameter_features(weight, beside)?)?)?; // (K, D)
    matmul_transposed(l2_normalize(x.with_recording(recording))?, rows)
}
