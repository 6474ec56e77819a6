//! Scaled dot-product attention of several heads.
//!
//! A task is an image, head after head, so that everything it touches stays in a core's caches. No matrix of
//! probabilities outlives its head: the backward pass computes them anew from queries, keys and what normalized each
//! softmax.

mod backward;
mod forward;
mod sizes;

use self::{backward::ImageBackward, forward::ImageForward};
pub use self::{forward::Normalizer, sizes::Sizes};
use crate::{memory::build, simd::Family, values::Values};

/// Softmax attention of every image and head on its own, `(N, T, 3 D)` to `(N, T, D)`, and what normalized each softmax,
/// `(N, heads, T)`.
pub fn forward(family: Family, sizes: Sizes, qkv: &Values) -> (Values, Vec<Normalizer>) {
    let Sizes { t, heads, .. } = sizes;
    let (width, n) = (sizes.width(), qkv.len() / (t * sizes.width()));
    let mut normalizers = vec![Normalizer::default(); n * heads * t];
    let images = normalizers.chunks_mut(heads * t).collect();
    let lens = vec![t * sizes.d(); n];
    let values = Values::build_beside(qkv.precision(), &lens, images, |image, normalizers, out| {
        qkv.with_part(image * t * width..(image + 1) * t * width, |qkv| {
            family.run(ImageForward { sizes, qkv, out, normalizers });
        });
    });
    (values, normalizers)
}

/// The gradient of [`forward`]'s input, `(N, T, 3 D)`, from that of its output.
pub fn backward(
    family: Family,
    sizes: Sizes,
    qkv: &Values,
    normalizers: &[Normalizer],
    gradient: &[f32],
) -> Vec<f32> {
    let Sizes { t, heads, .. } = sizes;
    let (width, n) = (sizes.width(), qkv.len() / (t * sizes.width()));
    build(&vec![t * width; n], |image, out| {
        qkv.with_part(image * t * width..(image + 1) * t * width, |qkv| {
            family.run(ImageBackward {
                sizes,
                qkv,
                normalizers: &normalizers[image * heads * t..][..heads * t],
                gradient: &gradient[image * t * sizes.d()..][..t * sizes.d()],
                out,
            });
        });
    })
}
