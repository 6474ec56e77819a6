//! From the tokens of an image to one row of features.

use std::sync::Arc;

use crate::{
    Features, OpError, Tokens,
    backend::{Backend, on},
    tape::{NamedRows, Pass},
};

/// Token `token` of every image, `(N, T, D)` to `(N, D)`.
///
/// # Errors
///
/// When there is no such token.
pub fn select_token(x: Tokens, token: usize) -> Result<Features, OpError> {
    check("select_token", "token", token, &x)?;
    on!(x.values.place(), |backend| mean(backend, x, token, 1))
}

/// Token `token` of every image as the only one, `(N, T, D)` to `(N, 1, D)`.
///
/// # Errors
///
/// When there is no such token.
pub fn keep_token(x: Tokens, token: usize) -> Result<Tokens, OpError> {
    check("keep_token", "token", token, &x)?;
    on!(x.values.place(), |backend| keep(backend, x, token))
}

fn keep<B: Backend>(backend: B, x: Tokens, token: usize) -> Result<Tokens, OpError> {
    let ([n, t, d], precision) = (x.shape(), x.precision());
    let y = backend.take_tokens(B::of(&x.values), [n, t, d], token, 1)?;
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot;
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let by_x = backend.spread_tokens(&gradient, [n, t, d], token, 1, precision)?;
            x.add(backend, pass.by_slot, by_x)
        }
    });
    Ok(Tokens::output(backend, &device, [n, 1, d], Arc::new(B::any(y)), recording, backward))
}

/// The mean of the tokens from `first` on, `(N, T, D)` to `(N, D)`.
///
/// # Errors
///
/// When there is no token `first`.
pub fn mean_tokens(x: Tokens, first: usize) -> Result<Features, OpError> {
    check("mean_tokens", "first token", first, &x)?;
    let n_tokens = x.t() - first;
    on!(x.values.place(), |backend| mean(backend, x, first, n_tokens))
}

/// The mean of `n_tokens` tokens from `first` on.
fn mean<B: Backend>(backend: B, x: Tokens, first: usize, n_tokens: usize) -> Result<Features, OpError> {
    let ([n, t, d], precision) = (x.shape(), x.precision());
    let y = backend.mean_tokens(B::of(&x.values), [n, t, d], first, n_tokens)?;
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot;
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let by_x = backend.spread_tokens(&gradient, [n, t, d], first, n_tokens, precision)?;
            x.add(backend, pass.by_slot, by_x)
        }
    });
    Ok(NamedRows::output(backend, &device, (n, d), y, recording, backward)?)
}

fn check(op: &'static str, what: &'static str, token: usize, x: &Tokens) -> Result<(), OpError> {
    if token >= x.t() {
        return Err(OpError::value(op, what, token, "it must be below the number of tokens"));
    }
    Ok(())
}
