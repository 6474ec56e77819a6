//! Large buffers, written by many threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::{
    cut::lens,
    scratch::with_scratch,
    simd::{Element, Filled, Filling, fill},
};

/// Elements that one task of an element-wise operation handles: 64 KiB, which stays in a core's second-level cache.
pub(crate) const ELEMENTWISE_LEN: usize = 16 * 1024;

/// Builds a buffer out of parts of the given lengths, each filled by `fill(part index, part)`; a part starts as zeros.
///
/// Each part is zeroed by the thread that fills it, just before: no pass over cold memory.
pub(crate) fn build<V: Plain>(part_lens: &[usize], fill: impl Fn(usize, &mut [V]) + Sync) -> Vec<V> {
    build_beside(part_lens, vec![(); part_lens.len()], |part_idx, (), part| fill(part_idx, part))
}

/// [`build`], with something of its own for each part, `fill(part index, own, part)`.
pub(crate) fn build_beside<V: Plain, T: Send>(
    part_lens: &[usize],
    beside: Vec<T>,
    fill: impl Fn(usize, T, &mut [V]) + Sync,
) -> Vec<V> {
    assert_eq!(part_lens.len(), beside.len(), "each part has something of its own");
    let len = part_lens.iter().sum();
    let mut values = Vec::with_capacity(len);
    let parts = split_mut(&mut values.spare_capacity_mut()[..len], part_lens);
    parts
        .into_par_iter()
        .zip(beside)
        .enumerate()
        .for_each(|(part_idx, (part, own))| fill(part_idx, own, zeroed(part)));
    #[allow(unsafe_code, reason = "a buffer that several threads fill cannot be pushed to")]
    // SAFETY: `len` elements were reserved, and the parts, whose lengths sum to `len`, were all zeroed above.
    unsafe {
        values.set_len(len);
    }
    values
}

/// [`build`] of parts that are written from their start on, and hold nothing before.
///
/// # Panics
///
/// When a part is not filled to its end.
pub(crate) fn build_filled<E: Element>(
    part_lens: &[usize],
    work: impl for<'id> Fn(usize, Filling<'id, '_, E>) -> Filled<'id> + Sync,
) -> Vec<E> {
    let len = part_lens.iter().sum();
    let mut values = Vec::with_capacity(len);
    let parts = split_mut(&mut values.spare_capacity_mut()[..len], part_lens);
    parts.into_par_iter().enumerate().for_each(|(part_idx, part)| {
        fill(part, |filling| work(part_idx, filling));
    });
    #[allow(unsafe_code, reason = "as in `build_beside`")]
    // SAFETY: `len` elements were reserved, and the parts, whose lengths sum to `len`, were all filled above.
    unsafe {
        values.set_len(len);
    }
    values
}

/// What buffers hold: zero is its default.
pub(crate) trait Plain: Copy + Default + Send + Sync {}

impl Plain for f32 {}
impl Plain for u16 {}

/// [`build`] of two buffers at once.
pub(crate) fn build_two(
    part_lens: &[usize],
    fill: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) -> (Vec<f32>, Vec<f32>) {
    let len = part_lens.iter().sum();
    let mut second = Vec::with_capacity(len);
    let parts = split_mut(&mut second.spare_capacity_mut()[..len], part_lens);
    let first =
        build_beside(part_lens, parts, |part_idx, second, first| fill(part_idx, first, zeroed(second)));
    #[allow(unsafe_code, reason = "as in `build_beside`")]
    // SAFETY: `len` elements were reserved, and the parts, whose lengths sum to `len`, were all zeroed above.
    unsafe {
        second.set_len(len);
    }
    (first, second)
}

