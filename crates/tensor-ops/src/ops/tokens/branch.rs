//! Residual branches that count for some images, and not for others.

use std::sync::Arc;

use crate::{
    OpError, Tokens,
    backend::{Backend, on},
    tape::{Pass, join},
};

/// `residual + factor * branch`, with a factor for each image; both are `(N, T, D)`.
///
/// With factors of 0 and `1 / (1 - rate)` it is stochastic depth (Huang et al. 2016, arXiv:1603.09382), timm's `DropPath`.
///
/// # Errors
///
/// When the shapes differ, or the factors are not as many as the images.
pub fn add_scaled_images(branch: Tokens, factors: Vec<f32>, residual: Tokens) -> Result<Tokens, OpError> {
    const OP: &str = "add_scaled_images";
    if branch.shape() != residual.shape() {
        return Err(OpError::shape(OP, "shape of the residual", branch.shape(), residual.shape()));
    }
    if factors.len() != branch.n() {
        return Err(OpError::shape(OP, "number of factors", branch.n(), factors.len()));
    }
    on!(branch.values.place(), |backend| add_on(backend, branch, factors, residual))
}

fn add_on<B: Backend>(
    backend: B,
    branch: Tokens,
    factors: Vec<f32>,
    residual: Tokens,
) -> Result<Tokens, OpError> {
    let (device, shape) = (branch.device().clone(), branch.shape());
    let scaled = backend.scale_images(B::of(&branch.values), &factors)?;
    let y = backend.sum(B::of(&residual.values), &scaled, false)?;
    let (branch, recording) = branch.split_recording();
    let (residual, other) = residual.split_recording();
    let wants_branch = branch.needs_gradient.then_some(branch.slot);
    let wants_residual = residual.needs_gradient.then_some(residual.slot);
    let backward = (wants_branch.is_some() || wants_residual.is_some()).then_some(
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            if let Some(slot) = wants_branch {
                slot.add(backend, pass.by_slot, backend.scale_images(&gradient, &factors)?)?;
            }
            match wants_residual {
                Some(slot) => slot.add(backend, pass.by_slot, gradient),
                None => Ok(()),
            }
        },
    );
    Ok(Tokens::output(backend, &device, shape, Arc::new(B::any(y)), join(recording, other), backward))
}
