//! How the values of a feature map lie in memory.

/// Images in a block, but for the last block, which has what is left.
///
/// With 16, one row of positions of a ResNet stage is 128 KiB: the three rows that a 3x3 kernel reads fit into a core's
/// second-level cache beside the weights.
pub const BLOCK: usize = 16;

/// Values that a task on rows of pixels writes at least, if the block has them.
const TASK_LEN: usize = 64 * 1024;

/// Some rows of pixels of a block.
#[derive(Clone, Debug)]
pub struct PixelRows {
    pub block: usize,
    pub y: std::ops::Range<usize>,
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
    pub fn len(self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Pixels in all.
    pub fn n_rows(self) -> usize {
        self.n * self.h * self.w
    }

    /// Blocks, the last one counted.
    pub fn n_blocks(self) -> usize {
        self.n.div_ceil(BLOCK)
    }

    /// Images of block `block`.
    pub fn n_in_block(self, block: usize) -> usize {
        BLOCK.min(self.n - block * BLOCK)
    }

    /// Where block `block` starts.
    pub fn block_start(self, block: usize) -> usize {
        block * BLOCK * self.h * self.w * self.c
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
    pub fn tasks(self) -> (Vec<PixelRows>, Vec<usize>) {
        let (mut tasks, mut lens) = (Vec::new(), Vec::new());
        for block in 0..self.n_blocks() {
            let row_len = self.w * self.n_in_block(block) * self.c;
            let n_rows = TASK_LEN.div_ceil(row_len);
            for start in (0..self.h).step_by(n_rows) {
                let y = start..self.h.min(start + n_rows);
                lens.push(y.len() * row_len);
                tasks.push(PixelRows { block, y });
            }
        }
        (tasks, lens)
    }

    /// From one image after the other, `(N, H, W, C)`.
    pub fn pack(self, nhwc: &[f32]) -> Vec<f32> {
        let (tasks, lens) = self.tasks();
        crate::memory::build(&lens, |task_idx, part| {
            let PixelRows { block, ref y } = tasks[task_idx];
            let (first, n) = (block * BLOCK, self.n_in_block(block));
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
    pub fn unpack(self, values: &[f32]) -> Vec<f32> {
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
    pub fn gather_images(self, from: Layout, values: &[f32], order: &[usize]) -> Vec<f32> {
        let (tasks, lens) = self.tasks();
        crate::memory::build(&lens, |task_idx, part| {
            let PixelRows { block, ref y } = tasks[task_idx];
            let n = self.n_in_block(block);
            let positions = y.start * self.w..;
            for (pos, rows) in positions.zip(part.chunks_exact_mut(n * self.c)) {
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
