//! The inputs of the kernels.

use tensor_ops::{Device, FeatureMap, OpError, Parameter, ParameterKind, Recording, Tokens};

use super::case::Place;

/// Whether the gradient of the input is computed.
#[derive(Clone, Copy)]
pub(super) enum Input {
    /// It is.
    Differentiated,
    /// It is not.
    Plain,
}

/// Images, `(N, H, W, C)`.
///
/// # Errors
/// If the device fails.
pub(super) fn images(place: &Place, shape: [usize; 4], input: Input) -> Result<FeatureMap, OpError> {
    let values = noise(shape.iter().product());
    let x = FeatureMap::from_nhwc(&place.device, shape, &values, Recording::Off)?
        .with_precision(place.precision)?;
    Ok(match input {
        Input::Differentiated => x.requires_gradient(),
        Input::Plain => x,
    })
}

/// Tokens, `(N, T, D)`.
///
/// # Errors
/// If the device fails.
pub(super) fn tokens(place: &Place, shape: [usize; 3], input: Input) -> Result<Tokens, OpError> {
    let values = noise(shape.iter().product());
    let x = Tokens::from_rows(&place.device, shape, values, Recording::Off)?.with_precision(place.precision);
    Ok(match input {
        Input::Differentiated => x.requires_gradient(),
        Input::Plain => x,
    })
}

/// A parameter with arbitrary values.
///
/// # Errors
/// If the device fails.
pub(super) fn parameter(
    device: &Device,
    kind: ParameterKind,
    shape: &[usize],
    is_trainable: bool,
) -> Result<Parameter, OpError> {
    let mut parameter = Parameter::new(device, kind, shape, noise(shape.iter().product()))?;
    parameter.set_trainable(is_trainable);
    Ok(parameter)
}

/// Pseudorandom numbers between -1 and 1, generated faster than the kernels consume them.
pub(super) fn noise(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
