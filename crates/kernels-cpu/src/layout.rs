//! How the values of a feature map lie in memory.

/// Images in a block, but for the last block, which has what is left.
///
/// With 16, one row of positions of a ResNet stage is 128 KiB: the three rows that a 3x3 kernel reads fit into a core's
/// second-level cache beside the weights.
pub const IMAGES_IN_BLOCK: usize = 16;

/// Values that a task on rows of pixels writes at least, if the block has them.
const MAP_TASK_LEN: usize = 64 * 1024;

/// Some rows of pixels of a block.
#[derive(Clone, Debug)]
pub(crate) struct PixelRows {
    pub(crate) block: usize,
    pub(crate) y: std::ops::Range<usize>,
}

/// The order of values: blocks of images, each laid `[H][W][images of the block][C]`.
///
/// The images of a block are the innermost axis but channels, so that a convolution is a matrix product whose rows are
/// images at one position: they all have the same taps inside the image, and no padding is ever stored or multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Images.
    pub n: usize,
    /// Rows of pixels.
    pub h: usize,
    /// Columns of pixels.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

#[allow(clippy::len_without_is_empty, reason = "sizes are at least 1")]
impl Layout {
    /// Values in all.
    ///
    /// # Panics
    ///
    /// When they are more than a `usize` counts.
    pub fn len(self) -> usize {
        let Self { n, h, w, c } = self;
        counted([n, h, w, c])
    }

    /// Pixels in all.
    ///
    /// # Panics
    ///
    /// As [`len`](Self::len).
    pub fn n_rows(self) -> usize {
        let Self { n, h, w, .. } = self;
        counted([n, h, w])
    }

    /// Blocks, the last one counted.
    pub fn n_blocks(self) -> usize {
        self.n.div_ceil(IMAGES_IN_BLOCK)
    }

    /// Images of block `block`.
    pub fn n_in_block(self, block: usize) -> usize {
        IMAGES_IN_BLOCK.min(self.n - block * IMAGES_IN_BLOCK)
    }

    /// Where block `block` starts: among the values, which [`len`](Self::len) has counted for whoever has that many.
    pub fn block_start(self, block: usize) -> usize {
        block * IMAGES_IN_BLOCK * self.h * self.w * self.c
    }

    /// The values of block `block`.
    pub fn block<V>(self, values: &[V], block: usize) -> &[V] {
        let start = self.block_start(block);
        &values[start..start + self.block_len(block)]
    }

    /// Values in block `block`.
    pub fn block_len(self, block: usize) -> usize {
        self.n_in_block(block) * self.h * self.w * self.c
    }

    /// Tasks of whole rows of pixels, in the order of memory, and how many values each has: a small batch is one block, and
    /// has tasks for many threads all the same.
    pub(crate) fn tasks(self) -> (Vec<PixelRows>, Vec<usize>) {
        let (mut tasks, mut lens) = (Vec::new(), Vec::new());
        for block in 0..self.n_blocks() {
            let row_len = self.w * self.n_in_block(block) * self.c;
            let n_rows = MAP_TASK_LEN.div_ceil(row_len);
            for start in (0..self.h).step_by(n_rows) {
                let y = start..self.h.min(start + n_rows);
                lens.push(y.len() * row_len);
                tasks.push(PixelRows { block, y });
            }
        }
        (tasks, lens)
    }

    /// From one image after the other, `(N, H, W, C)`.
    ///
    /// # Panics
    ///
    /// When there are not as many values as the layout has.
    pub fn pack(self, nhwc: &[f32]) -> Vec<f32> {
        assert_eq!(nhwc.len(), self.len(), "there are as many values as the layout has");
        let (tasks, lens) = self.tasks();
        crate::memory::build(&lens, |task_idx, part| {
            let PixelRows { block, ref y } = tasks[task_idx];
            let (first, n) = (block * IMAGES_IN_BLOCK, self.n_in_block(block));
            let positions = y.start * self.w..;
            for (pos, rows) in positions.zip(part.chunks_exact_mut(n * self.c)) {
                for (i, row) in rows.chunks_exact_mut(self.c).enumerate() {
                    let from = ((first + i) * self.h * self.w + pos) * self.c;
                    row.copy_from_slice(&nhwc[from..from + self.c]);
                }
            }
        })
    }

    /// To one image after the other, `(N, H, W, C)`.
    ///
    /// # Panics
    ///
    /// When there are not as many values as the layout has.
    pub fn unpack(self, values: &[f32]) -> Vec<f32> {
        assert_eq!(values.len(), self.len(), "there are as many values as the layout has");
        let image_len = self.h * self.w * self.c;
        let image_lens = vec![image_len; self.n];
        crate::memory::build(&image_lens, |image, part| {
            let (block, i) = (image / IMAGES_IN_BLOCK, image % IMAGES_IN_BLOCK);
            let (n, from) = (self.n_in_block(block), self.block(values, block));
            for (pos, row) in part.chunks_exact_mut(self.c).enumerate() {
                let start = (pos * n + i) * self.c;
                row.copy_from_slice(&from[start..start + self.c]);
            }
        })
    }

    /// The images of `order`, out of `values` laid as `from`.
    ///
    /// # Panics
    ///
    /// When there are not as many values as `from` has, or not as many images as this layout has.
    pub fn gather_images(self, from: Layout, values: &[f32], order: &[usize]) -> Vec<f32> {
        assert_eq!(values.len(), from.len(), "there are as many values as the layout has");
        assert_eq!(order.len(), self.n, "there are as many images as the layout has");
        let (tasks, lens) = self.tasks();
        crate::memory::build(&lens, |task_idx, part| {
            let PixelRows { block, ref y } = tasks[task_idx];
            let n = self.n_in_block(block);
            let positions = y.start * self.w..;
            for (pos, rows) in positions.zip(part.chunks_exact_mut(n * self.c)) {
                for (i, row) in rows.chunks_exact_mut(self.c).enumerate() {
                    let image = order[block * IMAGES_IN_BLOCK + i];
                    let (from_block, from_i) = (image / IMAGES_IN_BLOCK, image % IMAGES_IN_BLOCK);
                    let start =
                        from.block_start(from_block) + (pos * from.n_in_block(from_block) + from_i) * self.c;
                    row.copy_from_slice(&values[start..start + self.c]);
                }
            }
        })
    }
}

/// A product of sizes. One that wraps would be a small number, by which much memory is read as little.
pub(crate) fn counted<const N: usize>(sizes: [usize; N]) -> usize {
    let product = sizes.into_iter().try_fold(1_usize, usize::checked_mul);
    product.unwrap_or_else(|| panic!("{sizes:?} are more values than can be counted"))
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::Layout;

    #[test]
    fn a_map_of_more_values_than_can_be_counted_is_a_panic() {
        let half = 1 << (usize::BITS / 2);
        let layout = Layout { n: half, h: half, w: 1, c: 3 };
        assert!(catch_unwind(|| layout.len()).is_err());
        assert!(catch_unwind(|| layout.n_rows()).is_err());
        assert!(catch_unwind(|| layout.pack(&[])).is_err());
        assert!(catch_unwind(|| layout.unpack(&[])).is_err());
    }
}
