//! Scaled dot-product attention of several heads.
//!
//! A task has some heads of an image, one after the other, so that everything it touches stays in a core's caches. No matrix
//! of probabilities outlives its head: the backward pass computes them anew from queries, keys and what normalized each softmax.
//!
//! Where values are bfloat16 and the family multiplies pairs of them, so do all products; probabilities and the gradients of
//! logits are rounded for them. Logits, the softmax and sums are in single precision.

mod backward;
mod forward;
mod heads;
mod sizes;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use bytemuck::Pod;

use self::{
    backward::HeadBackward,
    forward::HeadForward,
    heads::{HeadOutput, build_heads, gather},
};
pub use self::{forward::Normalizer, sizes::Sizes};
use crate::{
    Precision,
    memory::split,
    scratch::with_scratch,
    simd::Family,
    values::{Lent, Operand, Values},
};

/// Softmax attention of every image and head on its own, `(N, T, 3 D)` to `(N, T, D)`, and what normalized each softmax,
/// `(N, heads, T)`.
///
/// # Panics
///
/// When the values are not those of whole images.
pub fn forward(family: Family, sizes: Sizes, qkv: &Values) -> (Values, Vec<Normalizer>) {
    match qkv.precision() {
        Precision::F32 => forward_by::<f32, f32>(family, sizes, qkv.lend()),
        Precision::Bf16 if sizes.multiplies_pairs(family) => {
            forward_by::<u16, u16>(family, sizes, qkv.lend())
        }
        Precision::Bf16 => forward_by::<f32, u16>(family, sizes, qkv.lend()),
    }
}

/// The gradient of [`forward`]'s input, `(N, T, 3 D)`, from that of its output, and in its precision.
///
/// # Panics
///
/// When the values are not those of whole images, or there are not as many normalizers or gradients as [`forward`] gives.
pub fn backward(
    family: Family,
    sizes: Sizes,
    qkv: &Values,
    normalizers: &[Normalizer],
    gradient: &Values,
) -> Values {
    let gradient = gradient.lend();
    let backward = Backward { family, sizes, qkv: qkv.lend(), normalizers, gradient };
    match (qkv.precision(), gradient) {
        (_, Lent::F32(_)) => backward.by::<f32, f32>(),
        (Precision::Bf16, Lent::Bf16(_)) if sizes.multiplies_pairs(family) => backward.by::<u16, u16>(),
        (_, Lent::Bf16(_)) => backward.by::<f32, u16>(),
    }
}

/// With products of `E`.
fn forward_by<E: Operand + Pod, O: Operand>(
    family: Family,
    sizes: Sizes,
    qkv: Lent<'_>,
) -> (Values, Vec<Normalizer>) {
    let Sizes { t, heads, dh } = sizes;
    let (width, n) = (sizes.width(), sizes.n_images(qkv.len()));
    let mut normalizers = vec![Normalizer::default(); n * heads * t];
    let of_heads = normalizers.chunks_mut(t).collect();
    let operand = t * dh / E::PER_STEP;
    let rooms = HeadForward::<E, O>::rooms(sizes, family.panel());
    let fill = |task: usize, normalizers: &mut &mut [Normalizer], output: &mut HeadOutput<'_, O>| {
        let qkv = qkv.part(task / heads * t * width..(task / heads + 1) * t * width);
        with_scratch(3 * operand + rooms.iter().sum::<usize>(), |room| {
            let (operands, room) = room.split_at_mut(3 * operand);
            gather_qkv::<E>(family, sizes, qkv, task % heads, operands);
            let operands = split(operands, [operand; 3]).map(|words| &*words);
            let rooms = split(room, rooms);
            let products = PhantomData::<E>;
            family.run(HeadForward { sizes, operands, rooms, output, normalizers, products });
        });
    };
    let values = O::values(build_heads(n, sizes, 1, of_heads, fill));
    (values, normalizers)
}

/// The arguments of [`backward`].
struct Backward<'a> {
    family: Family,
    sizes: Sizes,
    qkv: Lent<'a>,
    normalizers: &'a [Normalizer],
    gradient: Lent<'a>,
}

impl Backward<'_> {
    /// With products of `E`.
    fn by<E: Operand + Pod, O: Operand>(self) -> Values {
        let Self { family, sizes, qkv, normalizers, gradient } = self;
        let Sizes { t, heads, dh } = sizes;
        let (d, width) = (sizes.d(), sizes.width());
        let n = sizes.n_images(qkv.len());
        assert_eq!(normalizers.len(), n * heads * t, "each query has a normalizer");
        assert_eq!(gradient.len(), n * t * d, "a gradient is of as many values as there are");
        let operand = t * dh / E::PER_STEP;
        let rooms = HeadBackward::<E, O>::rooms(sizes, family.panel());
        let of_heads = normalizers.chunks(t).collect();
        let fill = |task: usize, normalizers: &mut &[Normalizer], output: &mut HeadOutput<'_, O>| {
            let (image, head) = (task / heads, task % heads);
            let qkv = qkv.part(image * t * width..(image + 1) * t * width);
            let gradient = gradient.part(image * t * d..(image + 1) * t * d);
            with_scratch(4 * operand + rooms.iter().sum::<usize>(), |room| {
                let (operands, room) = room.split_at_mut(4 * operand);
                let (of_qkv, of_gradient) = operands.split_at_mut(3 * operand);
                gather_qkv::<E>(family, sizes, qkv, head, of_qkv);
                gather::<E>(family, gradient, d, head * dh, dh, of_gradient);
                let operands = split(operands, [operand; 4]).map(|words| &*words);
                let rooms = split(room, rooms);
                let products = PhantomData::<E>;
                family.run(HeadBackward { sizes, operands, rooms, output, normalizers, products });
            });
        };
        O::values(build_heads(n, sizes, 3, of_heads, fill))
    }
}

/// A head's queries, keys and values, one after the other.
fn gather_qkv<E: Operand + Pod>(family: Family, sizes: Sizes, qkv: Lent<'_>, head: usize, to: &mut [f32]) {
    let len = to.len() / 3;
    for (start, to) in sizes.starts(head).into_iter().zip(to.chunks_exact_mut(len)) {
        gather::<E>(family, qkv, sizes.width(), start, sizes.dh, to);
    }
}
