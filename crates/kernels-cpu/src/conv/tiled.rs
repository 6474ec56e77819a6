//! Winograd's two forms as ways to compute a convolution.

use super::{
    method::{Method, Problem, With, add_bias, multiply_onto},
    pack::{pack_forward, pack_transposed},
    winograd::{
        self, Winograd,
        pairs::{self, PairsWinograd},
    },
};
use crate::{
    Precision,
    matrix::Packed,
    values::{Summed, Values},
};

/// Tiles are transformed and multiplied.
#[derive(Debug)]
pub(super) struct Tiled;

/// Smaller tiles are transformed, and pairs of bfloat16 multiplied.
#[derive(Debug)]
pub(super) struct TiledInPairs;

impl Method for Tiled {
    fn forward(&self, problem: &Problem, weight: &[f32], x: &Values, with: With<'_>) -> Summed {
        let Problem { family, geometry, from, to, precision, .. } = *problem;
        let packed = packed_forward(problem, weight);
        let winograd = Winograd::forward(family, geometry, from, to, &packed.values);
        with_bias(winograd.multiply(x, precision, with.is_summed()), problem, with)
    }

    fn data(&self, problem: &Problem, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        let Problem { family, geometry, from, to, precision, .. } = *problem;
        let packed = packed_transposed(problem, weight);
        let winograd = Winograd::backward(family, geometry, to, from, &packed.values);
        multiply_onto(
            before,
            |sum| winograd.add_to(gradient, sum),
            || winograd.multiply(gradient, precision, false).values,
        )
    }

    fn weights(&self, problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
        let Problem { family, geometry, from, to, .. } = *problem;
        winograd::gradient(family, geometry, from, x, to, gradient)
    }
}

impl Method for TiledInPairs {
    fn forward(&self, problem: &Problem, weight: &[f32], x: &Values, with: With<'_>) -> Summed {
        let Problem { geometry, from, to, precision, .. } = *problem;
        let packed = packed_forward(problem, weight);
        let winograd = PairsWinograd::forward(geometry, from, to, &packed);
        with_bias(winograd.multiply(x, precision, with.is_summed()), problem, with)
    }

    fn data(&self, problem: &Problem, weight: &[f32], gradient: &Values, before: Option<Values>) -> Values {
        let Problem { geometry, from, to, precision, .. } = *problem;
        let packed = packed_transposed(problem, weight);
        let winograd = PairsWinograd::backward(geometry, to, from, &packed);
        multiply_onto(
            before,
            |sum| winograd.add_to(gradient, sum),
            || winograd.multiply(gradient, precision, false).values,
        )
    }

    fn weights(&self, problem: &Problem, x: &Values, gradient: &Values) -> Vec<f32> {
        let Problem { family, geometry, from, to, .. } = *problem;
        pairs::gradient(family, geometry, from, x, to, gradient)
    }
}

/// Transforms read single values.
fn packed_forward(problem: &Problem, weight: &[f32]) -> Packed {
    pack_forward(problem.family, weight, problem.from.c, problem.to.c, Precision::F32)
}

fn packed_transposed(problem: &Problem, weight: &[f32]) -> Packed {
    pack_transposed(problem.family, weight, problem.from.c, problem.to.c, Precision::F32)
}

fn with_bias(mut summed: Summed, problem: &Problem, with: With<'_>) -> Summed {
    if let Some(bias) = with.bias() {
        add_bias(problem.to, &mut summed.values, bias);
    }
    summed
}
