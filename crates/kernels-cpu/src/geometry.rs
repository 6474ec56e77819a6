//! How a window moves over an image.

use crate::SizeError;

/// The window of a convolution or a pool; each pair is (vertical, horizontal), in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Size of the window.
    pub kernel: (usize, usize),
    /// From one window to the next.
    pub stride: (usize, usize),
    /// Pixels added on each side.
    pub padding: (usize, usize),
}

impl ConvGeometry {
    /// A square window.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: (kernel, kernel), stride: (stride, stride), padding: (padding, padding) }
    }

    /// `(OH, OW)` for an image of `h` by `w` pixels: `floor((size + 2 padding - kernel) / stride) + 1`.
    ///
    /// # Errors
    ///
    /// When the kernel or the stride is 0, or the padded image is smaller than the kernel or larger than a `usize` counts.
    pub fn output(&self, h: usize, w: usize) -> Result<(usize, usize), SizeError> {
        Ok((
            Self::output_size(h, self.kernel.0, self.stride.0, self.padding.0)?,
            Self::output_size(w, self.kernel.1, self.stride.1, self.padding.1)?,
        ))
    }

    fn output_size(size: usize, kernel: usize, stride: usize, padding: usize) -> Result<usize, SizeError> {
        if kernel == 0 {
            return Err(refused("kernel", kernel, "it must be at least 1"));
        }
        if stride == 0 {
            return Err(refused("stride", stride, "it must be at least 1"));
        }
        let padded = padding.checked_mul(2).and_then(|both| both.checked_add(size));
        let padded =
            padded.ok_or_else(|| refused("padding", padding, "it must leave a size that can be counted"))?;
        if padded < kernel {
            return Err(refused("padded image size", padded, "the kernel must fit into it"));
        }
        Ok((padded - kernel) / stride + 1)
    }
}

fn refused(what: &'static str, got: usize, must: &'static str) -> SizeError {
    SizeError { op: "window", what, got, must }
}

#[cfg(test)]
mod tests {
    use super::ConvGeometry;

    #[test]
    fn a_padding_that_no_number_has_room_for_is_an_error() {
        for padding in [usize::MAX / 2, usize::MAX / 2 + 1, usize::MAX] {
            let refused = ConvGeometry::square(3, 1, padding).output(5, 5).unwrap_err();
            assert_eq!((refused.what, refused.got), ("padding", padding));
        }
        assert_eq!(ConvGeometry::square(3, 1, 1).output(5, 6), Ok((5, 6)));
    }
}
