//! What the kernels are fed.

use tensor_ops::{Device, FeatureMap, Parameter, ParameterKind, Recording, Tokens};

/// Images `(N, H, W, C)` whose gradient is wanted.
pub(crate) fn images(shape: [usize; 4]) -> FeatureMap {
    let values = noise(shape.iter().product());
    let x = FeatureMap::from_nhwc(&Device::default(), shape, &values, Recording::Off);
    x.expect("there is a value for each place").requires_gradient()
}

/// Tokens `(N, T, D)` whose gradient is wanted.
pub(crate) fn tokens(shape: [usize; 3]) -> Tokens {
    let values = noise(shape.iter().product());
    let x = Tokens::from_rows(&Device::default(), shape, values, Recording::Off);
    x.expect("there is a value for each place").requires_gradient()
}

/// A parameter that is trained.
pub(crate) fn parameter(kind: ParameterKind, shape: &[usize]) -> Parameter {
    let values = noise(shape.iter().product());
    Parameter::new(&Device::default(), kind, shape, values).expect("there is a value for each place")
}

/// Numbers between -1 and 1 that look random.
pub(crate) fn noise(len: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}
