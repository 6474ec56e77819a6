//! Residual branches that count more for some images or features than for others.

use std::sync::Arc;

use crate::{
    OpError, Parameter, Tokens,
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

/// Every token times `factors`, `D` values: `(N, T, D)` to `(N, T, D)`. LayerScale (Touvron et al. 2021, arXiv:2103.17239).
///
/// # Errors
///
/// When the number of factors is another.
pub fn scale_features(x: Tokens, factors: &Parameter) -> Result<Tokens, OpError> {
    if factors.n_elements() != x.d() {
        return Err(OpError::shape("scale_features", "number of factors", x.d(), factors.n_elements()));
    }
    on!(x.values.place(), |backend| scale_on(backend, x, factors))
}

fn scale_on<B: Backend>(backend: B, x: Tokens, factors: &Parameter) -> Result<Tokens, OpError> {
    let (device, shape) = (x.device().clone(), x.shape());
    let width = factors.n_elements();
    let y = backend.scale_features(B::of(&x.values), &factors.values, width)?;
    let (x, recording) = x.split_recording();
    let wants_factors = factors.is_trainable().then(|| (factors.slot.clone(), Arc::clone(&x.values)));
    let wants_x = x.needs_gradient.then(|| (x.slot, Arc::clone(&factors.values)));
    let backward = (wants_x.is_some() || wants_factors.is_some()).then_some(
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            if let Some((slot, x)) = wants_factors {
                let products = backend.products(B::of(&x), &gradient)?;
                slot.add(backend, pass.by_slot, backend.sum_rows(&products, width)?)?;
            }
            match wants_x {
                Some((slot, factors)) => {
                    slot.add(backend, pass.by_slot, backend.scale_features(&gradient, &factors, width)?)
                }
                None => Ok(()),
            }
        },
    );
    Ok(Tokens::output(backend, &device, shape, Arc::new(B::any(y)), recording, backward))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        linear_tokens,
        testing::{
            assert_close, backward_weighted_tokens, differences, noise, tokens, weight_matrix, weighted, wide,
        },
    };

    #[test]
    fn a_branch_counts_by_the_factor_of_its_image_forward_and_backward() {
        let (x, weights) = (noise(1, 3 * 2 * 4), noise(2, 3 * 2 * 4));
        let w = weight_matrix(4, 4, &noise(3, 16));
        let factors = [0.0, 1.25, -0.5];
        let input = tokens([3, 2, 4], &x);
        let (kept, residual) = (input.share(), input.share());
        let branch = linear_tokens(input, &w, None).unwrap();
        let y = add_scaled_images(branch, factors.to_vec(), residual).unwrap();
        let weight = wide(&w.to_vec());
        let oracle = |x: &[f64]| -> Vec<f64> {
            let product =
                |row: &[f64], column: usize| (0..4).map(|i| row[i] * weight[i * 4 + column]).sum::<f64>();
            let branch = x.chunks(4).flat_map(|row| (0..4).map(move |column| product(row, column)));
            let scaled = branch.enumerate().map(|(i, y)| f64::from(factors[i / 8]) * y);
            scaled.zip(x).map(|(y, x)| y + x).collect()
        };
        assert_eq!(y.to_rows()[..8], x[..8]);
        assert_close("output", &y.to_rows(), &oracle(&wide(&x)), 1e-6);
        let mut gradients = backward_weighted_tokens(y, &weights);
        let by_x = differences(|x| weighted(&oracle(x), &weights), &wide(&x));
        assert_close("input", &kept.gradient(&mut gradients).unwrap().unwrap(), &by_x, 1e-5);
        let branch = tokens([3, 2, 4], &x);
        assert!(add_scaled_images(branch.fork(), vec![1.0; 2], branch.share()).is_err());
        assert!(add_scaled_images(branch, vec![1.0; 3], tokens([3, 1, 4], &x[..12])).is_err());
    }
}
