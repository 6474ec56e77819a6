//! How both forms cut a feature map: into tiles of outputs, which read overlapping tiles of inputs.

use std::ops::Range;

use crate::{ConvGeometry, layout::Layout};

/// Where a tile is: its block, and its row and column among the tiles of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) block: usize,
    pub(super) y: usize,
    pub(super) x: usize,
}

impl Tile {
    /// The first pixel that a tile of `side` outputs reads, before the image where that wraps.
    #[inline(always)]
    pub(super) fn corner(self, side: usize, padding: (usize, usize)) -> (usize, usize) {
        ((self.y * side).wrapping_sub(padding.0), (self.x * side).wrapping_sub(padding.1))
    }
}

/// The tiles of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    /// Outputs of a tile along one axis.
    pub(super) side: usize,
    /// What is read.
    pub(super) from: Layout,
    /// What is written, and cut into tiles.
    pub(super) to: Layout,
    /// How far a tile's first input is before its first output, along both axes.
    pub(super) padding: (usize, usize),
}

/// Rows of pixels of one block, and where their values lie.
pub(super) struct LaidRows {
    pub(super) first_y: usize,
    /// Where their values are.
    pub(super) range: Range<usize>,
}

impl Tiling {
    pub(super) fn forward(side: usize, geometry: ConvGeometry, from: Layout, to: Layout) -> Self {
        Self { side, from, to, padding: geometry.padding }
    }

    /// Of the gradient of the input: what the convolution writes is read.
    pub(super) fn backward(side: usize, geometry: ConvGeometry, from: Layout, to: Layout) -> Self {
        Self { side, from, to, padding: (2 - geometry.padding.0, 2 - geometry.padding.1) }
    }

    /// Rows of tiles of an image.
    pub(super) fn n_rows(self) -> usize {
        self.to.h.div_ceil(self.side)
    }

    /// Tiles of a row.
    pub(super) fn n_columns(self) -> usize {
        self.to.w.div_ceil(self.side)
    }

    /// All tiles of some blocks, in the order of memory.
    pub(super) fn tiles(self, blocks: Range<usize>) -> Vec<Tile> {
        let in_row = move |block, y| (0..self.n_columns()).map(move |x| Tile { block, y, x });
        let in_block = move |block| (0..self.n_rows()).flat_map(move |y| in_row(block, y));
        blocks.flat_map(in_block).collect()
    }

    /// The rows of pixels that some rows of tiles of a block read.
    pub(super) fn read(self, block: usize, rows: Range<usize>) -> LaidRows {
        let start = (rows.start * self.side).saturating_sub(self.padding.0);
        let end = (rows.end * self.side + 2).saturating_sub(self.padding.0);
        LaidRows::of(self.from, block, start..end)
    }

    /// The rows of pixels that some rows of tiles of a block write.
    pub(super) fn written(self, block: usize, rows: Range<usize>) -> LaidRows {
        LaidRows::of(self.to, block, rows.start * self.side..rows.end * self.side)
    }
}

impl LaidRows {
    /// Of rows `y`, those that are inside the image.
    fn of(layout: Layout, block: usize, y: Range<usize>) -> Self {
        let first_y = y.start.min(layout.h);
        let end_y = y.end.clamp(first_y, layout.h);
        let (start, row_len) = (layout.block_start(block), layout.w * layout.n_in_block(block) * layout.c);
        Self { first_y, range: start + first_y * row_len..start + end_y * row_len }
    }
}

/// Neighboring tiles that are transformed and multiplied together: at most `n_rows` images of tiles, but at least one tile.
/// If `per_step` of a tile's images share a step of the product, those that a tile is short of are counted.
pub(super) fn batches(mut rest: &[Tile], layout: Layout, n_rows: usize, per_step: usize) -> Vec<Batch<'_>> {
    let rows_of = |tile: &Tile| layout.n_in_block(tile.block).next_multiple_of(per_step);
    let mut batches = Vec::new();
    while let Some(first) = rest.first() {
        let (mut n_tiles, mut n) = (1, rows_of(first));
        while let Some(tile) = rest.get(n_tiles) {
            let n_more = rows_of(tile);
            if n + n_more > n_rows {
                break;
            }
            (n_tiles, n) = (n_tiles + 1, n + n_more);
        }
        let (tiles, others) = rest.split_at(n_tiles);
        batches.push(Batch { tiles, n_rows: n });
        rest = others;
    }
    batches
}

/// Neighboring tiles, whose images are rows of a product.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) tiles: &'a [Tile],
    /// Images of all tiles.
    pub(super) n_rows: usize,
}

impl<'a> Batch<'a> {
    /// The tiles of each row of tiles.
    pub(super) fn rows(self) -> impl Iterator<Item = &'a [Tile]> {
        self.tiles.chunk_by(|tile, next| (tile.block, tile.y) == (next.block, next.y))
    }
}
