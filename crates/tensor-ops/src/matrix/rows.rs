//! Many rows by a matrix: tasks are blocks of rows, which write straight to the result.

use rayon::prelude::*;

use super::Packed;
use crate::{
    memory::{build_beside, build_two, split_mut},
    simd::{
        Addends, Family, Kernel, Lanes, Operands, Segment, TileMode, for_registers, gelu, multiply_rows,
        read_some, write_some,
    },
};

/// Values of operand and result of one task: 192 KiB, which stay in a core's second-level cache beside a panel.
const BLOCK_LEN: usize = 48 * 1024;

/// Rows in a block at most: more would not save reading panels.
const MAX_BLOCK_ROWS: usize = 96;

/// Rows of a block are a multiple of this, so that tiles of any family are full.
const ROWS_MULTIPLE: usize = 24;

/// `a * b (+ bias) (+ residual)`.
pub(crate) struct RowsProduct<'a> {
    /// `b`.
    pub(crate) packed: &'a Packed,
    /// One value a column of the result.
    pub(crate) bias: Option<&'a [f32]>,
    /// As many values as the result.
    pub(crate) residual: Option<&'a [f32]>,
}

impl RowsProduct<'_> {
    /// `b` alone.
    pub(crate) fn plain(packed: &Packed) -> RowsProduct<'_> {
        RowsProduct { packed, bias: None, residual: None }
    }

    fn n_block_rows(&self) -> usize {
        let fitting = BLOCK_LEN / (self.packed.n_steps + self.packed.n_columns);
        (fitting / ROWS_MULTIPLE * ROWS_MULTIPLE).clamp(ROWS_MULTIPLE, MAX_BLOCK_ROWS)
    }

    /// Lengths of the blocks of a matrix of as many rows as `a` and `width` columns.
    fn block_lens(&self, a: &[f32], width: usize) -> Vec<usize> {
        let (n_rows, n_block) = (a.len() / self.packed.n_steps, self.n_block_rows());
        (0..n_rows).step_by(n_block).map(|row| n_block.min(n_rows - row) * width).collect()
    }

    /// The product of the rows of `a`.
    pub(crate) fn multiply(&self, a: &[f32]) -> Vec<f32> {
        let a_blocks = a.chunks(self.n_block_rows() * self.packed.n_steps).collect();
        build_beside(&self.block_lens(a, self.packed.n_columns), a_blocks, |block, a, out| {
            self.block(block, a, out, false);
        })
    }

    /// GELU of the product, and its slopes.
    pub(crate) fn multiply_gelu(&self, a: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let a_len = self.n_block_rows() * self.packed.n_steps;
        build_two(&self.block_lens(a, self.packed.n_columns), |block, out, slopes| {
            self.block(
                block,
                &a[block * a_len..][..out.len() / self.packed.n_columns * self.packed.n_steps],
                out,
                false,
            );
            self.packed.family.run(Gelu { values: out, slopes: Some(slopes) });
        })
    }

    /// GELU of the product.
    pub(crate) fn multiply_gelu_only(&self, a: &[f32]) -> Vec<f32> {
        let a_blocks = a.chunks(self.n_block_rows() * self.packed.n_steps).collect();
        build_beside(&self.block_lens(a, self.packed.n_columns), a_blocks, |block, a, out| {
            self.block(block, a, out, false);
            self.packed.family.run(Gelu { values: out, slopes: None });
        })
    }

    /// Multiplies `a` by `factors` in place, one by one, and then by the matrix.
    pub(crate) fn multiply_scaled(&self, a: &mut [f32], factors: &[f32]) -> Vec<f32> {
        let n_steps = self.packed.n_steps;
        let lens = self.block_lens(a, self.packed.n_columns);
        let a_lens = self.block_lens(a, n_steps);
        let blocks =
            split_mut(a, &a_lens).into_iter().zip(factors.chunks(self.n_block_rows() * n_steps)).collect();
        build_beside(&lens, blocks, |block, (a, factors): (&mut [f32], &[f32]), out| {
            scale(self.packed.family, a, factors);
            self.block(block, a, out, false);
        })
    }

    /// Adds the product to `sum`.
    pub(crate) fn add_to(&self, a: &[f32], sum: &mut [f32]) {
        let lens = self.block_lens(a, self.packed.n_columns);
        let a_blocks = a.par_chunks(self.n_block_rows() * self.packed.n_steps);
        split_mut(sum, &lens).into_par_iter().zip(a_blocks).enumerate().for_each(|(block, (out, a))| {
            self.block(block, a, out, true);
        });
    }

    fn block(&self, block: usize, a: &[f32], out: &mut [f32], is_sum: bool) {
        let start = block * self.n_block_rows() * self.packed.n_columns;
        let residual = self.residual.map(|residual| &residual[start..][..out.len()]);
        self.packed.family.run(Block { product: self, a, residual, out, is_sum });
    }
}

/// `a[i] *= factors[i]`.
pub(crate) fn scale(family: Family, a: &mut [f32], factors: &[f32]) {
    struct Scale<'a>(&'a mut [f32], &'a [f32]);
    impl Kernel for Scale<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            for (a, factor) in self.0.iter_mut().zip(self.1) {
                *a *= factor;
            }
        }
    }
    family.run(Scale(a, factors));
}

struct Block<'a> {
    product: &'a RowsProduct<'a>,
    a: &'a [f32],
    residual: Option<&'a [f32]>,
    out: &'a mut [f32],
    is_sum: bool,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Packed { n_steps, n_columns, .. } = *self.product.packed;
        let segments = [Segment { a: 0, b: 0, n_steps }];
        let n_rows = self.a.len() / n_steps;
        for (first, b) in self.product.packed.panels() {
            let operands =
                Operands { a: self.a, a_row: n_steps, a_step: 1, b, b_step: 2 * L::N, segments: &segments };
            let addends = Addends {
                row: self.product.bias.map(|bias| &bias[first..]),
                rows: self.residual.map(|residual| &residual[first..]),
            };
            let mode = if self.is_sum { TileMode::Add } else { TileMode::StoreWith(addends) };
            let width = (2 * L::N).min(n_columns - first);
            multiply_rows::<L>(operands, n_rows, &mut self.out[first..], n_columns, width, mode);
        }
    }
}

struct Gelu<'a> {
    values: &'a mut [f32],
    slopes: Option<&'a mut [f32]>,
}

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { values, slopes } = self;
        match slopes {
            None => {
                for_registers!(L, values.len(), |at, n| {
                    let (value, _) = gelu::<L>(read_some::<L>(values, at, n, 0.0));
                    write_some::<L>(values, at, n, value);
                });
            }
            Some(slopes) => {
                for_registers!(L, values.len(), |at, n| {
                    let (value, slope) = gelu::<L>(read_some::<L>(values, at, n, 0.0));
                    write_some::<L>(values, at, n, value);
                    write_some::<L>(slopes, at, n, slope);
                });
            }
        }
    }
}
