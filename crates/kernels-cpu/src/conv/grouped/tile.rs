//! The products of a group, in registers: lanes are columns of planes.
#![allow(unsafe_code, reason = "register tiles: a bounds check a step would halve the speed")]

use crate::simd::{Element, Lanes, MAX_LANES, has_room, read_some, sum_lanes};

/// One tap of a run of columns.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    /// Where its first column is in a plane.
    pub(super) column: usize,
    /// Where its weights are in those of a group.
    pub(super) weight: usize,
}

/// What a run of columns of a group is multiplied of.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    /// A plane a step, from the group's first on.
    pub(super) planes: &'a [f32],
    /// From one plane to the next.
    pub(super) distance: usize,
    /// Steps of each tap.
    pub(super) n_steps: usize,
    pub(super) taps: &'a [Tap],
    /// The group's weights, `[tap][step][row]`.
    pub(super) weights: &'a [f32],
    pub(super) n_columns: usize,
}

/// `out[row][column] = sum over taps and steps of weights[tap, step, row] * planes[step][tap's column + column]`.
///
/// Rows of `out` are `out_row` apart. The last register reads and writes up to a register's columns past the last.
///
/// # Panics
///
/// When something is too short: a bug of the caller.
#[inline(always)]
pub(super) fn multiply<L: Lanes, E: Element>(run: Run<'_>, n_rows: usize, out: &mut [f32], out_row: usize) {
    match n_rows {
        0 => {}
        1 => rows::<L, E, 1, 8>(run, n_rows, out, out_row),
        2 | 3 => rows::<L, E, 2, 4>(run, n_rows, out, out_row),
        _ => rows::<L, E, 4, 2>(run, n_rows, out, out_row),
    }
}

/// Tiles of `M` rows, of which the last may be among those of the tile before, by `R` registers: as many sums as keep the
/// multipliers busy.
#[inline(always)]
fn rows<L: Lanes, E: Element, const M: usize, const R: usize>(
    run: Run<'_>,
    n_rows: usize,
    out: &mut [f32],
    out_row: usize,
) {
    const { L::FITS };
    let Run { planes, distance, n_steps, taps, weights, n_columns } = run;
    assert!(M <= n_rows, "a tile has no more rows than there are");
    let last = n_steps.checked_sub(1).expect("a group has channels");
    let reach = n_columns + MAX_LANES;
    for tap in taps {
        assert!(has_room([(1, tap.column), (last, distance)], reach, planes.len()), "planes end too early");
        assert!(has_room([(1, tap.weight), (last, n_rows)], n_rows, weights.len()), "weights end too early");
    }
    assert!(has_room([(n_rows - 1, out_row)], reach, out.len()), "the output ends before its rows");
    for row in (0..n_rows).step_by(M) {
        let row = row.min(n_rows - M);
        let mut column = 0;
        // SAFETY: the last step of the last tap and the last row have room for all columns and a register more, and weights for all
        // rows of each step, asserted above. The tile ends with the last row. Whole tiles end at or before the last column, and of
        // registers that follow, the last begins before it.
        unsafe {
            while column + R * L::N <= n_columns {
                tile::<L, E, M, R>(run, n_rows, row, column, out, out_row);
                column += R * L::N;
            }
            while column < n_columns {
                tile::<L, E, M, 1>(run, n_rows, row, column, out, out_row);
                column += L::N;
            }
        }
    }
}