/// Builds a buffer out of pieces that belong to tasks, `(length, task)` each.
///
/// `compute(task, values)` has to overwrite all values of a task, whose pieces lie one after the other: they hold what was
/// left there. What tasks give comes back in their order.
pub(crate) fn build_scattered<R: Send>(
    pieces: &[(usize, usize)],
    n_tasks: usize,
    compute: impl Fn(usize, &mut [f32]) -> R + Sync,
) -> (Vec<f32>, Vec<R>) {
    let piece_lens: Vec<usize> = pieces.iter().map(|&(len, _)| len).collect();
    let len = piece_lens.iter().sum();
    let mut values = Vec::with_capacity(len);
    let mut by_task: Vec<Vec<&mut [MaybeUninit<f32>]>> = (0..n_tasks).map(|_| Vec::new()).collect();
    for (piece, &(_, task)) in
        split_mut(&mut values.spare_capacity_mut()[..len], &piece_lens).into_iter().zip(pieces)
    {
        by_task[task].push(piece);
    }
    let run = |(task, pieces): (usize, Vec<&mut [MaybeUninit<f32>]>)| {
        with_scratch(pieces.iter().map(|piece| piece.len()).sum(), |computed| {
            let result = compute(task, computed);
            let mut rest = &*computed;
            for piece in pieces {
                let from;
                (from, rest) = rest.split_at(piece.len());
                for (to, &from) in piece.iter_mut().zip(from) {
                    to.write(from);
                }
            }
            result
        })
    };
    let results = by_task.into_par_iter().enumerate().map(run).collect();
    #[allow(unsafe_code, reason = "as in `build_beside`")]
    // SAFETY: `len` elements were reserved, and the pieces, whose lengths sum to `len`, were each written to the end by the
    // task that they belong to.
    unsafe {
        values.set_len(len);
    }
    (values, results)
}

/// [`build`] with parts of [`ELEMENTWISE_LEN`].
pub(crate) fn build_evenly<V: Plain>(len: usize, fill: impl Fn(usize, &mut [V]) + Sync) -> Vec<V> {
    build(&lens(len, ELEMENTWISE_LEN), |part_idx, part| fill(part_idx * ELEMENTWISE_LEN, part))
}

/// Cuts a slice into consecutive parts of the given lengths.
pub(crate) fn split_mut<'a, T>(mut rest: &'a mut [T], part_lens: &[usize]) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(part_lens.len());
    for &len in part_lens {
        let (part, tail) = rest.split_at_mut(len);
        parts.push(part);
        rest = tail;
    }
    parts
}

/// The first parts of a room, of the given lengths.
pub(crate) fn split<const N: usize>(mut room: &mut [f32], part_lens: [usize; N]) -> [&mut [f32]; N] {
    part_lens.map(|len| {
        let (part, rest) = std::mem::take(&mut room).split_at_mut(len);
        room = rest;
        part
    })
}

/// Changes parts of the given lengths, with something of its own for each: `change(part index, own, part)`.
///
/// # Panics
///
/// When the parts are not all of the values, or there is not something of its own for each.
pub(crate) fn change<V: Plain, T: Send>(
    values: &mut [V],
    part_lens: &[usize],
    beside: Vec<T>,
    change: impl Fn(usize, T, &mut [V]) + Sync,
) {
    assert_eq!(part_lens.iter().sum::<usize>(), values.len(), "the parts are all of the values");
    assert_eq!(part_lens.len(), beside.len(), "each part has something of its own");
    let parts = split_mut(values, part_lens).into_par_iter().zip(beside).enumerate();
    parts.for_each(|(part_idx, (part, own))| change(part_idx, own, part));
}

fn zeroed<V: Plain>(part: &mut [MaybeUninit<V>]) -> &mut [V] {
    part.fill(MaybeUninit::new(V::default()));
    #[allow(unsafe_code, reason = "`assume_init_mut` on slices is newer than our oldest compiler")]
    // SAFETY: every element was written on the line above, and `MaybeUninit<V>` has the layout of `V`.
    unsafe {
        &mut *(std::ptr::from_mut(part) as *mut [V])
    }
}
