//! How a convolution is computed.

use super::{
    gather::Gather,
    method::{Method, Problem},
    pixelwise::Pixelwise,
    tiled::{Tiled, TiledInPairs},
    winograd::pairs,
};
use crate::{ConvGeometry, Precision};

/// How a convolution is computed. All ways compute the same; they differ in speed, and in how they round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvAlgorithm {
    /// The fastest where it was measured to be faster, [`Direct`](Self::Direct) elsewhere.
    #[default]
    Auto,
    /// Each output by its own products.
    Direct,
    /// Winograd's F(4x4, 3x3) (Lavin & Gray 2015, arXiv:1509.09308): a quarter of the products. Of values kept in bfloat16,
    /// where the processor multiplies pairs of them and channels come in multiples of 16, F(2x2, 3x3): 16 products of 36.
    /// Kernels of another size and strides other than 1 are computed as by [`Direct`](Self::Direct).
    Winograd,
}

impl ConvAlgorithm {
    /// What computes a convolution.
    pub(super) fn method(self, problem: &Problem) -> &'static dyn Method {
        let Problem { family, geometry, precision, .. } = *problem;
        let (n_in, n_out) = (problem.from.c, problem.to.c);
        let ConvGeometry { kernel, stride, padding } = geometry;
        let is_winograd = match self {
            Self::Direct => false,
            Self::Winograd => true,
            Self::Auto => n_in.min(n_out) >= MIN_CHANNELS,
        };
        match (kernel, stride, padding) {
            ((1, 1), (1, 1), (0, 0)) => &Pixelwise,
            ((3, 3), (1, 1), (..=2, ..=2)) if is_winograd => {
                let fits = |n: usize| n.is_multiple_of(pairs::CHANNELS_MULTIPLE);
                if precision == Precision::Bf16 && family.multiplies_pairs() && fits(n_in) && fits(n_out) {
                    &TiledInPairs
                } else {
                    &Tiled
                }
            }
            _ => &Gather,
        }
    }
}

/// Channels below which the transforms cost more than the products they save.
const MIN_CHANNELS: usize = 16;
