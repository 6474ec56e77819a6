//! Winograd's F(2x2, 3x3) with products of pairs of bfloat16: 16 products where the definition has 36.
//!
//! Points of tiles and weights are rounded to bfloat16, as inputs and weights of a direct product are. The transforms are
//! additions alone, with no number greater than 1 in them, so that the rounding stays as small; those of F(4x4, 3x3) would
//! make it ten times larger.
//!
//! A tile of 4x4 registers is transformed without leaving the registers.

mod algebra;
mod gradient;
mod points;
mod product;
mod weight;

pub(in super::super) use self::gradient::gradient;
use self::weight::Weights;
use super::tiles::Tiling;
use crate::{
    ConvGeometry, Precision,
    layout::Layout,
    matrix::Packed,
    values::{Summed, Values},
};

/// Outputs of a tile along one axis.
const TILE: usize = 2;

/// Inputs of a tile along one axis.
const SIDE: usize = TILE + 2;

/// Elements of a transformed tile, in the order of rows.
const N_POINTS: usize = SIDE * SIDE;

/// What channels are a multiple of: registers of any family.
pub(in super::super) const CHANNELS_MULTIPLE: usize = 16;

/// One convolution, ready to run.
pub(in super::super) struct PairsWinograd<'a> {
    tiling: Tiling,
    packed: &'a Packed,
    is_flipped: bool,
}

impl<'a> PairsWinograd<'a> {
    /// A convolution by weights packed `[panel of outputs][tap][input channel][column]`, single values.
    pub(in super::super) fn forward(
        geometry: ConvGeometry,
        from: Layout,
        to: Layout,
        packed: &'a Packed,
    ) -> Self {
        Self { tiling: Tiling::forward(TILE, geometry, from, to), packed, is_flipped: false }
    }

    /// The gradient of the input, by weights packed `[panel of inputs][tap][output channel][column]`, single values.
    pub(in super::super) fn backward(
        geometry: ConvGeometry,
        from: Layout,
        to: Layout,
        packed: &'a Packed,
    ) -> Self {
        Self { tiling: Tiling::backward(TILE, geometry, from, to), packed, is_flipped: true }
    }

    /// The result in a buffer of its own; with the sums of its channels, if they are asked for.
    pub(in super::super) fn multiply(
        &self,
        values: &Values,
        precision: Precision,
        is_summed: bool,
    ) -> Summed {
        let weights = Weights::transformed(self.packed, self.tiling.from.c, self.is_flipped);
        product::multiply(self, values, &weights, precision, is_summed)
    }

    /// Adds the result to what is there.
    pub(in super::super) fn add_to(&self, values: &Values, sum: &mut Values) {
        let weights = Weights::transformed(self.packed, self.tiling.from.c, self.is_flipped);
        product::add_to(self, values, &weights, sum);
    }
}
