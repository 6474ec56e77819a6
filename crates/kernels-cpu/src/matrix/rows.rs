//! Many rows by a matrix: tasks are blocks of rows, which write straight to the result.

use super::{Onto, Packed};
use crate::{
    Precision,
    memory::{build_beside, change, split_mut},
    simd::{
        Addends, Element, Family, Kernel, Lanes, Operands, Segment, TileMode, for_registers, gelu,
        multiply_rows_summed, read_some, write_some,
    },
    values::{Lent, Operand, Summed, Values},
};

/// Values of operand and result of one task: 192 KiB, which stay in a core's second-level cache beside a panel.
const BLOCK_LEN: usize = 48 * 1024;

/// Rows in a block at most: more would not save reading panels.
const MAX_BLOCK_ROWS: usize = 96;

/// Rows of a block are a multiple of this, so that tiles of any family are full.
const ROWS_MULTIPLE: usize = 24;

/// `a * b (+ bias) (+ residual)`.
pub struct RowsProduct<'a> {
    /// `b`.
    pub packed: &'a Packed,
    /// One value a column of the result.
    pub bias: Option<&'a [f32]>,
    /// As many values as the result.
    pub residual: Option<Lent<'a>>,
}

impl RowsProduct<'_> {
    /// `b` alone.
    pub fn plain(packed: &Packed) -> RowsProduct<'_> {
        RowsProduct { packed, bias: None, residual: None }
    }

    fn n_block_rows(&self) -> usize {
        let fitting = BLOCK_LEN / (self.packed.n_inner + self.packed.n_columns);
        (fitting / ROWS_MULTIPLE * ROWS_MULTIPLE).clamp(ROWS_MULTIPLE, MAX_BLOCK_ROWS)
    }

    /// Lengths of the blocks of a matrix of as many rows as a left operand of `a_len` values, and `width` columns.
    fn block_lens(&self, a_len: usize, width: usize) -> Vec<usize> {
        let (n_rows, n_block) = (a_len / self.packed.n_inner, self.n_block_rows());
        (0..n_rows).step_by(n_block).map(|row| n_block.min(n_rows - row) * width).collect()
    }

    /// The blocks of a left operand.
    fn blocks<'a>(&self, a: Lent<'a>) -> Vec<Lent<'a>> {
        a.chunks(self.n_block_rows() * self.packed.n_inner)
    }

    /// The product of the rows of `a`.
    pub fn multiply(&self, a: Lent<'_>, precision: Precision) -> Values {
        self.multiply_summed(a, precision, false).values
    }

    /// The product of the rows of `a`; with the sums of its columns, if they are asked for.
    ///
    /// # Panics
    ///
    /// If sums are asked for, and something is added to the product, which they would not have.
    pub fn multiply_summed(&self, a: Lent<'_>, precision: Precision, is_summed: bool) -> Summed {
        let adds_nothing = self.bias.is_none() && self.residual.is_none();
        assert!(adds_nothing || !is_summed, "sums are of the product alone");
        match precision {
            Precision::F32 => self.multiply_to::<f32>(a, is_summed),
            Precision::Bf16 => self.multiply_to::<u16>(a, is_summed),
        }
    }

    fn multiply_to<O: Operand>(&self, a: Lent<'_>, is_summed: bool) -> Summed {
        let n_columns = self.packed.n_columns;
        let lens = self.block_lens(a.len(), n_columns);
        Values::build_kept(
            self.packed.family,
            &lens,
            self.blocks(a),
            is_summed.then_some(n_columns),
            |block, a, out: &mut [O], sums| {
                self.block(block, a, out, Onto::Nothing(sums));
            },
        )
    }

    /// GELU of the product, and its slopes.
    pub fn multiply_gelu(&self, a: Lent<'_>, precision: Precision) -> (Values, Values) {
        let blocks = self.blocks(a);
        let lens = self.block_lens(a.len(), self.packed.n_columns);
        Values::build_two(precision, &lens, |block, out, slopes| {
            self.block(block, blocks[block], out, Onto::Nothing(None));
            self.packed.family.run(Gelu { values: out, slopes: Some(slopes) });
        })
    }

    /// GELU of the product.
    pub fn multiply_gelu_only(&self, a: Lent<'_>, precision: Precision) -> Values {
        let lens = self.block_lens(a.len(), self.packed.n_columns);
        Values::build_beside(precision, &lens, self.blocks(a), |block, a, out| {
            self.block(block, a, out, Onto::Nothing(None));
            self.packed.family.run(Gelu { values: out, slopes: None });
        })
    }

    /// Multiplies `a` by `factors` in place, one by one, and then by the matrix.
    pub fn multiply_scaled(&self, a: &mut [f32], factors: Lent<'_>) -> Vec<f32> {
        let lens = self.block_lens(a.len(), self.packed.n_columns);
        let a_lens = self.block_lens(a.len(), self.packed.n_inner);
        let blocks = split_mut(a, &a_lens).into_iter().zip(self.blocks(factors)).collect();
        build_beside(&lens, blocks, |block, (a, factors): (&mut [f32], Lent<'_>), out| {
            factors.with(|factors: &[f32]| scale(self.packed.family, a, factors));
            self.block(block, Lent::F32(a), out, Onto::Nothing(None));
        })
    }

    /// Adds the product to `sum`.
    pub fn add_to(&self, a: Lent<'_>, sum: &mut Values) {
        match sum {
            Values::F32(sum) => self.add_onto(a, sum),
            Values::Bf16(sum) => self.add_onto(a, sum),
        }
    }

    fn add_onto<O: Element>(&self, a: Lent<'_>, sum: &mut [O]) {
        let lens = self.block_lens(a.len(), self.packed.n_columns);
        change(sum, &lens, self.blocks(a), |block, a, out| self.block(block, a, out, Onto::Sum));
    }

    fn block<O: Element>(&self, block: usize, a: Lent<'_>, out: &mut [O], onto: Onto<'_>) {
        let start = block * self.n_block_rows() * self.packed.n_columns;
        let residual = self.residual.map(|residual| residual.part(start..start + out.len()));
        match residual {
            None => self.block_with(a, None, out, onto),
            Some(residual) => residual.with(|residual| self.block_with(a, Some(residual), out, onto)),
        }
    }

    fn block_with<O: Element>(&self, a: Lent<'_>, residual: Option<&[f32]>, out: &mut [O], onto: Onto<'_>) {
        let family = self.packed.family;
        if self.packed.is_in_pairs {
            a.with(|a: &[u16]| family.run(Block { product: self, a, residual, out, onto }));
        } else {
            a.with(|a: &[f32]| family.run(Block { product: self, a, residual, out, onto }));
        }
    }
}

