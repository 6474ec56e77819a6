//! What the tests of several operations share: oracles compute in double precision, one value at a time.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{
    Device, FeatureMap, Features, Gradients, Matrix, Parameter, ParameterKind, Recording, Tokens,
    backend::{Backend, on},
    backward, features_from_rows, gradient_of_rows, is_on_device,
    tape::Slot,
    to_rows, weighted_sum,
};
use dfdx::tensor::{PutTape, SplitTape as _, TensorFromVec};
use kernels_cpu::Family;
pub(crate) use kernels_cpu::testing::{assert_close, differences, noise, weighted, wide};

/// The families that a test of an operation goes through: all of the machine's, or only one where the CUDA device computes, to
/// which they are all the same.
pub(crate) fn families() -> Vec<Family> {
    if is_on_device() { vec![Family::detected()] } else { kernels_cpu::testing::families() }
}

thread_local! {
    static FAMILY: Cell<Option<Family>> = const { Cell::new(None) };
}

/// The family that operations of this thread use, if a test goes through them.
pub(crate) fn family() -> Option<Family> {
    FAMILY.get()
}

/// Runs a test once for each of [`families`], which all operations that this thread begins use.
pub(crate) fn in_each_family(test: impl Fn()) {
    for family in families() {
        FAMILY.set(Some(family));
        let result = catch_unwind(AssertUnwindSafe(&test));
        FAMILY.set(None);
        assert!(result.is_ok(), "with the instructions of {family:?}, see what stands above");
    }
}

/// A recorded input that wants its gradient.
pub(crate) fn image(shape: [usize; 4], values: &[f32]) -> FeatureMap {
    FeatureMap::from_nhwc(&Device::default(), shape, values, Recording::start()).unwrap().requires_gradient()
}

pub(crate) fn rows(shape: (usize, usize), values: &[f32]) -> Features {
    features_from_rows(&Device::default(), shape, values.to_vec(), Recording::start()).unwrap()
}

/// A recorded input, and a name to ask for its gradient by.
pub(crate) fn named_rows(shape: (usize, usize), values: &[f32]) -> (Matrix, Features) {
    let (matrix, recording) = rows(shape, values).split_tape();
    (matrix.clone(), matrix.put_tape(recording))
}

pub(crate) fn vector(values: &[f32]) -> Parameter {
    Parameter::new(&Device::default(), ParameterKind::Vector, &[values.len()], values.to_vec()).unwrap()
}

/// The gradients of `sum(weights * y)`; `weights` are `(N, H, W, C)`.
pub(crate) fn backward_weighted(y: FeatureMap, weights: &[f32]) -> Gradients {
    let (layout, device, place) = (y.layout, y.device().clone(), y.values.place());
    let slot = y.slot.clone();
    let (_, mut recording) = y.split_recording();
    on!(place, |backend| {
        let weights = backend.pack(layout, weights).unwrap();
        send(backend, &mut recording, slot, weights);
    });
    run(&device, recording)
}

fn send<B: Backend>(backend: B, recording: &mut Recording, slot: Slot, gradient: B::Values) {
    recording.record(move |pass| slot.add(backend, pass.by_slot, gradient));
}

fn run(device: &Device, recording: Recording) -> Gradients {
    let loss = device.try_tensor_from_vec(vec![0.0], ()).unwrap();
    backward(loss.put_tape(recording)).unwrap()
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
    let (device, place, slot) = (y.device().clone(), y.values.place(), y.slot.clone());
    let (_, mut recording) = y.split_recording();
    on!(place, |backend| {
        let weights = backend.upload(weights.to_vec()).unwrap();
        send(backend, &mut recording, slot, weights);
    });
    run(&device, recording)
}

/// The gradients of `sum(weights * y)`; `weights` are `(N, D)`.
pub(crate) fn backward_weighted_rows(y: Features, weights: &[f32]) -> Gradients {
    backward(weighted_sum(y, weights).unwrap()).unwrap()
}

/// The gradient that reached a matrix, row after row.
pub(crate) fn gradient_of(name: &Matrix, gradients: &mut Gradients) -> Vec<f32> {
    to_rows(&gradient_of_rows(name, gradients).unwrap())
}

/// `on_family!(family, |backend| work)`: the work on the host with a family, or on the CUDA device, where values are.
macro_rules! on_family {
    ($family:expr, |$backend:ident| $work:expr) => {
        match $crate::values::Place::of_process() {
            $crate::values::Place::Host => {
                let $backend = $crate::backend::Host::of_family($family);
                $work
            }
            #[cfg(feature = "cuda")]
            $crate::values::Place::Cuda => {
                let $backend = $crate::backend::Cuda;
                $work
            }
        }
    };
}
pub(crate) use on_family;
