//! The one matrix product behind convolutions, their gradients, linear layers and contrastive losses.
#![allow(unsafe_code, reason = "register tiles: a bounds check a step would halve the speed")]

use super::{
    Element, Kernel, Lanes,
    bounds::has_room,
    moments::{MAX_PANEL, Moments},
};

/// A run of steps of the inner product: where it starts in both operands, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Start in the rows operand, relative to the row, in values.
    pub(crate) a: usize,
    /// Start in the panel, in values.
    pub(crate) b: usize,
    /// Steps.
    pub(crate) n_steps: usize,
}

/// What a tile multiplies: `sum over segments and steps of a[row, step] * b[step, column]`.
///
/// An element is what a step multiplies: one `f32`, or two bfloat16 side by side. All distances are in values.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a, E> {
    /// Values whose element `(row, step)` of a segment is at `segment.a + row * a_row + step * a_step`.
    pub(crate) a: &'a [E],
    /// From one row to the next.
    pub(crate) a_row: usize,
    /// From one step to the next.
    pub(crate) a_step: usize,
    /// Values whose element `(step, column)` of a segment is at `segment.b + step * b_step`, and `column` elements on.
    pub(crate) b: &'a [E],
    /// From one step to the next: a panel's width in values if `b` is a packed panel.
    pub(crate) b_step: usize,
    /// The inner product's runs.
    pub(crate) segments: &'a [Segment],
}

impl<'a, E: Element> Operands<'a, E> {
    /// Both packed: rows in groups of a full tile, a row's values of a step side by side, and columns in panels.
    pub(crate) fn packed<L: Lanes>(rows: &'a [f32], columns: &'a [f32], segments: &'a [Segment]) -> Self {
        Self {
            a: E::of_words(rows),
            a_row: E::PER_STEP,
            a_step: L::ROWS * E::PER_STEP,
            b: E::of_words(columns),
            b_step: 2 * L::N * E::PER_STEP,
            segments,
        }
    }
}

/// What happens to what is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TileMode<'a> {
    /// It is overwritten.
    Store,
    /// It is added to.
    Add,
    /// It is overwritten by a sum of the product and others.
    StoreWith(Addends<'a>),
}

/// What is added to a product.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Addends<'a> {
    /// One value a column of the panel, to every row: a bias.
    pub(crate) row: Option<&'a [f32]>,
    /// One value a row and column, laid like the output: a residual.
    pub(crate) rows: Option<&'a [f32]>,
}

/// `out[row, column] = (or +=) product` for `n_rows` rows and `n_columns` columns, at most a panel's.
///
/// Rows of `out` are `out_row` apart. Sums are in single precision, and rounded once where `out` is bfloat16.
///
/// # Panics
///
/// When an operand is shorter than its segments say: a bug of the caller.
#[inline(always)]
pub(crate) fn multiply_rows<L: Lanes, E: Element, O: Element>(
    operands: Operands<'_, E>,
    n_rows: usize,
    out: &mut [O],
    out_row: usize,
    n_columns: usize,
    mode: TileMode<'_>,
) {
    multiply_rows_summed::<L, E, O>(operands, n_rows, out, out_row, n_columns, mode, None);
}

/// [`multiply_rows`] that adds the product to `moments`, if there are any, before anything is added to it and it is rounded.
///
/// # Panics
///
/// As [`multiply_rows`].
#[inline(always)]
pub(crate) fn multiply_rows_summed<L: Lanes, E: Element, O: Element>(
    operands: Operands<'_, E>,
    n_rows: usize,
    out: &mut [O],
    out_row: usize,
    n_columns: usize,
    mode: TileMode<'_>,
    moments: Option<&mut Moments>,
) {
    L::outlined(MultiplyRows { operands, n_rows, out, out_row, n_columns, mode, moments });
}

/// [`multiply_rows`] of rows that lie in groups of a full tile each, `group_len` values apart.
///
/// # Panics
///
/// As [`multiply_rows`].
#[inline(always)]
pub(crate) fn multiply_groups<L: Lanes, E: Element>(
    operands: Operands<'_, E>,
    group_len: usize,
    n_rows: usize,
    out: &mut [f32],
    out_row: usize,
    n_columns: usize,
    mode: TileMode<'_>,
) {
    L::outlined(MultiplyGroups { operands, group_len, n_rows, out, out_row, n_columns, mode });
}

/// The arguments of [`multiply_rows`] and [`multiply_rows_summed`].
struct MultiplyRows<'a, E, O> {
    operands: Operands<'a, E>,
    n_rows: usize,
    out: &'a mut [O],
    out_row: usize,
    n_columns: usize,
    mode: TileMode<'a>,
    moments: Option<&'a mut Moments>,
}

