//! Products of matrices on the host.
//!
//! One operand is packed into panels of columns, in the order that a tile reads them; the other is read where it lies.
//! Three shapes matter: many rows by a few packed panels (`rows`), the gradient of weights with its long inner
//! dimension (`outer`), and few rows by many panels (`few_rows`).

mod few_rows;
mod outer;
mod packed;
mod panels;
mod rows;
mod slices;
#[cfg(test)]
mod tests;

pub(crate) use self::panels::{
    PackedFrom, RowsToPack, pack_plain_panel, pack_transposed_pairs, pack_transposed_panel,
};
#[cfg(test)]
pub(crate) use self::slices::MAX_PARTIAL_LEN;
pub(crate) use self::slices::{Blocks, Limits};
pub use self::{
    outer::outer_products,
    packed::Packed,
    rows::{RowsProduct, scale},
};
use crate::{
    Precision,
    norm::ChannelSums,
    simd::{Family, Moments},
    values::Lent,
};

/// A matrix as an operand: itself, or transposed.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    values: &'a [f32],
    n_rows: usize,
    n_columns: usize,
    is_transposed: bool,
}

impl<'a> Side<'a> {
    /// A matrix that lies row after row.
    ///
    /// # Panics
    ///
    /// When it has not as many values.
    pub fn plain(values: &'a [f32], n_rows: usize, n_columns: usize) -> Self {
        assert_eq!(n_rows.checked_mul(n_columns), Some(values.len()), "a matrix of {n_rows} by {n_columns}");
        Self { values, n_rows, n_columns, is_transposed: false }
    }

    /// The transpose of a matrix of `n_rows` by `n_columns` that lies row after row.
    ///
    /// # Panics
    ///
    /// When it has not as many values.
    pub fn transposed(values: &'a [f32], n_rows: usize, n_columns: usize) -> Self {
        assert_eq!(n_rows.checked_mul(n_columns), Some(values.len()), "a matrix of {n_rows} by {n_columns}");
        Self { values, n_rows: n_columns, n_columns: n_rows, is_transposed: true }
    }
}

/// What a product is written onto.
pub(crate) enum Onto<'a> {
    /// Nothing that matters; with the sums of its columns before it is rounded, if they are asked for.
    Nothing(Option<&'a mut ChannelSums>),
    /// A sum, which it is added to.
    Sum,
}

impl Onto<'_> {
    /// Where the sums of a panel's columns are taken, if they are asked for.
    pub(crate) fn moments(&self) -> Option<Moments> {
        matches!(self, Self::Nothing(Some(_))).then(Moments::new)
    }

    /// Keeps the sums of `n_columns` columns from `first` on.
    pub(crate) fn keep(&mut self, first: usize, n_columns: usize, moments: Option<&Moments>) {
        if let (Self::Nothing(Some(sums)), Some(moments)) = (self, moments) {
            sums.set(first, n_columns, moments);
        }
    }
}

/// Whether a product of an inner dimension of `n_steps` multiplies pairs of bfloat16, when values are kept so.
pub(crate) fn multiplies_pairs(family: Family, precision: Precision, n_steps: usize) -> bool {
    precision == Precision::Bf16 && family.multiplies_pairs() && n_steps.is_multiple_of(2)
}

/// Rows from which on it pays to pack the whole of the other operand first.
const MANY_ROWS: usize = 512;

/// `a * b`, row after row; `a` lies row after row.
///
/// # Panics
///
/// When the rows of `a` are not whole.
pub fn multiply(family: Family, a: &[f32], b: Side<'_>) -> Vec<f32> {
    assert!(a.len().is_multiple_of(b.n_rows), "rows are whole");
    if a.len() / b.n_rows < MANY_ROWS {
        return few_rows::multiply(family, a, b);
    }
    let packed = Packed::new(family, b, Precision::F32);
    RowsProduct::plain(&packed).multiply(Lent::F32(a), Precision::F32).into_whole()
}
