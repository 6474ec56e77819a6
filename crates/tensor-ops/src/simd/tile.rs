//! The one matrix product behind convolutions, their gradients, linear layers and contrastive losses.
#![allow(unsafe_code, reason = "register tiles: a bounds check a step would halve the speed")]

use super::Lanes;

/// A run of steps of the inner product: where it starts in both operands, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Start in the rows operand, relative to the row.
    pub(crate) a: usize,
    /// Start in the panel.
    pub(crate) b: usize,
    /// Steps.
    pub(crate) n_steps: usize,
}

/// What a tile multiplies: `sum over segments and steps of a[row, step] * b[step, column]`.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// Values whose element `(row, step)` of a segment is at `segment.a + row * a_row + step * a_step`.
    pub(crate) a: &'a [f32],
    /// From one row to the next.
    pub(crate) a_row: usize,
    /// From one step to the next.
    pub(crate) a_step: usize,
    /// A panel: element `(step, column)` of a segment is at `segment.b + step * panel + column`.
    pub(crate) b: &'a [f32],
    /// The inner product's runs.
    pub(crate) segments: &'a [Segment],
}

/// What happens to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TileMode {
    /// It is overwritten.
    Store,
    /// It is added to.
    Add,
}

/// `out[row, column] = (or +=) product` for `n_rows` rows and `n_columns` columns, at most a panel's.
///
/// Rows of `out` are `out_row` apart.
///
/// # Panics
///
/// When an operand is shorter than its segments say: a bug of the caller.
#[inline(always)]
pub(crate) fn multiply_rows<L: Lanes>(
    operands: Operands<'_>,
    n_rows: usize,
    out: &mut [f32],
    out_row: usize,
    n_columns: usize,
    mode: TileMode,
) {
    // Tiles of nearly the same height: a full tile and a rest of one row would leave the multipliers idle.
    let n_tiles = n_rows.div_ceil(L::ROWS);
    let mut row = 0;
    for tile in 0..n_tiles {
        let end = n_rows * (tile + 1) / n_tiles;
        let tile_operands = Operands { a: &operands.a[row * operands.a_row..], ..operands };
        let tile_out = &mut out[row * out_row..];
        match end - row {
            1 => multiply_tile::<L, 1>(tile_operands, tile_out, out_row, n_columns, mode),
            2 => multiply_tile::<L, 2>(tile_operands, tile_out, out_row, n_columns, mode),
            3 => multiply_tile::<L, 3>(tile_operands, tile_out, out_row, n_columns, mode),
            4 => multiply_tile::<L, 4>(tile_operands, tile_out, out_row, n_columns, mode),
            5 => multiply_tile::<L, 5>(tile_operands, tile_out, out_row, n_columns, mode),
            6 => multiply_tile::<L, 6>(tile_operands, tile_out, out_row, n_columns, mode),
            7 => multiply_tile::<L, 7>(tile_operands, tile_out, out_row, n_columns, mode),
            _ => multiply_tile::<L, 8>(tile_operands, tile_out, out_row, n_columns, mode),
        }
        row = end;
    }
}

#[inline(always)]
fn multiply_tile<L: Lanes, const M: usize>(
    operands: Operands<'_>,
    out: &mut [f32],
    out_row: usize,
    n_columns: usize,
    mode: TileMode,
) {
    if M > L::ROWS {
        return;
    }
    let Operands { a, a_row, a_step, b, segments } = operands;
    let panel = 2 * L::N;
    let mut sums = [[L::zero(); 2]; M];
    for segment in segments.iter().filter(|segment| segment.n_steps > 0) {
        let n_steps = segment.n_steps;
        assert!(segment.a + (M - 1) * a_row + (n_steps - 1) * a_step < a.len(), "rows end before their segment");
        assert!(segment.b + n_steps * panel <= b.len(), "panel ends before its segment");
        // SAFETY: the first element of the segment is inside `a` and `b`, asserted above.
        let (mut a_at, mut b_at) = unsafe { (a.as_ptr().add(segment.a), b.as_ptr().add(segment.b)) };
        for _ in 0..n_steps {
            // SAFETY: step `n_steps - 1` of row `M - 1` is inside `a`, and the whole of step `n_steps - 1` inside `b`,
            // asserted above; earlier rows and steps come before. The pointers end at most one step past the last, by
            // `wrapping_add`.
            unsafe {
                let (b_low, b_high) = (L::load(b_at), L::load(b_at.add(L::N)));
                for (m, sum) in sums.iter_mut().enumerate() {
                    let value = L::splat(*a_at.add(m * a_row));
                    sum[0] = L::mul_add(value, b_low, sum[0]);
                    sum[1] = L::mul_add(value, b_high, sum[1]);
                }
            }
            a_at = a_at.wrapping_add(a_step);
            b_at = b_at.wrapping_add(panel);
        }
    }
    for (m, sum) in sums.iter().enumerate() {
        let row = &mut out[m * out_row..][..n_columns];
        if n_columns == panel {
            // SAFETY: `row` has `panel` elements, which is two registers.
            unsafe { write_row::<L>(row.as_mut_ptr(), sum, mode) };
        } else {
            write_partial_row::<L>(row, sum, mode);
        }
    }
}

/// # Safety
///
/// Two registers can be read from and written to `row`.
#[inline(always)]
unsafe fn write_row<L: Lanes>(row: *mut f32, sum: &[L::V; 2], mode: TileMode) {
    for (half, &sum) in sum.iter().enumerate() {
        // SAFETY: the caller has room for two registers.
        unsafe {
            let to = row.add(half * L::N);
            match mode {
                TileMode::Store => L::store(to, sum),
                TileMode::Add => L::store(to, L::add(L::load(to), sum)),
            }
        }
    }
}

/// Room for the widest panel.
const MAX_PANEL: usize = 32;

#[inline(always)]
fn write_partial_row<L: Lanes>(row: &mut [f32], sum: &[L::V; 2], mode: TileMode) {
    const { assert!(2 * L::N <= MAX_PANEL) };
    let mut whole = [0.0; MAX_PANEL];
    // SAFETY: `whole` has room for two registers, asserted above.
    unsafe { write_row::<L>(whole.as_mut_ptr(), sum, TileMode::Store) };
    match mode {
        TileMode::Store => row.copy_from_slice(&whole[..row.len()]),
        TileMode::Add => {
            for (to, value) in row.iter_mut().zip(whole) {
                *to += value;
            }
        }
    }
}
