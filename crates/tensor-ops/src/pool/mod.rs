//! Pools.

mod average;
mod global;
mod max;
#[cfg(test)]
mod tests;

use crate::{ConvGeometry, FeatureMap, OpError, layout::Layout};

pub use self::{average::average_pool, global::global_average_pool, max::max_pool};

/// The layout of a pool's output.
fn output_layout(op: &'static str, x: &FeatureMap, geometry: ConvGeometry) -> Result<Layout, OpError> {
    let (h, w) = geometry.output(x.h(), x.w())?;
    let (kernel, padding) = (geometry.kernel, geometry.padding);
    if 2 * padding.0 > kernel.0 || 2 * padding.1 > kernel.1 {
        return Err(OpError::value(op, "padding", padding, "it must be at most half the kernel"));
    }
    Ok(Layout { h, w, ..x.layout })
}

/// The positions inside the image, `y * W + x`, that the window at `(out_y, out_x)` covers, row after row.
fn window(
    geometry: ConvGeometry,
    from: Layout,
    (out_y, out_x): (usize, usize),
) -> impl Iterator<Item = usize> + Clone {
    let range = |out: usize, size: usize, kernel: usize, stride: usize, padding: usize| {
        let start = out * stride;
        start.saturating_sub(padding)..(start + kernel).saturating_sub(padding).min(size)
    };
    let ys = range(out_y, from.h, geometry.kernel.0, geometry.stride.0, geometry.padding.0);
    let xs = range(out_x, from.w, geometry.kernel.1, geometry.stride.1, geometry.padding.1);
    ys.flat_map(move |y| xs.clone().map(move |x| y * from.w + x))
}