impl<E: Element, O: Element> Kernel for MultiplyRows<'_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { operands, n_rows, out, out_row, n_columns, mode, mut moments } = self;
        // Tiles of nearly the same height: a full tile and a rest of one row would leave the multipliers idle.
        let n_tiles = n_rows.div_ceil(L::ROWS);
        let mut row = 0;
        for tile in 0..n_tiles {
            let end = n_rows * (tile + 1) / n_tiles;
            // Rows without segments need not be there. The product cannot wrap: with segments, the tile before was asserted to be
            // inside of `a`.
            let start = (row * operands.a_row).min(operands.a.len());
            let operands = Operands { a: &operands.a[start..], ..operands };
            let to = TileOfSums {
                out: &mut out[row * out_row..],
                out_row,
                n_columns,
                mode: mode.starting_at(row * out_row),
                moments: moments.as_deref_mut(),
            };
            to.multiply_rows::<L, E>(end - row, operands);
            row = end;
        }
    }
}

/// The arguments of [`multiply_groups`].
struct MultiplyGroups<'a, E> {
    operands: Operands<'a, E>,
    group_len: usize,
    n_rows: usize,
    out: &'a mut [f32],
    out_row: usize,
    n_columns: usize,
    mode: TileMode<'a>,
}

impl<E: Element> Kernel for MultiplyGroups<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { operands, group_len, n_rows, out, out_row, n_columns, mode } = self;
        for (group, row) in (0..n_rows).step_by(L::ROWS).enumerate() {
            let operands = Operands { a: &operands.a[group * group_len..], ..operands };
            let to = TileOfSums {
                out: &mut out[row * out_row..],
                out_row,
                n_columns,
                mode: mode.starting_at(row * out_row),
                moments: None,
            };
            to.multiply_rows::<L, E>(L::ROWS.min(n_rows - row), operands);
        }
    }
}

/// Where a tile's sums go.
struct TileOfSums<'a, O> {
    out: &'a mut [O],
    out_row: usize,
    n_columns: usize,
    mode: TileMode<'a>,
    moments: Option<&'a mut Moments>,
}

impl<O: Element> TileOfSums<'_, O> {
    /// A tile of `n_rows` rows.
    ///
    /// # Panics
    ///
    /// When that is none, or more than [`Lanes::ROWS`].
    #[inline(always)]
    fn multiply_rows<L: Lanes, E: Element>(self, n_rows: usize, operands: Operands<'_, E>) {
        match n_rows {
            1 => self.multiply::<L, E, 1>(operands),
            2 => self.multiply::<L, E, 2>(operands),
            3 => self.multiply::<L, E, 3>(operands),
            4 => self.multiply::<L, E, 4>(operands),
            5 => self.multiply::<L, E, 5>(operands),
            6 => self.multiply::<L, E, 6>(operands),
            7 => self.multiply::<L, E, 7>(operands),
            8 => self.multiply::<L, E, 8>(operands),
            _ => panic!("a tile of {n_rows} rows"),
        }
    }

    #[inline(always)]
    fn multiply<L: Lanes, E: Element, const M: usize>(self, operands: Operands<'_, E>) {
        const { assert!(2 * L::N <= MAX_PANEL) };
        // Known to the compiler: there is no code for a tile whose sums have no registers.
        assert!(M <= L::ROWS, "a tile of {M} rows");
        let Self { out, out_row, n_columns, mode, moments } = self;
        let sums = sum_segments::<L, E, M>(operands);
        if let Some(moments) = moments {
            for register in 0..2 {
                moments.add::<L>(register, &sums.map(|row| row[register]));
            }
        }
        if n_columns == 2 * L::N {
            write_panel::<L, O, M>(sums, out, out_row, mode);
            return;
        }
        let mut product = [[0.0; MAX_PANEL]; M];
        write_panel::<L, f32, M>(sums, product.as_flattened_mut(), MAX_PANEL, TileMode::Store);
        for (m, product) in product.iter().enumerate() {
            let row = &mut out[m * out_row..][..n_columns];
            write_row(row, &product[..n_columns], mode.starting_at(m * out_row));
        }
    }
}

impl<'a> TileMode<'a> {
    /// The mode of what starts at `start` of the output.
    #[inline(always)]
    fn starting_at(self, start: usize) -> Self {
        match self {
            Self::StoreWith(Addends { row, rows: Some(rows) }) => {
                Self::StoreWith(Addends { row, rows: Some(&rows[start..]) })
            }
            other => other,
        }
    }
}

