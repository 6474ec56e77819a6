//! 1x1 convolutions at stride 1: one matrix product, whose rows are pixels.

use crate::{
    Precision,
    layout::Layout,
    matrix::{Packed, RowsProduct, Side, outer_products},
    simd::Family,
    values::{Summed, Values},
};

/// Weights `(I, O)` of a convolution that sees one pixel at a time.
pub(super) struct Pixelwise<'a> {
    pub(super) family: Family,
    pub(super) weight: &'a [f32],
    pub(super) n_in: usize,
    pub(super) n_out: usize,
    /// How values are kept.
    pub(super) precision: Precision,
}

impl Pixelwise<'_> {
    /// The output; with the sums of its channels, if they are asked for.
    pub(super) fn forward(&self, x: &Values, is_summed: bool) -> Summed {
        let packed =
            Packed::new(self.family, Side::plain(self.weight, self.n_in, self.n_out), self.precision);
        RowsProduct::plain(&packed).multiply_summed(x.lend(), self.precision, is_summed)
    }

    /// The gradient of the input, onto what is there.
    pub(super) fn backward(&self, gradient: &Values, before: Option<Values>) -> Values {
        let side = Side::transposed(self.weight, self.n_in, self.n_out);
        let packed = Packed::new(self.family, side, self.precision);
        let product = RowsProduct::plain(&packed);
        let Some(mut sum) = before else { return product.multiply(gradient.lend(), self.precision) };
        product.add_to(gradient.lend(), &mut sum);
        sum
    }
}

/// The gradient of the weights, `(I, O)`.
pub(super) fn gradient(
    family: Family,
    x: &Values,
    layout_in: Layout,
    layout_out: Layout,
    gradient: &Values,
) -> Vec<f32> {
    outer_products(family, (x.lend(), layout_in.c), (gradient.lend(), layout_out.c), false).weight
}
