//! A transform in two dimensions: down the columns, then along the rows.
#![allow(unsafe_code, reason = "a bounds check a register would halve the speed")]

use super::algebra::Transform;
use crate::simd::{Lanes, for_registers, has_room, read_some, write_some};

/// Values of each element that are transformed at a time, at most: they stay in the first-level cache between two
/// readings.
const SEGMENT: usize = 128;

/// Where element `(row, column)` of a transformed tile goes; `None`: nowhere.
pub(super) type Places<const O: usize> = [[Option<usize>; O]; O];

/// Transforms a tile of `I` by `I` elements, each of `len` values side by side, to `O` by `O` elements.
///
/// Element `(row, column)` is `from[row][column]`. Results are written to `to` from their place on, or added to what is
/// there.
///
/// # Panics
///
/// When an element has fewer than `len` values, or a place has no room: a bug of the caller.
#[inline(always)]
pub(super) fn transform<L: Lanes, T: Transform<I, O>, const I: usize, const O: usize>(
    from: &[[&[f32]; I]; I],
    len: usize,
    to: &mut [f32],
    places: &Places<O>,
    adds: bool,
) {
    assert!(from.iter().flatten().all(|element| element.len() >= len), "an element is too short");
    assert!(
        places.iter().flatten().flatten().all(|&place| has_room([(1, place)], len, to.len())),
        "a place has no room"
    );
    for start in (0..len).step_by(SEGMENT) {
        let segment = (start, SEGMENT.min(len - start));
        // Rows of what lies between the passes are as many as the registers hold.
        if I * O > 24 {
            // SAFETY: elements have `len` values and places room for them, asserted above; the segment ends before.
            unsafe {
                some_rows::<L, T, I, O, 0, 3>(from, segment, to, places, adds);
                some_rows::<L, T, I, O, 3, 6>(from, segment, to, places, adds);
            }
        } else {
            // SAFETY: as above.
            unsafe { some_rows::<L, T, I, O, 0, 6>(from, segment, to, places, adds) };
        }
    }
}

/// Rows `FIRST..END` of the result, if there are so many.
///
/// # Safety
///
/// Where the segment starts and how many values it has: elements have them, and places have room for them.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
unsafe fn some_rows<
    L: Lanes,
    T: Transform<I, O>,
    const I: usize,
    const O: usize,
    const FIRST: usize,
    const END: usize,
>(
    from: &[[&[f32]; I]; I],
    (start, len): (usize, usize),
    to: &mut [f32],
    places: &Places<O>,
    adds: bool,
) {
    let end = if END < O { END } else { O };
    for_registers!(L, len, |at, n| {
        let mut between = [[L::zero(); I]; O];
        for column in 0..I {
            let mut values = [L::zero(); I];
            for row in 0..I {
                values[row] = if n == L::N {
                    // SAFETY: the caller has the whole segment there, and a register at `at` ends inside it.
                    unsafe { L::load(from[row][column].as_ptr().add(start + at)) }
                } else {
                    read_some::<L, _>(from[row][column], start + at, n, 0.0)
                };
            }
            let values = T::apply::<L>(values);
            for row in FIRST..end {
                between[row][column] = values[row];
            }
        }
        for row in FIRST..end {
            let values = T::apply::<L>(between[row]);
            for column in 0..O {
                let Some(place) = places[row][column] else { continue };
                let place = place + start + at;
                if n == L::N {
                    // SAFETY: the caller has room for the whole segment there, and a register at `at` ends inside it.
                    unsafe {
                        let to = to.as_mut_ptr().add(place);
                        let value = if adds { L::add(L::load(to), values[column]) } else { values[column] };
                        L::store(to, value);
                    }
                } else {
                    let value = if adds {
                        L::add(read_some::<L, _>(to, place, n, 0.0), values[column])
                    } else {
                        values[column]
                    };
                    write_some::<L, _>(to, place, n, value);
                }
            }
        }
    });
}