fn write_row<O: Element>(row: &mut [O], product: &[f32], mode: TileMode<'_>) {
    let addends = match mode {
        TileMode::StoreWith(addends) => addends,
        TileMode::Store | TileMode::Add => Addends::default(),
    };
    for (column, (to, &value)) in row.iter_mut().zip(product).enumerate() {
        let mut value = value;
        if mode == TileMode::Add {
            value += to.single();
        }
        for addend in [addends.row, addends.rows].into_iter().flatten() {
            value += addend[column];
        }
        *to = O::nearest(value);
    }
}

/// Writes whole registers. Each loop is short, so that the compiler unrolls it and the sums stay in registers.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
fn write_panel<L: Lanes, O: Element, const M: usize>(
    mut sums: [[L::V; 2]; M],
    out: &mut [O],
    out_row: usize,
    mode: TileMode<'_>,
) {
    assert!(has_room([(M - 1, out_row)], 2 * L::N, out.len()), "the output ends before its rows");
    let end = (M - 1) * out_row + 2 * L::N;
    let out = &mut out[..end];
    let Addends { row, rows } = match mode {
        TileMode::StoreWith(addends) => addends,
        TileMode::Store | TileMode::Add => Addends::default(),
    };
    if let Some(row) = row {
        let row = &row[..2 * L::N];
        // SAFETY: `row` has two registers' values.
        let (low, high) = unsafe { (L::load(row.as_ptr()), L::load(row.as_ptr().add(L::N))) };
        for m in 0..M {
            sums[m] = [L::add(sums[m][0], low), L::add(sums[m][1], high)];
        }
    }
    if let Some(rows) = rows {
        let rows = &rows[..end];
        for m in 0..M {
            // SAFETY: row `m` starts at `m * out_row` and has two registers' values: `end` is where the last one ends.
            unsafe {
                let from = rows.as_ptr().add(m * out_row);
                sums[m] = [L::add(sums[m][0], L::load(from)), L::add(sums[m][1], L::load(from.add(L::N)))];
            }
        }
    }
    if mode == TileMode::Add {
        for m in 0..M {
            // SAFETY: as above.
            unsafe {
                let (low, high) = {
                    let from = out.as_ptr().add(m * out_row);
                    (O::load_single::<L>(from), O::load_single::<L>(from.add(L::N)))
                };
                sums[m] = [L::add(sums[m][0], low), L::add(sums[m][1], high)];
            }
        }
    }
    for m in 0..M {
        // SAFETY: as above.
        unsafe {
            let to = out.as_mut_ptr().add(m * out_row);
            O::store_single::<L>(to, sums[m][0]);
            O::store_single::<L>(to.add(L::N), sums[m][1]);
        }
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
fn sum_segments<L: Lanes, E: Element, const M: usize>(operands: Operands<'_, E>) -> [[L::V; 2]; M] {
    let Operands { a, a_row, a_step, b, b_step, segments } = operands;
    let (panel, per_step) = (2 * L::N * E::PER_STEP, E::PER_STEP);
    let mut sums = [[L::zero(); 2]; M];
    for segment in segments {
        let n_steps = segment.n_steps;
        if n_steps == 0 {
            continue;
        }
        let last = n_steps - 1;
        assert!(
            has_room([(1, segment.a), (M - 1, a_row), (last, a_step)], per_step, a.len()),
            "rows end before their segment"
        );
        assert!(has_room([(1, segment.b), (last, b_step)], panel, b.len()), "panel ends before its segment");
        // SAFETY: the first element of the segment is inside `a` and `b`, asserted above.
        let (mut a_at, mut b_at) = unsafe { (a.as_ptr().add(segment.a), b.as_ptr().add(segment.b)) };
        for _ in 0..n_steps {
            // SAFETY: step `n_steps - 1` of row `M - 1` is inside `a`, and the whole of step `n_steps - 1` inside `b`,
            // asserted above; earlier rows and steps come before. The pointers end at most one step past the last, by
            // `wrapping_add`.
            unsafe {
                let (b_low, b_high) = (E::load::<L>(b_at), E::load::<L>(b_at.add(L::N * per_step)));
                for m in 0..M {
                    let value = E::splat::<L>(a_at.add(m * a_row));
                    sums[m][0] = E::mul_add::<L>(value, b_low, sums[m][0]);
                    sums[m][1] = E::mul_add::<L>(value, b_high, sums[m][1]);
                }
            }
            a_at = a_at.wrapping_add(a_step);
            b_at = b_at.wrapping_add(b_step);
        }
    }
    sums
}
