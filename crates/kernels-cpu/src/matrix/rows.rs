//! Many rows by a matrix: tasks are blocks of rows, which write straight to the result.

use rayon::prelude::*;

use super::{Onto, Packed};
use crate::{
    Precision,
    cut::lens,
    memory::{ELEMENTWISE_LEN, build_beside, change, split_mut},
    simd::{
        Addends, Element, Family, Kernel, Lanes, Lines, Operands, Segment, TileMode, for_registers, gelu,
        multiply_rows_summed, read_some, write_some,
    },
    values::{Lent, Operand, Summed, Values},
};

/// Bytes of operand and result of one task, which stay in a core's second-level cache beside a panel, and beside those of
/// the next task, which are fetched meanwhile.
const BLOCK_BYTES: usize = 192 * 1024;

/// Rows in a block at most: more would not save reading panels.
const MAX_BLOCK_ROWS: usize = 96;

/// Rows of a block are a multiple of this, so that tiles of any family are full.
const ROWS_MULTIPLE: usize = 24;

/// Tiles between two fetches of memory for the next block: fewer would cost more calls, more would have too many lines of
/// memory on the way at a time.
const TILES_AT_ONCE: usize = 2;

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

    /// How the rows of a left operand are cut into blocks, for a result in `precision`.
    ///
    /// # Panics
    ///
    /// When the rows are not whole, or the addends are not those of as many rows or columns.
    fn cut(&self, a: Lent<'_>, precision: Precision) -> Cut {
        let Packed { n_inner, n_columns, .. } = *self.packed;
        assert!(a.len().is_multiple_of(n_inner), "rows are whole");
        let out_len = a.len() / n_inner * n_columns;
        assert!(self.bias.is_none_or(|bias| bias.len() == n_columns), "a bias has a value for each column");
        assert!(
            self.residual.is_none_or(|residual| residual.len() == out_len),
            "a residual is like the result"
        );
        let a_precision = if matches!(a, Lent::F32(_)) { Precision::F32 } else { Precision::Bf16 };
        let row_bytes = n_inner * bytes_of(a_precision) + n_columns * bytes_of(precision);
        let fitting = BLOCK_BYTES / row_bytes / ROWS_MULTIPLE * ROWS_MULTIPLE;
        Cut { n_rows: a.len() / n_inner, in_block: fitting.clamp(ROWS_MULTIPLE, MAX_BLOCK_ROWS), n_inner }
    }

    /// The product of the rows of `a`.
    ///
    /// # Panics
    ///
    /// When the rows are not whole, or the bias has not a value for each column, or the residual not as many as the result.
    pub fn multiply(&self, a: Lent<'_>, precision: Precision) -> Values {
        self.multiply_summed(a, precision, false).values
    }

    /// The product of the rows of `a`; with the sums of its columns, if they are asked for.
    ///
    /// # Panics
    ///
    /// As [`multiply`](Self::multiply); and if sums are asked for, and something is added to the product, which they would not
    /// have.
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
        let (cut, summed) = (self.cut(a, O::PRECISION), is_summed.then_some(n_columns));
        Values::build_kept(
            self.packed.family,
            &cut.lens(n_columns),
            cut.blocks(a),
            summed,
            |block, a, out: &mut [O], sums| {
                self.block(cut.start(block), a, out, Onto::Nothing(sums));
            },
        )
    }

    /// GELU of the product, and its slopes.
    ///
    /// # Panics
    ///
    /// As [`multiply`](Self::multiply).
    pub fn multiply_gelu(&self, a: Lent<'_>, precision: Precision) -> (Values, Values) {
        let cut = self.cut(a, precision);
        let blocks = cut.blocks(a);
        Values::build_two(precision, &cut.lens(self.packed.n_columns), |block, out, slopes| {
            self.block(cut.start(block), blocks[block], out, Onto::Nothing(None));
            self.packed.family.run(Gelu { values: out, slopes: Some(slopes) });
        })
    }

    /// GELU of the product.
    ///
    /// # Panics
    ///
    /// As [`multiply`](Self::multiply).
    pub fn multiply_gelu_only(&self, a: Lent<'_>, precision: Precision) -> Values {
        let cut = self.cut(a, precision);
        Values::build_beside(precision, &cut.lens(self.packed.n_columns), cut.blocks(a), |block, a, out| {
            self.block(cut.start(block), a, out, Onto::Nothing(None));
            self.packed.family.run(Gelu { values: out, slopes: None });
        })
    }

    /// Multiplies `a` by `factors` in place, one by one, and then by the matrix.
    ///
    /// # Panics
    ///
    /// As [`multiply`](Self::multiply), and when there is not a factor for each value.
    pub fn multiply_scaled(&self, a: &mut Values, factors: Lent<'_>, precision: Precision) -> Values {
        match (a, precision) {
            (Values::F32(a), Precision::F32) => Values::F32(self.multiply_scaled_to(a, factors)),
            (Values::F32(a), Precision::Bf16) => Values::Bf16(self.multiply_scaled_to(a, factors)),
            (Values::Bf16(a), Precision::F32) => Values::F32(self.multiply_scaled_to(a, factors)),
            (Values::Bf16(a), Precision::Bf16) => Values::Bf16(self.multiply_scaled_to(a, factors)),
        }
    }

    fn multiply_scaled_to<A: Operand, O: Operand>(&self, a: &mut [A], factors: Lent<'_>) -> Vec<O> {
        assert_eq!(a.len(), factors.len(), "there is a factor for each value");
        let cut = self.cut(A::lend(a), O::PRECISION);
        let a_blocks = split_mut(a, &cut.lens(self.packed.n_inner)).into_iter();
        let blocks = a_blocks.zip(cut.blocks(factors)).collect();
        let lens = cut.lens(self.packed.n_columns);
        build_beside(&lens, blocks, |block, (a, factors): (&mut [A], Lent<'_>), out: &mut [O]| {
            scale_by(self.packed.family, a, factors);
            self.block(cut.start(block), A::lend(a), out, Onto::Nothing(None));
        })
    }

    /// Adds the product to `sum`.
    ///
    /// # Panics
    ///
    /// As [`multiply`](Self::multiply), and when the sum has not as many values as the product.
    pub fn add_to(&self, a: Lent<'_>, sum: &mut Values) {
        match sum {
            Values::F32(sum) => self.add_onto(a, sum),
            Values::Bf16(sum) => self.add_onto(a, sum),
        }
    }

    fn add_onto<O: Operand>(&self, a: Lent<'_>, sum: &mut [O]) {
        let cut = self.cut(a, O::PRECISION);
        change(sum, &cut.lens(self.packed.n_columns), cut.blocks(a), |block, a, out| {
            self.block(cut.start(block), a, out, Onto::Sum);
        });
    }

    /// The rows of `a`, the first of which is row `first` of the product.
    fn block<O: Element>(&self, first: usize, a: Lent<'_>, out: &mut [O], onto: Onto<'_>) {
        let start = first * self.packed.n_columns;
        let residual = self.residual.map(|residual| residual.part(start..start + out.len()));
        match residual {
            None => self.block_with(a, None, out, onto),
            Some(residual) => residual.with(|residual| self.block_with(a, Some(residual), out, onto)),
        }
    }

    fn block_with<O: Element>(&self, a: Lent<'_>, residual: Option<&[f32]>, out: &mut [O], onto: Onto<'_>) {
        let family = self.packed.family;
        let read = match a {
            Lent::F32(a) => Lines::read_after(a),
            Lent::Bf16(a) => Lines::read_after(a),
        };
        let ahead = [read, Lines::written_after(out)];
        if self.packed.is_in_pairs {
            a.with(|a: &[u16]| family.run(Block { product: self, a, residual, out, onto, ahead }));
        } else {
            a.with(|a: &[f32]| family.run(Block { product: self, a, residual, out, onto, ahead }));
        }
    }
}

