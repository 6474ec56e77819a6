//! What heads read and write: some columns of every token.
#![allow(unsafe_code, reason = "tasks write to columns of the same rows")]

use std::{marker::PhantomData, mem::MaybeUninit};

use bytemuck::Pod;
use rayon::prelude::*;

use super::Sizes;
use crate::{
    cut::MANY_TASKS,
    memory::split_mut,
    simd::{Element, Family, Kernel, Lanes, for_registers, read_some, write_new, write_some},
    values::Lent,
};

/// A head's `dh` columns of rows that are `row` apart, from `start` on, one row after the other.
pub(super) fn gather<E: Element + Pod>(
    family: Family,
    from: Lent<'_>,
    row: usize,
    start: usize,
    dh: usize,
    to: &mut [f32],
) {
    let to: &mut [E] = bytemuck::cast_slice_mut(to);
    match from {
        Lent::F32(from) => family.run(GatherHead { from, row, start, dh, to }),
        Lent::Bf16(from) => family.run(GatherHead { from, row, start, dh, to }),
    }
}

struct GatherHead<'a, V, E> {
    from: &'a [V],
    row: usize,
    start: usize,
    dh: usize,
    to: &'a mut [E],
}

impl<V: Element, E: Element> Kernel for GatherHead<'_, V, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { from, row, start, dh, to } = self;
        for (from, to) in from.chunks_exact(row).zip(to.chunks_exact_mut(dh)) {
            for_registers!(L, dh, |at, n| {
                write_some::<L, _>(to, at, n, read_some::<L, _>(from, start + at, n, 0.0));
            });
        }
    }
}

/// One head's columns of an image's tokens, `n_parts` times `dh` of them, which are written once.
pub(super) struct HeadOutput<'a, E> {
    /// The head's first value of the first token.
    first: *mut E,
    n_tokens: usize,
    n_parts: usize,
    dh: usize,
    /// From one part to the next.
    part: usize,
    /// Rows that hold values: of the first part, one for each token, and so on.
    n_rows: usize,
    lent: PhantomData<&'a mut [E]>,
}

impl<E: Element> HeadOutput<'_, E> {
    /// Writes the next token's `dh` values times `factor`: those of the first part for all tokens, then those of the second.
    ///
    /// # Panics
    ///
    /// When all rows are written, or `row` is shorter.
    #[inline(always)]
    pub(super) fn push_row<L: Lanes>(&mut self, row: &[f32], factor: L::V) {
        let (part, token) = (self.n_rows / self.n_tokens, self.n_rows % self.n_tokens);
        assert!(part < self.n_parts, "a head has no more rows");
        // SAFETY: `build_heads` made this of `n_tokens` tokens of `n_parts` parts each, whose values are no other head's, and
        // nothing else refers to them. They may hold nothing yet.
        let to = unsafe {
            let start = self.first.add((token * self.n_parts + part) * self.part);
            std::slice::from_raw_parts_mut(start.cast::<MaybeUninit<E>>(), self.dh)
        };
        for_registers!(L, self.dh, |at, n| {
            let value = L::mul(read_some::<L, _>(row, at, n, 0.0), factor);
            write_new::<L, E>(&mut to[at..at + n], value);
        });
        self.n_rows += 1;
    }

    fn is_full(&self) -> bool {
        self.n_rows == self.n_tokens * self.n_parts
    }
}

/// Builds `(N, T, n_parts * D)` of the columns of each head, `fill(image * heads + head, own, columns)`.
///
/// A task has heads of one image that lie side by side: values of two heads may share a cache line, and a page many.
///
/// # Panics
///
/// When a head's columns are not filled to their end, or there is not something of its own for each head.
pub(super) fn build_heads<E: Element, T: Send>(
    n: usize,
    sizes: Sizes,
    n_parts: usize,
    mut beside: Vec<T>,
    fill: impl Fn(usize, &mut T, &mut HeadOutput<'_, E>) + Sync,
) -> Vec<E> {
    let Sizes { t, heads, dh } = sizes;
    let factors = [n, t, n_parts, heads, dh];
    let len = factors.into_iter().try_fold(1_usize, usize::checked_mul).expect("there are as many values");
    assert_eq!(beside.len(), n * heads, "each head has something of its own");
    let mut values = Vec::<E>::with_capacity(len);
    let start = Start(values.as_mut_ptr());
    let n_groups = MANY_TASKS.div_ceil(n.max(1)).min(heads);
    // Where each group starts, in heads of all images.
    let start_of = |group: usize| group / n_groups * heads + heads * (group % n_groups) / n_groups;
    let lens: Vec<usize> = (0..n * n_groups).map(|group| start_of(group + 1) - start_of(group)).collect();
    split_mut(&mut beside, &lens).into_par_iter().enumerate().for_each(|(group, beside)| {
        for (task, own) in (start_of(group)..).zip(beside) {
            let (image, head) = (task / heads, task % heads);
            // SAFETY: `len` values are reserved, and here the first of them that is this head's would be.
            let first = unsafe { start.get().add((image * t * n_parts * heads + head) * dh) };
            let part = heads * dh;
            let mut output =
                HeadOutput { first, n_tokens: t, n_parts, dh, part, n_rows: 0, lent: PhantomData };
            fill(task, own, &mut output);
            assert!(output.is_full(), "head {task} is not filled to its end");
        }
    });
    // SAFETY: `len` values were reserved, and each is one head's, all of which were filled: asserted above.
    unsafe {
        values.set_len(len);
    }
    values
}

/// Where the values start, for all tasks.
struct Start<E>(*mut E);

// SAFETY: a task writes to its own values alone through it.
unsafe impl<E: Send> Sync for Start<E> {}

impl<E> Start<E> {
    fn get(&self) -> *mut E {
        self.0
    }
}
