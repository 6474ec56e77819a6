//! ReLU, and sums of branches.

use rayon::prelude::*;

use crate::{
    cut::lens,
    memory::{ELEMENTWISE_LEN, build_evenly, build_filled},
    simd::{Element, Family, Filled, Filling, Kernel, Lanes, for_registers, read_some},
    values::{Lent, Values},
};

/// `max(x, 0)`; NaN stays.
pub fn relu(family: Family, x: &Values) -> Values {
    match x.lend() {
        Lent::F32(x) => Values::F32(rectified(family, x)),
        Lent::Bf16(x) => Values::Bf16(rectified(family, x)),
    }
}

/// `a + b`, of the precision of `a`; with `is_rectified`, `max(a + b, 0)`, where NaN stays.
///
/// # Panics
///
/// When there are not as many of both.
pub fn sum(family: Family, a: &Values, b: &Values, is_rectified: bool) -> Values {
    let floor = if is_rectified { 0.0 } else { f32::NEG_INFINITY };
    match (a.lend(), b.lend()) {
        (Lent::F32(a), Lent::F32(b)) => Values::F32(sum_of(family, a, b, floor)),
        (Lent::F32(a), Lent::Bf16(b)) => Values::F32(sum_of(family, a, b, floor)),
        (Lent::Bf16(a), Lent::F32(b)) => Values::Bf16(sum_of(family, a, b, floor)),
        (Lent::Bf16(a), Lent::Bf16(b)) => Values::Bf16(sum_of(family, a, b, floor)),
    }
}

/// The gradient where ReLU was on, which is where its output is above 0; 0 elsewhere.
///
/// # Panics
///
/// When the gradient has not as many values as the output.
pub fn masked(family: Family, mut gradient: Values, output: &Values) -> Values {
    match (&mut gradient, output.lend()) {
        (Values::F32(gradient), Lent::F32(output)) => mask_by(family, gradient, output),
        (Values::F32(gradient), Lent::Bf16(output)) => mask_by(family, gradient, output),
        (Values::Bf16(gradient), Lent::F32(output)) => mask_by(family, gradient, output),
        (Values::Bf16(gradient), Lent::Bf16(output)) => mask_by(family, gradient, output),
    }
    gradient
}

/// [`relu`] in single precision.
pub fn rectify(family: Family, values: &[f32]) -> Vec<f32> {
    rectified(family, values)
}

/// [`masked`] in single precision, in place.
///
/// # Panics
///
/// As [`masked`].
pub fn mask(family: Family, gradient: &mut [f32], output: &[f32]) {
    mask_by(family, gradient, output);
}

/// `sum[i] += values[i]`.
///
/// # Panics
///
/// When there are not as many of both.
pub fn add_to(family: Family, sum: &mut [f32], values: &[f32]) {
    assert_eq!(sum.len(), values.len(), "a sum is of as many values on both sides");
    sum.par_chunks_mut(ELEMENTWISE_LEN).zip(values.par_chunks(ELEMENTWISE_LEN)).for_each(|(sum, values)| {
        family.run(AddTo { sum, values });
    });
}

fn rectified<E: Element>(family: Family, values: &[E]) -> Vec<E> {
    build_evenly(values.len(), |start, out: &mut [E]| {
        family.run(Rectify { values: &values[start..][..out.len()], out });
    })
}

fn sum_of<A: Element, B: Element>(family: Family, a: &[A], b: &[B], floor: f32) -> Vec<A> {
    assert_eq!(a.len(), b.len(), "a sum is of as many values on both sides");
    let parts = lens(a.len(), ELEMENTWISE_LEN);
    build_filled(&parts, |part, out| {
        let range = part * ELEMENTWISE_LEN..part * ELEMENTWISE_LEN + parts[part];
        family.run(Sum { a: &a[range.clone()], b: &b[range], floor, out })
    })
}

fn mask_by<G: Element, O: Element>(family: Family, gradient: &mut [G], output: &[O]) {
    assert_eq!(gradient.len(), output.len(), "a gradient is of as many values as there are");
    gradient.par_chunks_mut(ELEMENTWISE_LEN).zip(output.par_chunks(ELEMENTWISE_LEN)).for_each(
        |(gradient, output)| {
            family.run(Mask { gradient, output });
        },
    );
}

struct Rectify<'a, E> {
    values: &'a [E],
    out: &'a mut [E],
}

impl<E: Element> Kernel for Rectify<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (out, &value) in self.out.iter_mut().zip(self.values) {
            *out = if value.single() < 0.0 { E::default() } else { value };
        }
    }
}

struct Sum<'a, 'id, A, B> {
    a: &'a [A],
    b: &'a [B],
    /// Below which nothing comes out.
    floor: f32,
    out: Filling<'id, 'a, A>,
}

impl<'id, A: Element, B: Element> Kernel for Sum<'_, 'id, A, B> {
    type Output = Filled<'id>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Filled<'id> {
        let Self { a, b, floor, mut out } = self;
        let floor = L::splat(floor);
        for_registers!(L, a.len(), |at, n| {
            let sum = L::add(read_some::<L, A>(a, at, n, 0.0), read_some::<L, B>(b, at, n, 0.0));
            out.push::<L>(L::max(floor, sum), n);
        });
        out.end()
    }
}

struct Mask<'a, G, O> {
    gradient: &'a mut [G],
    output: &'a [O],
}

impl<G: Element, O: Element> Kernel for Mask<'_, G, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (gradient, output) in self.gradient.iter_mut().zip(self.output) {
            *gradient = if output.single() > 0.0 { *gradient } else { G::default() };
        }
    }
}

struct AddTo<'a> {
    sum: &'a mut [f32],
    values: &'a [f32],
}

impl Kernel for AddTo<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (sum, value) in self.sum.iter_mut().zip(self.values) {
            *sum += value;
        }
    }
}

#[cfg(test)]
mod tests;
