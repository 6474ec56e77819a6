//! How the values of a feature map lie in memory.

/// Images in a block, but for the last block, which has what is left.
///
/// With 16, one row of positions of a ResNet stage is 128 KiB: the three rows that a 3x3 kernel reads fit into a core's
/// second-level cache beside the weights.
pub(crate) const BLOCK: usize = 16;

/// The order of values: blocks of images, each laid `[H][W][images of the block][C]`.
///
/// The images of a block are the innermost axis but channels, so that a convolution is a matrix product whose rows are
/// images at one position: they all have the same taps inside the image, and no padding is ever stored or multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Images.
    pub(crate) n: usize,
    /// Rows of pixels.
    pub(crate) h: usize,
    /// Columns of pixels.
    pub(crate) w: usize,
    /// Channels.
    pub(crate) c: usize,
}

impl Layout {
    /// Values in all.
    pub(crate) fn len(self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Pixels in all.
    pub(crate) fn n_rows(self) -> usize {
        self.n * self.h * self.w
    }

    /// Blocks, the last one counted.
    pub(crate) fn n_blocks(self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    /// Images of block `block`.
    pub(crate) fn n_in_block(self, block: usize) -> usize {
        BLOCK.min(self.n - block * BLOCK)
    }

    /// Where block `block` starts.
    pub(crate) fn block_start(self, block: usize) -> usize {
        block * BLOCK * self.h * self.w * self.c
    }

    /// The values of block `block`.
    pub(crate) fn block(self, values: &[f32], block: usize) -> &[f32] {
        let start = self.block_start(block);
        &values[start..start + self.block_len(block)]
    }

    /// Values in block `block`.
    pub(crate) fn block_len(self, block: usize) -> usize {
        self.n_in_block(block) * self.h * self.w * self.c
    }

    /// The length of each block.
    pub(crate) fn block_lens(self) -> Vec<usize> {
        (0..self.n_blocks()).map(|block| self.block_len(block)).collect()
    }

    /// From one image after the other, `(N, H, W, C)`.
    pub(crate) fn pack(self, nhwc: &[f32]) -> Vec<f32> {
        crate::memory::build(&self.block_lens(), |block, part| {
            let (first, n) = (block * BLOCK, self.n_in_block(block));
            for (pos, rows) in part.chunks_exact_mut(n * self.c).enumerate() {
                for (i, row) in rows.chunks_exact_mut(self.c).enumerate() {
                    let from = ((first + i) * self.h * self.w + pos) * self.c;
                    row.copy_from_slice(&nhwc[from..from + self.c]);
                }
            }
        })
    }

    /// To one image after the other, `(N, H, W, C)`.
    pub(crate) fn unpack(self, values: &[f32]) -> Vec<f32> {
        let image_len = self.h * self.w * self.c;
        let image_lens = vec![image_len; self.n];
        crate::memory::build(&image_lens, |image, part| {
            let (block, i) = (image / BLOCK, image % BLOCK);
            let (n, from) = (self.n_in_block(block), self.block(values, block));
            for (pos, row) in part.chunks_exact_mut(self.c).enumerate() {
                let start = (pos * n + i) * self.c;
                row.copy_from_slice(&from[start..start + self.c]);
            }
        })
    }
}

impl Layout {
    /// The images of `order`, out of `values` laid as `from`.
    pub(crate) fn gather_images(self, from: Layout, values: &[f32], order: &[usize]) -> Vec<f32> {
        crate::memory::build(&self.block_lens(), |block, part| {
            let n = self.n_in_block(block);
            for (pos, rows) in part.chunks_exact_mut(n * self.c).enumerate() {
                for (i, row) in rows.chunks_exact_mut(self.c).enumerate() {
                    let image = order[block * BLOCK + i];
                    let (from_block, from_i) = (image / BLOCK, image % BLOCK);
                    let start =
                        from.block_start(from_block) + (pos * from.n_in_block(from_block) + from_i) * self.c;
                    row.copy_from_slice(&values[start..start + self.c]);
                }
            }
        })
    }
}
