//! Pools.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kernels_cpu::{ConvGeometry, Layout, pool::MAX_TAPS};

use crate::{
    FeatureMap, Features, OpError,
    backend::{Backend, Computed, Window, on},
    tape::{NamedRows, Pass, Slot},
};

/// The largest value of each window; padding is never the largest.
///
/// The gradient goes to the first of equal values, row after row, as in PyTorch.
///
/// # Errors
///
/// When the window does not fit or has more than 256 pixels, or the padding is more than half of it.
pub fn max_pool(x: FeatureMap, geometry: ConvGeometry) -> Result<FeatureMap, OpError> {
    on!(x.values.place(), |backend| max_pool_on(backend, x, geometry))
}

fn max_pool_on<B: Backend>(backend: B, x: FeatureMap, geometry: ConvGeometry) -> Result<FeatureMap, OpError> {
    let window = window("max_pool", &x, geometry)?;
    let (h, w) = geometry.kernel;
    if h.checked_mul(w).is_none_or(|n_taps| n_taps > MAX_TAPS) {
        let must = "it must have at most 256 pixels";
        return Err(OpError::value("max_pool", "the window", (h, w), must));
    }
    let (y, taps) = backend.max_pool(window, B::of(&x.values))?;
    give(backend, x, window, y, move |pass, x, gradient| {
        let before = x.take::<B>(pass.by_slot);
        backend.max_pool_gradient(window, &taps, &gradient, before)
    })
}

/// The mean of each window; padding counts as zeros, which is PyTorch's default.
///
/// # Errors
///
/// When the window does not fit, or the padding is more than half of it.
pub fn average_pool(x: FeatureMap, geometry: ConvGeometry) -> Result<FeatureMap, OpError> {
    on!(x.values.place(), |backend| average_pool_on(backend, x, geometry))
}

fn average_pool_on<B: Backend>(
    backend: B,
    x: FeatureMap,
    geometry: ConvGeometry,
) -> Result<FeatureMap, OpError> {
    let window = window("average_pool", &x, geometry)?;
    let y = backend.average_pool(window, B::of(&x.values))?;
    give(backend, x, window, y, move |pass, x, gradient| {
        let before = x.take::<B>(pass.by_slot);
        backend.average_pool_gradient(window, &gradient, before)
    })
}

/// The mean of each channel over all positions, `(N, H, W, C)` to `(N, C)`.
///
/// # Errors
///
/// When the device fails.
pub fn global_average_pool(x: FeatureMap) -> Result<Features, OpError> {
    on!(x.values.place(), |backend| global_pool_on(backend, x))
}

fn global_pool_on<B: Backend>(backend: B, x: FeatureMap) -> Result<Features, OpError> {
    let (from, precision) = (x.layout, x.precision());
    let y = backend.global_pool(from, B::of(&x.values))?;
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot;
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let before = x.take::<B>(pass.by_slot);
            let sum = backend.global_pool_gradient(from, &gradient, precision, before)?;
            x.put::<B>(pass.by_slot, sum);
            Ok(())
        }
    });
    Ok(NamedRows::output(backend, &device, (from.n, from.c), y, recording, backward)?)
}

/// The output of a pool; `gradient` computes that of the input.
fn give<B: Backend>(
    backend: B,
    x: FeatureMap,
    window: Window,
    y: B::Values,
    gradient: impl FnOnce(&mut Pass<'_>, &Slot, B::Values) -> Computed<B::Values> + 'static,
) -> Result<FeatureMap, OpError> {
    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let backward = x.needs_gradient.then(|| {
        let x = x.slot;
        move |pass: &mut Pass<'_>, by_y: B::Values| {
            let sum = gradient(pass, &x, by_y)?;
            x.put::<B>(pass.by_slot, sum);
            Ok(())
        }
    });
    Ok(FeatureMap::output(backend, &device, window.to, Arc::new(B::any(y)), recording, backward))
}

fn window(op: &'static str, x: &FeatureMap, geometry: ConvGeometry) -> Result<Window, OpError> {
    let (kernel, padding) = (geometry.kernel, geometry.padding);
    if padding.0 > kernel.0 / 2 || padding.1 > kernel.1 / 2 {
        return Err(OpError::value(op, "padding", padding, "it must be at most half the kernel"));
    }
    let (h, w) = geometry.output(x.h(), x.w())?;
    Ok(Window { geometry, from: x.layout, to: Layout { h, w, ..x.layout } })
}
