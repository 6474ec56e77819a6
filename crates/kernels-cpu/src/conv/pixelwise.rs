//! 1x1 convolutions at stride 1: one matrix product, whose rows are pixels.

use super::method::{Method, Problem, With, multiply_onto};
use crate::{
    matrix::{Packed, RowsProduct, Side, outer_products},
    values::{Summed, Values},
};

/// Pixels are rows of one matrix product.
#[derive(Debug)]
pub(super) struct Pixelwise;

impl Method for Pixelwise {
    fn forward(&self, problem: &Problem, weight: &[f32], x: &Values, with: With<'_>) -> Summed {
        let Problem { family, from, to, precision, .. } = *problem;
        let packed = Packed::new(family, Side::plain(weight, from.c, to.c), precision);
        let product = RowsProduct { packed: &packed, bias: with.bias(), residual: None };
        product.multiply_summed(x.lend(), precision, with.is_summed())
    }

    fn data(&self, problem: &Problem, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        let Problem { family, from, to, precision, .. } = *problem;
        let packed = Packed::new(family, Side::transposed(weight, from.c, to.c), precision);
        let (product, gradient) = (RowsProduct::plain(&packed), gradient.lend());
        multiply_onto(before, |sum| product.add_to(gradient, sum), || product.multiply(gradient, precision))
    }

    fn weights(&self, problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
        let (x, gradient) = ((x.lend(), problem.from.c), (gradient.lend(), problem.to.c));
        outer_products(problem.family, x, gradient, false).weight
    }
}