/// `M` rows from `row` on, `R` registers from `column` on.
///
/// # Safety
///
/// For every tap and step, the registers are inside the plane, and the weights of the rows inside those of the group; and
/// so are the registers of each row inside `out`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
unsafe fn tile<L: Lanes, E: Element, const M: usize, const R: usize>(
    run: Run<'_>,
    n_rows: usize,
    row: usize,
    column: usize,
    out: &mut [f32],
    out_row: usize,
) {
    let mut sums = [[L::zero(); R]; M];
    for tap in run.taps {
        let mut at = run.planes.as_ptr().wrapping_add(tap.column + column);
        let mut weights = run.weights.as_ptr().wrapping_add(tap.weight + row);
        for _ in 0..run.n_steps {
            // SAFETY: the caller has the registers and the weights of this step there; the pointers end at most one step past
            // the last, by `wrapping_add`.
            unsafe {
                let mut values = [L::zero(); R];
                for r in 0..R {
                    values[r] = L::load(at.add(r * L::N));
                }
                for m in 0..M {
                    let weight = L::splat(*weights.add(m));
                    for r in 0..R {
                        sums[m][r] = E::mul_add::<L>(weight, values[r], sums[m][r]);
                    }
                }
            }
            at = at.wrapping_add(run.distance);
            weights = weights.wrapping_add(n_rows);
        }
    }
    for m in 0..M {
        for r in 0..R {
            // SAFETY: the caller has room for the registers of each row.
            unsafe { L::store(out.as_mut_ptr().add((row + m) * out_row + column + r * L::N), sums[m][r]) };
        }
    }
}

/// Columns of two maps that meet, side by side: where they start in planes of either, and how many.
#[derive(Clone, Copy)]
pub(super) struct Meeting {
    pub(super) x: usize,
    pub(super) gradient: usize,
    pub(super) n_columns: usize,
}

/// `T` by `T` sums of products of columns, of the planes of `x` from the first on and those of `gradient`; `U` registers at a time.
///
/// # Panics
///
/// When planes are too short: a bug of the caller.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
pub(super) fn sums_of_products<L: Lanes, const T: usize, const U: usize>(
    (x, x_distance): (&[f32], usize),
    (gradient, gradient_distance): (&[f32], usize),
    meetings: &[Meeting],
) -> [[f32; T]; T] {
    let mut sums = [[[L::zero(); U]; T]; T];
    for &Meeting { x: x_start, gradient: gradient_start, n_columns } in meetings {
        assert!(has_room([(1, x_start), (T - 1, x_distance)], n_columns, x.len()), "planes end too early");
        assert!(
            has_room([(1, gradient_start), (T - 1, gradient_distance)], n_columns, gradient.len()),
            "planes of the gradient end too early"
        );
        let mut column = 0;
        while column + U * L::N <= n_columns {
            for u in 0..U {
                let at = column + u * L::N;
                let (mut left, mut right) = ([L::zero(); T], [L::zero(); T]);
                for t in 0..T {
                    // SAFETY: plane `T - 1` has all columns from the start on, asserted above, and the register ends at or before
                    // the last of them.
                    unsafe {
                        left[t] = L::load(x.as_ptr().add(x_start + t * x_distance + at));
                        right[t] =
                            L::load(gradient.as_ptr().add(gradient_start + t * gradient_distance + at));
                    }
                }
                for i in 0..T {
                    for o in 0..T {
                        sums[i][o][u] = L::mul_add(left[i], right[o], sums[i][o][u]);
                    }
                }
            }
            column += U * L::N;
        }
        while column < n_columns {
            let n = L::N.min(n_columns - column);
            for i in 0..T {
                let left = read_some::<L, f32>(x, x_start + i * x_distance + column, n, 0.0);
                for o in 0..T {
                    let start = gradient_start + o * gradient_distance + column;
                    let right = read_some::<L, f32>(gradient, start, n, 0.0);
                    sums[i][o][0] = L::mul_add(left, right, sums[i][o][0]);
                }
            }
            column += L::N;
        }
    }
    let mut totals = [[0.0; T]; T];
    for i in 0..T {
        for o in 0..T {
            let mut sum = sums[i][o][0];
            for u in 1..U {
                sum = L::add(sum, sums[i][o][u]);
            }
            totals[i][o] = sum_lanes::<L>(sum);
        }
    }
    totals
}
