//! Between slices and registers.
#![allow(unsafe_code, reason = "registers are read and written through pointers")]

use super::{Element, Lanes, bounds::has_room, lanes::MAX_LANES};

/// The first values of a slice.
///
/// # Panics
///
/// When the slice is shorter than a register.
#[inline(always)]
pub(crate) fn read<L: Lanes>(from: &[f32]) -> L::V {
    assert!(from.len() >= L::N, "a register is read from fewer values");
    // SAFETY: the slice has a register's values, asserted above.
    unsafe { L::load(from.as_ptr()) }
}

/// Overwrites the first values of a slice.
///
/// # Panics
///
/// When the slice is shorter than a register.
#[inline(always)]
pub(crate) fn write<L: Lanes>(to: &mut [f32], value: L::V) {
    assert!(to.len() >= L::N, "a register is written to fewer values");
    // SAFETY: the slice has room for a register, asserted above.
    unsafe { L::store(to.as_mut_ptr(), value) }
}

/// A slice of fewer values than a register, and `fill` in the lanes that are left.
#[inline(always)]
fn read_part<L: Lanes, E: Element>(from: &[E], fill: f32) -> L::V {
    const { L::FITS };
    let mut lanes = [fill; MAX_LANES];
    for (lane, value) in lanes.iter_mut().zip(from) {
        *lane = value.single();
    }
    read::<L>(&lanes)
}

/// The first lanes to a slice of fewer values than a register.
#[inline(always)]
fn write_part<L: Lanes, E: Element>(to: &mut [E], value: L::V) {
    let mut lanes = [0.0; MAX_LANES];
    write::<L>(&mut lanes, value);
    for (to, &lane) in to.iter_mut().zip(&lanes) {
        *to = E::nearest(lane);
    }
}

/// The sum of all lanes, by halves.
#[inline(always)]
pub(crate) fn sum_lanes<L: Lanes>(value: L::V) -> f32 {
    fold_lanes::<L>(value, |a, b| a + b)
}

/// The greatest of all lanes.
#[inline(always)]
pub(crate) fn max_lane<L: Lanes>(value: L::V) -> f32 {
    fold_lanes::<L>(value, |a, b| if a > b { a } else { b })
}

#[inline(always)]
fn fold_lanes<L: Lanes>(value: L::V, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; MAX_LANES];
    write::<L>(&mut lanes, value);
    let mut n = L::N;
    while n > 1 {
        n /= 2;
        for lane in 0..n {
            lanes[lane] = join(lanes[lane], lanes[lane + n]);
        }
    }
    lanes[0]
}

/// `to[column][row] = from[row][column]`: rows of `n_columns` values, `from_row` apart, become columns of rows that are
/// `to_row` apart.
///
/// # Panics
///
/// When a slice is too short.
#[inline(always)]
pub(crate) fn transpose<L: Lanes>(
    from: &[f32],
    from_row: usize,
    (n_rows, n_columns): (usize, usize),
    to: &mut [f32],
    to_row: usize,
) {
    use super::lanes::TRANSPOSED;
    if n_rows == 0 || n_columns == 0 {
        return;
    }
    assert!(has_room([(n_rows - 1, from_row)], n_columns, from.len()), "rows end before their columns");
    assert!(has_room([(n_columns - 1, to_row)], n_rows, to.len()), "columns end before their rows");
    let (whole_rows, whole_columns) = (n_rows - n_rows % TRANSPOSED, n_columns - n_columns % TRANSPOSED);
    for row in (0..whole_rows).step_by(TRANSPOSED) {
        for column in (0..whole_columns).step_by(TRANSPOSED) {
            // SAFETY: the block is inside the rows and columns, whose last value is inside both slices, asserted above.
            unsafe {
                let from = from.as_ptr().add(row * from_row + column);
                let to = to.as_mut_ptr().add(column * to_row + row);
                L::transpose_block(from, from_row, to, to_row);
            }
        }
    }
    for row in 0..n_rows {
        let first = if row < whole_rows { whole_columns } else { 0 };
        for column in first..n_columns {
            to[column * to_row + row] = from[row * from_row + column];
        }
    }
}

/// `for_registers!(L, len, |start, n| work)`: the work for each register of `len` values, where it starts and how many
/// values it has; the last may have fewer than the others.
///
/// A macro, not a function that takes the work: closures are compiled without the instructions of a family. The work
/// stands in the code twice, so that the loop over whole registers knows their length.
macro_rules! for_registers {
    ($lanes:ident, $len:expr, |$start:ident, $n:ident| $work:expr) => {
        let len: usize = $len;
        let whole = len - len % $lanes::N;
        for $start in (0..whole).step_by($lanes::N) {
            let $n = $lanes::N;
            $work
        }
        if whole < len {
            let ($start, $n) = (whole, len - whole);
            $work
        }
    };
}
pub(crate) use for_registers;

/// `n` values from `at` on, in single precision, and `fill` in the lanes that are left.
#[inline(always)]
pub(crate) fn read_some<L: Lanes, E: Element>(from: &[E], at: usize, n: usize, fill: f32) -> L::V {
    let from = &from[at..at + n];
    if n == L::N {
        // SAFETY: there are a register's values.
        unsafe { E::load_single::<L>(from.as_ptr()) }
    } else {
        read_part::<L, E>(from, fill)
    }
}

/// The first lanes to `n` values from `at` on, each the nearest there is.
#[inline(always)]
pub(crate) fn write_some<L: Lanes, E: Element>(to: &mut [E], at: usize, n: usize, value: L::V) {
    let to = &mut to[at..at + n];
    if n == L::N {
        // SAFETY: there is room for a register.
        unsafe { E::store_single::<L>(to.as_mut_ptr(), value) }
    } else {
        write_part::<L, E>(to, value);
    }
}
