//! From the tokens of an image to one row of features.

use std::sync::Arc;

use dfdx::tensor::{PutTape, Tape, TensorFromVec};

use super::Tokens;
use crate::{Features, Gradients, OpError, device, memory::build, values::Values};

/// Token `token` of every image, `(N, T, D)` to `(N, D)`.
///
/// # Errors
///
/// When there is no such token.
pub fn select_token(x: Tokens, token: usize) -> Result<Features, OpError> {
    check("select_token", "token", token, &x)?;
    mean(x, token, 1)
}

/// Token `token` of every image as the only one, `(N, T, D)` to `(N, 1, D)`.
///
/// # Errors
///
/// When there is no such token.
pub fn keep_token(x: Tokens, token: usize) -> Result<Tokens, OpError> {
    check("keep_token", "token", token, &x)?;
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::keep_token(x, token);
    }
    let [n, t, d] = x.shape();
    let values = Values::build(x.precision(), &vec![d; n], |image, out| {
        let start = (image * t + token) * d;
        x.values.with_part(start..start + d, |from| out.copy_from_slice(from));
    });
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot.clone();
        move |gradients: &mut Gradients, gradient: Vec<f32>| {
            let sum = build(&vec![t * d; n], |image, sum| {
                sum[token * d..][..d].copy_from_slice(&gradient[image * d..][..d]);
            });
            x.add(gradients, sum)
        }
    });
    Tokens::output(&device, [n, 1, d], Arc::new(values), recording, backward)
}

/// The mean of the tokens from `first` on, `(N, T, D)` to `(N, D)`.
///
/// # Errors
///
/// When there is no token `first`.
pub fn mean_tokens(x: Tokens, first: usize) -> Result<Features, OpError> {
    check("mean_tokens", "first token", first, &x)?;
    let n_tokens = x.t() - first;
    mean(x, first, n_tokens)
}

fn check(op: &'static str, what: &'static str, token: usize, x: &Tokens) -> Result<(), OpError> {
    if token >= x.t() {
        return Err(OpError::value(op, what, token, "it must be below the number of tokens"));
    }
    Ok(())
}

/// The mean of `n_tokens` tokens from `first` on.
fn mean(x: Tokens, first: usize, n_tokens: usize) -> Result<Features, OpError> {
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::mean_tokens(x, first, n_tokens);
    }
    let [n, t, d] = x.shape();
    let share = 1.0 / n_tokens as f32;
    let means = build(&vec![d; n], |image, out| {
        let start = (image * t + first) * d;
        x.values.with_part(start..start + n_tokens * d, |tokens| {
            for token in tokens.chunks_exact(d) {
                for (out, value) in out.iter_mut().zip(token) {
                    *out += value;
                }
            }
        });
        for out in out {
            *out *= share;
        }
    });
    let y = x.device().try_tensor_from_vec(means, (n, d))?;
    let (x, mut recording) = x.split_recording();
    if x.needs_gradient && recording.is_on() {
        let (x, out) = (x.slot.clone(), y.ghost());
        recording.add_backward_op(move |gradients| {
            let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
            let sum = build(&vec![t * d; n], |image, sum| {
                let gradient = &gradient[image * d..][..d];
                for token in sum[first * d..][..n_tokens * d].chunks_exact_mut(d) {
                    for (sum, gradient) in token.iter_mut().zip(gradient) {
                        *sum = gradient * share;
                    }
                }
            });
            x.add(gradients, sum)
        });
    }
    Ok(y.put_tape(recording))
}
