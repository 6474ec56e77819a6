//! Which pixels a window covers.

use crate::{ConvGeometry, Layout};

/// A window that moves over `from`, once for each pixel of `to`.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub(super) geometry: ConvGeometry,
    pub(super) from: Layout,
    pub(super) to: Layout,
}

/// A pixel, `y * W + x`, on the other side of a window, and the tap that joins them: row after row, padding counted.
#[derive(Clone, Copy)]
pub(super) struct TapOfPixel {
    pub(super) pixel: usize,
    pub(super) tap: usize,
}

impl Windows {
    /// A window over `from`, for each pixel of `to`.
    ///
    /// # Panics
    ///
    /// When `to` is not what the windows over `from` give, or a map has more values than can be counted.
    pub(super) fn new(geometry: ConvGeometry, from: Layout, to: Layout) -> Self {
        let Layout { h, w, .. } = from;
        let (out_h, out_w) = geometry.output(h, w).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(to, Layout { h: out_h, w: out_w, ..from }, "a map has a pixel for each window");
        assert!(from.len() > 0 && to.len() > 0, "sizes are at least 1");
        Self { geometry, from, to }
    }

    /// How many taps a window has.
    pub(super) fn n_taps(self) -> usize {
        self.geometry.kernel.0.saturating_mul(self.geometry.kernel.1)
    }

    /// The pixels of `from` in the window at `(out_y, out_x)`, row after row.
    pub(super) fn inside(self, (out_y, out_x): (usize, usize)) -> impl Iterator<Item = TapOfPixel> + Clone {
        let Self { geometry: ConvGeometry { kernel, stride, padding }, from, .. } = self;
        let reads = |out: usize, size: usize, kernel: usize, stride: usize, padding: usize| {
            let start = out * stride;
            (0..kernel).filter_map(move |tap| {
                let at = (start + tap).checked_sub(padding).filter(|&at| at < size)?;
                Some((tap, at))
            })
        };
        let ys = reads(out_y, from.h, kernel.0, stride.0, padding.0);
        let xs = reads(out_x, from.w, kernel.1, stride.1, padding.1);
        ys.flat_map(move |(tap_y, y)| {
            xs.clone()
                .map(move |(tap_x, x)| TapOfPixel { pixel: y * from.w + x, tap: tap_y * kernel.1 + tap_x })
        })
    }

    /// The pixels of `to` whose windows have the pixel `(y, x)` of `from`, row after row.
    pub(super) fn over(self, (y, x): (usize, usize)) -> impl Iterator<Item = TapOfPixel> + Clone {
        let Self { geometry: ConvGeometry { kernel, stride, padding }, to, .. } = self;
        let windows = |at: usize, size: usize, kernel: usize, stride: usize, padding: usize| {
            let padded = at + padding;
            let first = (padded + 1).saturating_sub(kernel).div_ceil(stride);
            (first..size.min(padded / stride + 1)).map(move |out| (padded - out * stride, out))
        };
        let ys = windows(y, to.h, kernel.0, stride.0, padding.0);
        let xs = windows(x, to.w, kernel.1, stride.1, padding.1);
        ys.flat_map(move |(tap_y, y)| {
            xs.clone()
                .map(move |(tap_x, x)| TapOfPixel { pixel: y * to.w + x, tap: tap_y * kernel.1 + tap_x })
        })
    }
}
