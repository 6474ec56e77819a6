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

/// What computes a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Pixels are gathered and multiplied.
    Gather,
    /// Pixels are rows of one matrix product.
    Pixelwise,
    /// Tiles are transformed and multiplied.
    Winograd,
}

impl ConvAlgorithm {
    /// What computes a convolution of `n_in` channels to `n_out`.
    pub(super) fn method(self, geometry: ConvGeometry, n_in: usize, n_out: usize) -> Method {
        let ConvGeometry { kernel, stride, padding } = geometry;
        let is_winograd = match self {
            Self::Direct => false,
            Self::Winograd => true,
            Self::Auto => n_in.min(n_out) >= MIN_CHANNELS,
        };
        match (kernel, stride, padding) {
            ((1, 1), (1, 1), (0, 0)) => Method::Pixelwise,
            ((3, 3), (1, 1), (..=2, ..=2)) if is_winograd => Method::Winograd,
            _ => Method::Gather,
        }
    }
}

/// Channels below which the transforms cost more than the products they save.
const MIN_CHANNELS: usize = 16;
