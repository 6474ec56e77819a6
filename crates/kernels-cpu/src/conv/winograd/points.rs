//! Tiles of values to points, and points of products to tiles.

use std::marker::PhantomData;

use super::{
    GAP,
    algebra::{Input, Output, Transform},
    passes::{Places, transform},
    tiles::Tile,
};
use crate::{
    layout::Layout,
    simd::{Family, Kernel, Lanes},
};

/// Outputs of a tile along one axis.
pub(super) const TILE: usize = 4;

/// Elements of a transformed tile: points, in the order of rows.
pub(super) const N_POINTS: usize = 36;

/// Some channels of rows of pixels of one block.
#[derive(Clone)]
pub(super) struct Channels<'a> {
    /// From row `first_y` on.
    pub(super) values: &'a [f32],
    pub(super) first_y: usize,
    /// Of the whole feature map.
    pub(super) layout: Layout,
    pub(super) range: std::ops::Range<usize>,
}

/// Points of tiles, each a matrix: element `(point, row, column)` is at `point * point_len + row * row_len + column`.
///
/// A row is an image of a tile, a column is a channel.
#[derive(Clone, Copy)]
pub(super) struct Points {
    pub(super) point_len: usize,
    pub(super) row_len: usize,
}

impl Points {
    /// For `n_rows` rows of `n_columns`. The points lie a few lines further apart than they need, for as many of them as
    /// there are would meet in the same places of the cache.
    pub(super) fn new(n_rows: usize, n_columns: usize) -> Self {
        Self { point_len: n_rows * n_columns + GAP, row_len: n_columns }
    }

    /// Values in all.
    pub(super) fn len(self) -> usize {
        N_POINTS * self.point_len
    }

    /// Where the points of a row are.
    fn places(self, row: usize) -> Places<6> {
        let mut places = [[None; 6]; 6];
        for (point, place) in places.as_flattened_mut().iter_mut().enumerate() {
            *place = Some(point * self.point_len + row * self.row_len);
        }
        places
    }
}

/// The tile of inputs that a tile of outputs reads, transformed: rows `first_row..` of `points`.
///
/// `padding` is how far the tile's first input is before its first output, along both axes.
#[inline(always)]
pub(super) fn transform_input<L: Lanes>(
    from: &Channels<'_>,
    tile: Tile,
    padding: (usize, usize),
    points: Points,
    first_row: usize,
    to: &mut [f32],
) {
    spread::<L, Input, 6>(from, tile.block, tile.corner(TILE, padding), points, first_row, to);
}

/// Neighboring tiles of `I` by `I` pixels, transformed one after the other: rows `first_row..` of the points.
pub(super) fn transform_rows<T: Transform<I, 6>, const I: usize>(
    family: Family,
    from: Channels<'_>,
    tiles: &[Tile],
    padding: (usize, usize),
    first_row: usize,
    (points, to): (Points, &mut [f32]),
) {
    family.run(TransformRows::<T, I> { transform: PhantomData, from, tiles, padding, first_row, points, to });
}

struct TransformRows<'a, T, const I: usize> {
    transform: PhantomData<T>,
    from: Channels<'a>,
    tiles: &'a [Tile],
    padding: (usize, usize),
    first_row: usize,
    points: Points,
    to: &'a mut [f32],
}

impl<T: Transform<I, 6>, const I: usize> Kernel for TransformRows<'_, T, I> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let mut row = self.first_row;
        for &tile in self.tiles {
            let corner = tile.corner(TILE, self.padding);
            spread::<L, T, I>(&self.from, tile.block, corner, self.points, row, self.to);
            row += self.from.layout.n_in_block(tile.block);
        }
    }
}

/// Transforms `I` by `I` pixels from `corner` on; pixels outside of the image, also those before it, are zeros.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "rows and columns of pixels are both numbers and indices")]
fn spread<L: Lanes, T: Transform<I, 6>, const I: usize>(
    from: &Channels<'_>,
    block: usize,
    corner: (usize, usize),
    points: Points,
    first_row: usize,
    to: &mut [f32],
) {
    let Channels { values, first_y, layout, ref range } = *from;
    let n = layout.n_in_block(block);
    // All images of a position lie side by side; those of some of the channels do not.
    let is_whole = range.len() == layout.c && points.row_len == layout.c;
    let (n_runs, run_len) = if is_whole { (1, n * layout.c) } else { (n, range.len()) };
    for run in 0..n_runs {
        let mut elements: [[&[f32]; I]; I] = [[&ZEROS; I]; I];
        for row in 0..I {
            let y = corner.0.wrapping_add(row);
            for column in 0..I {
                let x = corner.1.wrapping_add(column);
                if y < layout.h && x < layout.w {
                    let start = (((y - first_y) * layout.w + x) * n + run) * layout.c + range.start;
                    elements[row][column] = &values[start..start + run_len];
                }
            }
        }
        // No run is longer than what there are zeros for, but where images have very many channels.
        for start in (0..run_len).step_by(ZEROS.len()) {
            let len = ZEROS.len().min(run_len - start);
            let mut places = points.places(first_row + run);
            places.as_flattened_mut().iter_mut().flatten().for_each(|place| *place += start);
            let elements = elements.map(|row| row.map(|element| part(element, start, len)));
            transform::<L, T, I, 6>(&elements, len, to, &places, false);
        }
    }
}

/// `len` values of an element from `start` on; of zeros, as many as there are.
#[inline(always)]
fn part(element: &[f32], start: usize, len: usize) -> &[f32] {
    if std::ptr::eq(element.as_ptr(), ZEROS.as_ptr()) { element } else { &element[start..start + len] }
}

/// What lies outside of an image.
static ZEROS: [f32; 4096] = [0.0; 4096];

/// Where a tile's outputs go.
pub(super) struct TileTarget<'a> {
    /// Values laid `[position][image][channel]`, from a first row of pixels on.
    pub(super) values: &'a mut [f32],
    /// Their first row of pixels.
    pub(super) first_y: usize,
    /// Rows and columns of pixels of the image, and images of the block.
    pub(super) size: (usize, usize, usize),
    /// Channels that `values` has, and the one that column 0 of the points goes to.
    pub(super) channels: (usize, usize),
}

/// A tile of outputs out of its products, which are rows `first_row..` of `points`: added to what is there.
#[inline(always)]
pub(super) fn transform_output<L: Lanes>(
    points: Points,
    first_row: usize,
    from: &[f32],
    n_columns: usize,
    tile: Tile,
    to: &mut TileTarget<'_>,
) {
    let (h, w, n) = to.size;
    let (c, first_channel) = to.channels;
    let is_whole = n_columns == c && points.row_len == c;
    let (n_runs, run_len) = if is_whole { (1, n * c) } else { (n, n_columns) };
    for run in 0..n_runs {
        let mut elements: [[&[f32]; 6]; 6] = [[&[]; 6]; 6];
        for (point, element) in elements.as_flattened_mut().iter_mut().enumerate() {
            let start = point * points.point_len + (first_row + run) * points.row_len;
            *element = &from[start..start + run_len];
        }
        let mut places = [[None; TILE]; TILE];
        for (row, places) in places.iter_mut().enumerate() {
            for (column, place) in places.iter_mut().enumerate() {
                let (y, x) = (tile.y * TILE + row, tile.x * TILE + column);
                if y < h && x < w {
                    *place = Some((((y - to.first_y) * w + x) * n + run) * c + first_channel);
                }
            }
        }
        transform::<L, Output, 6, TILE>(&elements, run_len, to.values, &places, true);
    }
}
