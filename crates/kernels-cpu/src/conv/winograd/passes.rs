//! A transform in two dimensions: down the columns, then along the rows.
#![allow(unsafe_code, reason = "a bounds check a register would halve the speed")]

use super::algebra::Transform;
use crate::simd::{Lanes, for_registers, read_some, write_some};

/// Values of each element that are transformed at a time, at most: what lies between the two passes stays in the
/// first-level cache.
const SEGMENT: usize = 128;

/// Room that [`transform`] needs between its passes.
pub(super) const BETWEEN_LEN: usize = 36 * SEGMENT;

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
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
pub(super) fn transform<L: Lanes, T: Transform<I, O>, const I: usize, const O: usize>(
    from: &[[&[f32]; I]; I],
    len: usize,
    between: &mut [f32],
    to: &mut [f32],
    places: &Places<O>,
    adds: bool,
) {
    assert!(from.iter().flatten().all(|element| element.len() >= len), "an element is too short");
    assert!(places.iter().flatten().flatten().all(|place| place + len <= to.len()), "a place has no room");
    assert!(I <= 6 && O <= 6 && between.len() >= BETWEEN_LEN, "no room between the passes");
    for start in (0..len).step_by(SEGMENT) {
        let segment_len = SEGMENT.min(len - start);
        for column in 0..I {
            for_registers!(L, segment_len, |at, n| {
                let mut values = [L::zero(); I];
                for row in 0..I {
                    values[row] = if n == L::N {
                        // SAFETY: a register at `start + at` ends inside the segment, which ends inside the element.
                        unsafe { L::load(from[row][column].as_ptr().add(start + at)) }
                    } else {
                        read_some::<L, _>(from[row][column], start + at, n, 0.0)
                    };
                }
                let values = T::apply::<L>(values);
                for row in 0..O {
                    let place = (row * 6 + column) * SEGMENT + at;
                    // SAFETY: `row` and `column` are below 6 and `at` is inside a segment, of which `between` has 36.
                    // A segment is a whole number of registers, so that a register's rest is inside it, too.
                    unsafe { L::store(between.as_mut_ptr().add(place), values[row]) };
                }
            });
        }
        for row in 0..O {
            for_registers!(L, segment_len, |at, n| {
                let mut values = [L::zero(); I];
                for column in 0..I {
                    let place = (row * 6 + column) * SEGMENT + at;
                    // SAFETY: as above.
                    values[column] = unsafe { L::load(between.as_ptr().add(place)) };
                }
                let values = T::apply::<L>(values);
                for column in 0..O {
                    let Some(place) = places[row][column] else { continue };
                    let place = place + start + at;
                    if n == L::N {
                        // SAFETY: the place has room for `len` values, asserted above.
                        unsafe {
                            let to = to.as_mut_ptr().add(place);
                            let value =
                                if adds { L::add(L::load(to), values[column]) } else { values[column] };
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
            });
        }
    }
}
