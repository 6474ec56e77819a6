//! From the tokens of an image to one row of features.

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use dfdx::tensor::{CudaError, PutTape, Tape};

use super::{
    super::{
        array::{Array, unwritten},
        launch::Launch,
        pointwise::typed,
        tensor::matrix,
    },
    ROWS, over_images,
};
use crate::{Features, Gradients, OpError, Tokens, device::take_slice, values::Values};

/// See [`keep_token`](crate::keep_token), which has checked the token.
pub(crate) fn keep_token(x: Tokens, token: usize) -> Result<Tokens, OpError> {
    let [n, t, d] = x.shape();
    let y = take_tokens(x.values.array(), [n, t, d], token, 1)?;
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot.clone();
        move |gradients: &mut Gradients, gradient: CudaSlice<f32>| {
            x.add_slice(gradients, spread_tokens(&gradient, [n, t, d], token, 1)?)
        }
    });
    Tokens::output_on_device(&device, [n, 1, d], Arc::new(Values::Device(y)), recording, backward)
}

/// The mean of `count` tokens from `first` on, which the caller has checked.
pub(crate) fn mean_tokens(x: Tokens, first: usize, count: usize) -> Result<Features, OpError> {
    let [n, t, d] = x.shape();
    let (y, at) = matrix(x.device(), (n, d))?;
    let launch = Launch::new(&ROWS, typed!(x.precision(), "mean_tokens"))
        .read_array(x.values.array())
        .pointer(at)
        .int(n)
        .int(t)
        .int(d)
        .int(first)
        .int(count)
        .float(1.0 / count as f32);
    over_images(launch, d, n)?;
    let (x, mut recording) = x.split_recording();
    if x.needs_gradient && recording.is_on() {
        let (x, out) = (x.slot, y.ghost());
        recording.add_backward_op(move |gradients| {
            let gradient = take_slice(gradients.get_or_alloc_mut(&out)?)?;
            x.add_slice(gradients, spread_tokens(&gradient, [n, t, d], first, count)?)
        });
    }
    Ok(y.put_tape(recording))
}

/// `count` tokens from `first` on, `(N, T, D)` to `(N, count, D)`.
fn take_tokens(x: &Array, shape: [usize; 3], first: usize, count: usize) -> Result<Array, CudaError> {
    let [n, _, d] = shape;
    let mut y = Array::unwritten(n * count * d, x.precision())?;
    let launch = Launch::new(&ROWS, typed!(x.precision(), "take_tokens")).read_array(x).write_array(&mut y);
    take(launch, shape, first, count)?;
    Ok(y)
}

/// The gradient of `count` tokens from `first` on, `(N, T, D)` to `(N, count, D)`.
pub(super) fn take_gradient(
    gradient: &CudaSlice<f32>,
    shape: [usize; 3],
    first: usize,
    count: usize,
) -> Result<CudaSlice<f32>, CudaError> {
    let [n, _, d] = shape;
    let mut taken = unwritten(n * count * d)?;
    take(Launch::new(&ROWS, "take_tokens_f32").read(gradient).write(&mut taken), shape, first, count)?;
    Ok(taken)
}

fn take(launch: Launch, [n, t, d]: [usize; 3], first: usize, count: usize) -> Result<(), CudaError> {
    over_images(launch.int(n).int(t).int(d).int(first).int(count), count * d, n)
}

/// The gradient `(N, T, D)` of tokens whose mean, of `count` from `first` on, has this gradient, `(N, D)`.
fn spread_tokens(
    gradient: &CudaSlice<f32>,
    [n, t, d]: [usize; 3],
    first: usize,
    count: usize,
) -> Result<CudaSlice<f32>, CudaError> {
    let mut by_x = unwritten(n * t * d)?;
    let launch = Launch::new(&ROWS, "spread_tokens")
        .read(gradient)
        .write(&mut by_x)
        .int(n)
        .int(t)
        .int(d)
        .int(first)
        .int(count)
        .float(1.0 / count as f32);
    over_images(launch, t * d, n)?;
    Ok(by_x)
}
