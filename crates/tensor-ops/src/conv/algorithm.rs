//! How a convolution is computed.

use crate::ConvGeometry;

/// How a convolution is computed. All ways compute the same; they differ in speed, and in how they round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvAlgorithm {
    /// The fastest where it was measured to be faster, [`Direct`](Self::Direct) elsewhere.
    #[default]
    Auto,
    /// Each output by its own products.
    Direct,
    /// Winograd's F(4x4, 3x3) (Lavin & Gray 2015, arXiv:1509.09308): a quarter of the products. Kernels of another size
    /// and strides other than 1 are computed as by [`Direct`](Self::Direct).
    Winograd,
}

impl ConvAlgorithm {
    /// Whether a convolution of `n_in` channels to `n_out` is done by Winograd's algorithm.
    pub(super) fn is_winograd(self, geometry: ConvGeometry, n_in: usize, n_out: usize) -> bool {
        let fits = geometry.kernel == (3, 3)
            && geometry.stride == (1, 1)
            && geometry.padding.0 <= 2
            && geometry.padding.1 <= 2;
        match self {
            Self::Direct => false,
            Self::Winograd => fits,
            Self::Auto => fits && n_in.min(n_out) >= MIN_CHANNELS,
        }
    }
}

/// Channels below which the transforms cost more than the products they save.
const MIN_CHANNELS: usize = 16;
