//! The gradient of a convolution's weights.

use crate::{ConvGeometry, layout::Layout, simd::Family};

/// `(KH, KW, I, O)`: for each tap, the sum over images and positions of `x` (outer product) `gradient`.
pub(super) fn gradient(
    family: Family,
    geometry: ConvGeometry,
    layout_in: Layout,
    x: &[f32],
    layout_out: Layout,
    gradient: &[f32],
) -> Vec<f32> {
    let _ = family;
    let plan = super::plan::Plan::forward(geometry, layout_in, layout_out);
    let (ci, co) = (layout_in.c, layout_out.c);
    let mut sum = vec![0.0; geometry.kernel.0 * geometry.kernel.1 * ci * co];
    for block in 0..layout_in.n_blocks() {
        let n = layout_in.n_in_block(block);
        let (x, g) = (layout_in.block(x, block), layout_out.block(gradient, block));
        for (oy, ys) in plan.y.iter().enumerate() {
            for (ox, xs) in plan.x.iter().enumerate() {
                for &(ky, iy) in ys {
                    for &(kx, ix) in xs {
                        for i in 0..n {
                            let xr = &x[((iy * layout_in.w + ix) * n + i) * ci..][..ci];
                            let gr = &g[((oy * layout_out.w + ox) * n + i) * co..][..co];
                            let tap = &mut sum[(ky * geometry.kernel.1 + kx) * ci * co..][..ci * co];
                            for (a, to) in xr.iter().zip(tap.chunks_exact_mut(co)) {
                                for (to, b) in to.iter_mut().zip(gr) {
                                    *to += a * b;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    sum
}