/// `a[i] *= factors[i]`.
pub fn scale(family: Family, a: &mut [f32], factors: &[f32]) {
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

struct Block<'a, E, O> {
    product: &'a RowsProduct<'a>,
    a: &'a [E],
    residual: Option<&'a [f32]>,
    out: &'a mut [O],
    onto: Onto<'a>,
}

impl<E: Element, O: Element> Kernel for Block<'_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let Packed { n_inner, n_columns, .. } = *self.product.packed;
        let segments = [Segment { a: 0, b: 0, n_steps: n_inner / E::PER_STEP }];
        let n_rows = self.a.len() / n_inner;
        for (first, b) in self.product.packed.panels() {
            let operands = Operands {
                a: self.a,
                a_row: n_inner,
                a_step: E::PER_STEP,
                b: E::of_words(b),
                b_step: 2 * L::N * E::PER_STEP,
                segments: &segments,
            };
            let addends = Addends {
                row: self.product.bias.map(|bias| &bias[first..]),
                rows: self.residual.map(|residual| &residual[first..]),
            };
            let width = (2 * L::N).min(n_columns - first);
            let out = &mut self.out[first..];
            let is_sum = matches!(self.onto, Onto::Sum);
            let mode = if is_sum { TileMode::Add } else { TileMode::StoreWith(addends) };
            let mut moments = self.onto.moments();
            multiply_rows_summed::<L, _, _>(operands, n_rows, out, n_columns, width, mode, moments.as_mut());
            self.onto.keep(first, width, moments.as_ref());
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
                    let (value, _) = gelu::<L>(read_some::<L, _>(values, at, n, 0.0));
                    write_some::<L, _>(values, at, n, value);
                });
            }
            Some(slopes) => {
                for_registers!(L, values.len(), |at, n| {
                    let (value, slope) = gelu::<L>(read_some::<L, _>(values, at, n, 0.0));
                    write_some::<L, _>(values, at, n, value);
                    write_some::<L, _>(slopes, at, n, slope);
                });
            }
        }
    }
}
