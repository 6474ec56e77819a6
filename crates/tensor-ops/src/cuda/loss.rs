//! From losses to gradients. No value of a loss goes to the host here.

use cudarc::driver::{CudaSlice, DevicePtrMut, DeviceSlice};
use dfdx::{
    shapes::HasShape,
    tensor::{CudaError, PutTape, SplitTape, Tape, Tensor, TensorFromVec, ZerosTensor},
};

use super::{
    array::unwritten,
    context::context,
    features::{copy, gradient_mut},
    launch::{BLOCK, Launch},
    program::Program,
    tensor::address,
};
use crate::{Device, Features, Matrix, OpError, Recording, Scalar, device::take_slice};

pub(super) static LOSS: Program =
    Program::new("loss", concat!(include_str!("kernels/reduce.cu"), include_str!("kernels/loss.cu")), "");

/// A scalar that nothing is recorded of.
type Term = Tensor<(), f32, Device>;

/// Blocks that sum `n` values: each sums enough to be worth it, and one block of threads adds what they found.
fn n_partial(n: usize) -> usize {
    n.div_ceil(16 * BLOCK as usize).clamp(1, BLOCK as usize)
}

/// See [`sum_losses`](crate::sum_losses).
pub(crate) fn sum_losses(terms: Vec<Term>, mut recording: Recording) -> Result<Scalar, OpError> {
    let sum = terms[0].device().try_zeros_like(&())?;
    for term in &terms {
        add_times(address(&sum), term, 1.0)?;
    }
    let out = sum.ghost();
    recording.add_backward_op(move |gradients| {
        let gradient = take_slice(gradients.get_or_alloc_mut(&out)?)?;
        for term in &terms {
            super::add_to(gradient_mut(gradients.get_or_alloc_mut(term)?, 1), &gradient)?;
        }
        Ok(())
    });
    Ok(sum.put_tape(recording))
}

/// See [`scale_loss`](crate::scale_loss).
pub(crate) fn scale_loss(loss: Scalar, factor: f32) -> Result<Scalar, OpError> {
    let (loss, mut recording) = loss.split_tape();
    let scaled = loss.device().try_zeros_like(&())?;
    add_times(address(&scaled), &loss, factor)?;
    let (loss, out) = (loss.ghost(), scaled.ghost());
    recording.add_backward_op(move |gradients| {
        let gradient = take_slice(gradients.get_or_alloc_mut(&out)?)?;
        Launch::new(&LOSS, "add_times")
            .write(gradient_mut(gradients.get_or_alloc_mut(&loss)?, 1))
            .read(&gradient)
            .float(factor)
            .long(1)
            .over(1)
    });
    Ok(scaled.put_tape(recording))
}

/// `sum += term * factor`, of one value at an address.
fn add_times(sum: u64, term: &Term, factor: f32) -> Result<(), CudaError> {
    Launch::new(&LOSS, "add_times").pointer(sum).pointer(address(term)).float(factor).long(1).over(1)
}

/// See [`weighted_sum`](crate::weighted_sum).
pub(crate) fn weighted_sum(x: Features, weights: &[f32]) -> Result<Scalar, OpError> {
    // Unlike an upload of borrowed values, this does not wait for the device.
    let weights = context()?.device().htod_copy(weights.to_vec()).map_err(CudaError::from)?;
    sum(x, weights)
}

/// See [`loss_with_gradient`](crate::loss_with_gradient).
pub(crate) fn loss_with_gradient(x: Features, value: f32, gradient: Vec<f32>) -> Result<Scalar, OpError> {
    let gradient = context()?.device().htod_copy(gradient).map_err(CudaError::from)?;
    let (x, recording) = x.split_tape();
    let loss: Term = x.device().try_tensor_from_vec(vec![value], ())?;
    Ok(with_gradient(&x, recording, loss, Some(gradient)))
}

/// See [`sum_weighted_by`](crate::sum_weighted_by).
pub(crate) fn sum_weighted_by(x: Features, weights: &Matrix) -> Result<Scalar, OpError> {
    let (n, d) = *weights.shape();
    let mut own = unwritten(n * d)?;
    copy(address(weights), *own.device_ptr_mut(), n * d)?;
    sum(x, own)
}

fn sum(x: Features, weights: CudaSlice<f32>) -> Result<Scalar, OpError> {
    let n = weights.len();
    let (x, recording) = x.split_tape();
    let sum: Term = x.device().try_zeros_like(&())?;
    let n_partial = n_partial(n);
    let mut partial = unwritten::<f64>(n_partial)?;
    Launch::new(&LOSS, "dot_partial")
        .pointer(address(&x))
        .read(&weights)
        .write(&mut partial)
        .long(n)
        .blocks(n_partial, 1, 1)?;
    Launch::new(&LOSS, "dot_finish").read(&partial).pointer(address(&sum)).int(n_partial).blocks(1, 1, 1)?;
    Ok(with_gradient(&x, recording, sum, Some(weights)))
}

/// A loss whose gradient in `x` is known with it; it is there if `recording` is on.
pub(super) fn with_gradient(
    x: &Matrix,
    mut recording: Recording,
    loss: Term,
    gradient: Option<CudaSlice<f32>>,
) -> Scalar {
    if let (true, Some(known)) = (recording.is_on(), gradient) {
        let (x, out) = (x.ghost(), loss.ghost());
        recording.add_backward_op(move |gradients| {
            let scale = take_slice(gradients.get_or_alloc_mut(&out)?)?;
            let n = known.len();
            Launch::new(&LOSS, "add_times_at")
                .write(gradient_mut(gradients.get_or_alloc_mut(&x)?, n))
                .read(&known)
                .read(&scale)
                .long(n)
                .over(n)
        });
    }
    loss.put_tape(recording)
}