fn bytes_of(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    }
}

/// Rows of a left operand in blocks.
#[derive(Clone, Copy)]
struct Cut {
    n_rows: usize,
    /// Rows of a block, but for the last.
    in_block: usize,
    /// Values of a row.
    n_inner: usize,
}

impl Cut {
    /// The first row of a block.
    fn start(self, block: usize) -> usize {
        block * self.in_block
    }

    /// Values of the blocks of as many rows of `width` values.
    fn lens(self, width: usize) -> Vec<usize> {
        lens(self.n_rows * width, self.in_block * width)
    }

    /// The blocks of a left operand.
    fn blocks(self, a: Lent<'_>) -> Vec<Lent<'_>> {
        a.chunks(self.in_block * self.n_inner)
    }
}

/// `a[i] *= factors[i]`.
///
/// # Panics
///
/// When there is not a factor for each value.
pub fn scale(family: Family, a: &mut Values, factors: &Values) {
    fn by_parts<A: Operand>(family: Family, a: &mut [A], factors: Lent<'_>) {
        let parts = a.par_chunks_mut(ELEMENTWISE_LEN).zip(factors.chunks(ELEMENTWISE_LEN));
        parts.for_each(|(a, factors)| scale_by(family, a, factors));
    }
    assert_eq!(a.len(), factors.len(), "there is a factor for each value");
    match a {
        Values::F32(a) => by_parts(family, a, factors.lend()),
        Values::Bf16(a) => by_parts(family, a, factors.lend()),
    }
}

fn scale_by<A: Element>(family: Family, a: &mut [A], factors: Lent<'_>) {
    match factors {
        Lent::F32(factors) => family.run(Scale { a, factors }),
        Lent::Bf16(factors) => family.run(Scale { a, factors }),
    }
}

struct Scale<'a, A, F> {
    a: &'a mut [A],
    factors: &'a [F],
}

