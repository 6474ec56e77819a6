//! The gradient of weights: a product whose inner dimension is long, and both of whose operands lie the wrong way.

use rayon::prelude::*;

use crate::{
    memory::build,
    simd::{Family, Kernel, Lanes, Operands, Segment, TileMode, multiply_rows},
};

/// Rows that are packed at a time, at most: a panel of them is half the first-level cache.
const PASS_ROWS: usize = 256;

/// Columns of the result that a task computes, at most: each task packs its rows of `x` anew.
const TASK_COLUMNS: usize = 384;

/// Tasks to cut the work into at least, if there are rows enough.
const N_TASKS: usize = 8;

/// What [`outer_products`] sums.
pub(crate) struct OuterProducts {
    /// `(I, O)`: the sum over rows of `x` (outer product) `gradient`.
    pub(crate) weight: Vec<f32>,
    /// `O`: the sum over rows of `gradient`.
    pub(crate) bias: Vec<f32>,
}

/// The gradients of the weights and the bias of a linear layer, from its inputs `(rows, I)` and the gradients of its
/// outputs `(rows, O)`.
pub(crate) fn outer_products(
    family: Family,
    x: &[f32],
    n_in: usize,
    gradient: &[f32],
    n_out: usize,
) -> OuterProducts {
    let n_rows = x.len() / n_in;
    let n_strips = n_out.div_ceil(TASK_COLUMNS);
    let width = n_out.div_ceil(n_strips).next_multiple_of(family.panel());
    let n_strips = n_out.div_ceil(width);
    let n_slices = N_TASKS.div_ceil(n_strips).min(n_rows.div_ceil(PASS_ROWS));
    let tasks: Vec<(usize, usize)> =
        (0..n_slices).flat_map(|slice| (0..n_strips).map(move |strip| (slice, strip))).collect();
    let partial: Vec<(Vec<f32>, Vec<f32>)> = tasks
        .into_par_iter()
        .map(|(slice, strip)| {
            let rows = n_rows * slice / n_slices..n_rows * (slice + 1) / n_slices;
            let first = strip * width;
            family.run(Task {
                x: &x[rows.start * n_in..rows.end * n_in],
                n_in,
                gradient: &gradient[rows.start * n_out..rows.end * n_out],
                n_out,
                first,
                n_columns: width.min(n_out - first),
            })
        })
        .collect();
    // Slices add up in their order.
    let n_sum_rows = (crate::memory::TASK_LEN / n_out).max(1);
    let lens: Vec<usize> =
        (0..n_in).step_by(n_sum_rows).map(|row| n_sum_rows.min(n_in - row) * n_out).collect();
    let weight = build(&lens, |part, out| {
        for (row, out) in out.chunks_exact_mut(n_out).enumerate() {
            let row = part * n_sum_rows + row;
            for (strip, out) in out.chunks_mut(width).enumerate() {
                for slice in 0..n_slices {
                    let values = &partial[slice * n_strips + strip].0[row * out.len()..][..out.len()];
                    for (out, value) in out.iter_mut().zip(values) {
                        *out += value;
                    }
                }
            }
        }
    });
    let bias_at = |column: usize| {
        let of_slice = |slice: usize| f64::from(partial[slice * n_strips + column / width].1[column % width]);
        (0..n_slices).map(of_slice).sum::<f64>() as f32
    };
    OuterProducts { weight, bias: (0..n_out).map(bias_at).collect() }
}

/// Some rows, and some columns of the gradient.
struct Task<'a> {
    x: &'a [f32],
    n_in: usize,
    gradient: &'a [f32],
    n_out: usize,
    first: usize,
    n_columns: usize,
}

impl Kernel for Task<'_> {
    /// `(I, columns)`, and `columns`.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Output {
        let Self { n_in, n_out, n_columns, .. } = self;
        let panel = 2 * L::N;
        let n_panels = n_columns.div_ceil(panel);
        let n_rows = self.x.len() / n_in;
        let n_passes = n_rows.div_ceil(PASS_ROWS);
        let n_pass_rows = n_rows.div_ceil(n_passes);
        let mut sum = vec![0.0; n_in * n_columns];
        let mut column_sums = vec![0.0; n_panels * panel];
        let mut packed_x = vec![0.0; n_in.div_ceil(L::ROWS) * L::ROWS * n_pass_rows];
        let mut packed_gradient = vec![0.0; panel * n_pass_rows];
        for pass in 0..n_passes {
            let rows = n_rows * pass / n_passes..n_rows * (pass + 1) / n_passes;
            let n_steps = rows.len();
            let x = &self.x[rows.start * n_in..rows.end * n_in];
            let gradient = &self.gradient[rows.start * n_out..rows.end * n_out];
            pack_rows(x, n_in, L::ROWS, &mut packed_x);
            let segments = [Segment { a: 0, b: 0, n_steps }];
            let mode = if pass == 0 { TileMode::Store } else { TileMode::Add };
            for panel_idx in 0..n_panels {
                let first = panel_idx * panel;
                let width = panel.min(n_columns - first);
                let column_sums = &mut column_sums[first..][..panel];
                pack_and_sum::<L>(
                    &gradient[self.first + first..],
                    n_out,
                    width,
                    &mut packed_gradient[..n_steps * panel],
                    column_sums,
                );
                for (a_idx, a) in packed_x[..n_in.div_ceil(L::ROWS) * L::ROWS * n_steps]
                    .chunks_exact(L::ROWS * n_steps)
                    .enumerate()
                {
                    let first_row = a_idx * L::ROWS;
                    let operands =
                        Operands { a, a_row: 1, a_step: L::ROWS, b: &packed_gradient, segments: &segments };
                    let out = &mut sum[first_row * n_columns + first..];
                    multiply_rows::<L>(operands, L::ROWS.min(n_in - first_row), out, n_columns, width, mode);
                }
            }
        }
        column_sums.truncate(n_columns);
        (sum, column_sums)
    }
}

/// Rows of `n_in` values to `[group of columns][row][column]`, with `height` columns in a group.
#[inline(always)]
fn pack_rows(x: &[f32], n_in: usize, height: usize, packed: &mut [f32]) {
    let n_rows = x.len() / n_in;
    for (group, to) in packed.chunks_exact_mut(height * n_rows).take(n_in.div_ceil(height)).enumerate() {
        let first = group * height;
        let width = height.min(n_in - first);
        for (to, x) in to.chunks_exact_mut(height).zip(x.chunks_exact(n_in)) {
            if width == height {
                to.copy_from_slice(&x[first..first + height]);
            } else {
                to[..width].copy_from_slice(&x[first..]);
            }
        }
    }
}

/// Packs a panel, and adds its rows to `sums`.
#[inline(always)]
fn pack_and_sum<L: Lanes>(from: &[f32], from_row: usize, width: usize, packed: &mut [f32], sums: &mut [f32]) {
    let panel = 2 * L::N;
    for (row, to) in packed.chunks_exact_mut(panel).enumerate() {
        let from = &from[row * from_row..];
        if width == panel {
            to.copy_from_slice(&from[..panel]);
        } else {
            to[..width].copy_from_slice(&from[..width]);
            to[width..].fill(0.0);
        }
        for (sum, value) in sums.iter_mut().zip(&*to) {
            *sum += value;
        }
    }
}
