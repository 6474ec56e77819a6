//! Rows of values: features, linear layers, losses.

use std::sync::Arc;

use super::{
    Candidates, Computed, Contrast, ContrastSpec, LinearGradients, LinearSpec, LinearWanted, Storage, Tail,
};
use crate::values::{AnyValues, Resident};

/// What computes on rows.
pub(crate) trait Rows: Storage {
    /// What a GELU keeps.
    type Gelu: 'static;

    /// The sum of all rows of `width` values, in single precision.
    fn sum_rows(self, values: &Self::Values, width: usize) -> Computed<Self::Values>;
    /// Row `i` of the result is row `order[i]`, of `width` values.
    fn gather_rows(self, values: &Self::Values, width: usize, order: &[usize]) -> Computed<Self::Values>;
    /// One after the other, in single precision.
    fn concat(self, parts: &[Self::Values]) -> Computed<Self::Values>;
    /// Adds `row` to every row; in place where no other handle is left.
    fn add_row(self, x: Arc<AnyValues>, row: &Resident) -> Computed<Self::Values>;
    /// Each row of `width` values divided by its length, and the lengths.
    fn unit_rows(self, x: Self::Values, width: usize) -> Computed<(Self::Values, Self::Values)>;
    /// The gradient of the input of [`unit_rows`](Self::unit_rows), from its `output` and `lengths`.
    fn unit_rows_backward(
        self,
        gradient: Self::Values,
        output: &Self::Values,
        lengths: &Self::Values,
        width: usize,
    ) -> Computed<Self::Values>;
    /// Writes rows to a buffer from value number `first` on, going on at the start.
    fn write_around(self, to: &mut Resident, rows: &Self::Values, first: usize) -> Computed<()>;

    // Linear layers. Weights are `(in, out)`.

    /// The product, with the bias and what follows it, and what a GELU keeps for its gradient, if it is asked to.
    fn linear(
        self,
        spec: LinearSpec,
        x: &Self::Values,
        weight: &Resident,
        bias: Option<&Resident>,
        tail: Tail<'_, Self::Values>,
    ) -> Computed<(Self::Values, Option<Self::Gelu>)>;
    /// The gradients that are wanted. `x` is there where the gradient of the weights is wanted.
    fn linear_backward(
        self,
        spec: LinearSpec,
        weight: &Resident,
        x: Option<&Self::Values>,
        gelu: Option<Self::Gelu>,
        gradient: Self::Values,
        wanted: LinearWanted<Self::Values>,
    ) -> Computed<LinearGradients<Self::Values>>;

    // Losses, of single-precision values.

    /// The cross-entropy of each query's candidates, and what `spec` asks for beside it.
    fn contrast(
        self,
        queries: (&Self::Values, usize),
        candidates: Candidates<'_, Self::Values>,
        spec: ContrastSpec,
    ) -> Computed<Contrast<Self::Values>>;
    /// The sum of all products, one value.
    fn dot(self, a: &Self::Values, b: &Self::Values) -> Computed<Self::Values>;
    /// Every value times a number.
    fn scaled(self, values: &Self::Values, factor: f32) -> Computed<Self::Values>;
    /// Every value times one that stays where it is.
    fn scaled_by(self, values: &Self::Values, factor: &Self::Values) -> Computed<Self::Values>;
}