impl<A: Element, F: Element> Kernel for Scale<'_, A, F> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { a, factors } = self;
        for_registers!(L, a.len(), |at, n| {
            let scaled = L::mul(read_some::<L, A>(a, at, n, 0.0), read_some::<L, F>(factors, at, n, 0.0));
            write_some::<L, A>(a, at, n, scaled);
        });
    }
}

struct Block<'a, E, O> {
    product: &'a RowsProduct<'a>,
    a: &'a [E],
    residual: Option<&'a [f32]>,
    out: &'a mut [O],
    onto: Onto<'a>,
    /// What the next block reads and writes, most likely on the same core.
    ahead: [Lines; 2],
}

impl<E: Element, O: Element> Kernel for Block<'_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let Packed { n_inner, n_columns, .. } = *self.product.packed;
        let segments = [Segment { a: 0, b: 0, n_steps: n_inner / E::PER_STEP }];
        let n_rows = self.a.len() / n_inner;
        let at_once = TILES_AT_ONCE * L::ROWS;
        let n_calls = n_rows.div_ceil(at_once) * n_columns.div_ceil(2 * L::N);
        let lines_per_call = self.ahead.each_ref().map(|lines| lines.len().div_ceil(n_calls.max(1)));
        for (first, b) in self.product.packed.panels() {
            let width = (2 * L::N).min(n_columns - first);
            let is_sum = matches!(self.onto, Onto::Sum);
            let mut moments = self.onto.moments();
            for row in (0..n_rows).step_by(at_once) {
                for (lines, &n) in self.ahead.iter_mut().zip(&lines_per_call) {
                    lines.fetch(n);
                }
                let operands = Operands {
                    a: &self.a[row * n_inner..],
                    a_row: n_inner,
                    a_step: E::PER_STEP,
                    b: E::of_words(b),
                    b_step: 2 * L::N * E::PER_STEP,
                    segments: &segments,
                };
                let start = row * n_columns + first;
                let addends = Addends {
                    row: self.product.bias.map(|bias| &bias[first..]),
                    rows: self.residual.map(|residual| &residual[start..]),
                };
                let mode = if is_sum { TileMode::Add } else { TileMode::StoreWith(addends) };
                let (n_rows, out) = (at_once.min(n_rows - row), &mut self.out[start..]);
                multiply_rows_summed::<L, _, _>(
                    operands,
                    n_rows,
                    out,
                    n_columns,
                    width,
                    mode,
                    moments.as_mut(),
                );
            }
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
