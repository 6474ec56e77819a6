//! What the tests of several operations share: oracles compute in double precision, one value at a time.

use dfdx::tensor::{PutTape, Tape, TensorFromVec};

pub(crate) use crate::noise::noise;
use crate::{
    Device, FeatureMap, Features, Gradients, Parameter, ParameterKind, Recording, Tokens, backward,
    features_from_rows, is_on_device, layout::Layout, simd::Family, values::Values, weighted_sum,
};

/// The families that a test of an operation goes through: all of the machine's, or only one where the CUDA device computes, to
/// which they are all the same.
pub(crate) fn families() -> Vec<Family> {
    if is_on_device() { vec![Family::detected()] } else { Family::available() }
}

pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// A recorded input that wants its gradient.
pub(crate) fn image(shape: [usize; 4], values: &[f32]) -> FeatureMap {
    FeatureMap::from_nhwc(&Device::default(), shape, values, Recording::start()).unwrap().requires_gradient()
}

pub(crate) fn rows(shape: (usize, usize), values: &[f32]) -> Features {
    features_from_rows(&Device::default(), shape, values.to_vec(), Recording::start()).unwrap()
}

pub(crate) fn vector(values: &[f32]) -> Parameter {
    Parameter::new(&Device::default(), ParameterKind::Vector, &[values.len()], values.to_vec()).unwrap()
}

/// The gradients of `sum(weights * y)`; `weights` are `(N, H, W, C)`.
pub(crate) fn backward_weighted(y: FeatureMap, weights: &[f32]) -> Gradients {
    let [n, h, w, c] = y.shape();
    let layout = Layout { n, h, w, c };
    let mut weights = weights.to_vec();
    if !are_on_device(&y.values) {
        weights = layout.pack(&weights);
    }
    let loss = y.device().try_tensor_from_vec(vec![0.0], ()).unwrap();
    let slot = y.slot.clone();
    let (_, mut recording) = y.split_recording();
    recording.add_backward_op(move |gradients| slot.add(gradients, Values::F32(weights)));
    backward(loss.put_tape(recording)).unwrap()
}

/// Whether values are on the CUDA device, where images lie one after the other.
pub(crate) fn are_on_device(values: &Values) -> bool {
    #[cfg(feature = "cuda")]
    return values.on_device().is_some();
    #[cfg(not(feature = "cuda"))]
    return {
        let _ = values;
        false
    };
}

/// A recorded input that wants its gradient.
pub(crate) fn tokens(shape: [usize; 3], values: &[f32]) -> Tokens {
    Tokens::from_rows(&Device::default(), shape, values.to_vec(), Recording::start())
        .unwrap()
        .requires_gradient()
}

/// A layer's weights, `(in, out)`.
pub(crate) fn weight_matrix(n_in: usize, n_out: usize, values: &[f32]) -> Parameter {
    Parameter::new(&Device::default(), ParameterKind::Matrix, &[n_in, n_out], values.to_vec()).unwrap()
}

/// The gradients of `sum(weights * y)`; `weights` are `(N, T, D)`.
pub(crate) fn backward_weighted_tokens(y: Tokens, weights: &[f32]) -> Gradients {
    let loss = y.device().try_tensor_from_vec(vec![0.0], ()).unwrap();
    let (slot, weights) = (y.slot.clone(), weights.to_vec());
    let (_, mut recording) = y.split_recording();
    recording.add_backward_op(move |gradients| slot.add(gradients, weights));
    backward(loss.put_tape(recording)).unwrap()
}

/// The gradients of `sum(weights * y)`; `weights` are `(N, D)`.
pub(crate) fn backward_weighted_rows(y: Features, weights: &[f32]) -> Gradients {
    backward(weighted_sum(y, weights).unwrap()).unwrap()
}

/// The gradient of `f` at `at`, by central differences.
pub(crate) fn differences(f: impl Fn(&[f64]) -> f64, at: &[f64]) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut at = at.to_vec();
    let mut gradient = Vec::with_capacity(at.len());
    for i in 0..at.len() {
        let here = at[i];
        at[i] = here + STEP;
        let above = f(&at);
        at[i] = here - STEP;
        let below = f(&at);
        at[i] = here;
        gradient.push((above - below) / (2.0 * STEP));
    }
    gradient
}

/// `sum(weights * values)`.
pub(crate) fn weighted(values: &[f64], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(value, &weight)| value * f64::from(weight)).sum()
}

/// Panics when a value is further from the oracle's than `tolerance` times the largest of them.
pub(crate) fn assert_close(what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: number of values");
    let scale = expected.iter().fold(1e-3_f64, |scale, value| scale.max(value.abs()));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs();
        assert!(error <= tolerance * scale, "{what}: value {i} is {got}, the oracle says {expected}");
    }
}
