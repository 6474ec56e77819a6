//! Channels as planes of pixels, one after the other.

use std::ops::Range;

use crate::simd::{Lanes, MAX_LANES, for_registers, read_some, transpose, write_some};

/// Rows of channels that are laid out at a time: at least a block's images.
const STRETCH: usize = 64;

/// Channels that are widened at a time.
const WIDENED: usize = 64;

/// The order of a row's pixels in a plane: those of the same remainder by a stride side by side, so that what a tap meets, pixel
/// after pixel of the other map, lies pixel after pixel too.
pub(super) struct Order {
    /// Of each pixel, where it lies.
    places: Vec<usize>,
    /// Which pixel lies there.
    pixels: Vec<usize>,
}

impl Order {
    /// For a row of `w` pixels.
    pub(super) fn by_remainder(w: usize, stride: usize) -> Self {
        let pixels: Vec<usize> = (0..stride.min(w)).flat_map(|first| (first..w).step_by(stride)).collect();
        let mut places = vec![0; w];
        for (place, &pixel) in pixels.iter().enumerate() {
            places[pixel] = place;
        }
        Self { places, pixels }
    }

    /// The pixels of a row as they are.
    pub(super) fn plain(w: usize) -> Self {
        Self::by_remainder(w, 1)
    }

    /// Where a pixel lies.
    pub(super) fn place(&self, pixel: usize) -> usize {
        self.places[pixel]
    }

    /// Which pixel lies at each place.
    pub(super) fn pixels(&self) -> &[usize] {
        &self.pixels
    }

    fn is_plain(&self) -> bool {
        self.pixels.is_sorted()
    }
}

/// Some rows of pixels of one block of images, of which each channel is a plane: `[row][place][image]`.
pub(super) struct Planes {
    /// The first row.
    first_y: usize,
    /// Columns of a row of pixels.
    row_len: usize,
    /// Columns of a pixel: images.
    n: usize,
    /// From one plane to the next.
    distance: usize,
    stretches: Vec<Stretch>,
}

/// Rows of channels, one after the other.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// Words that are multiplied as they are, `len` in a row.
    Words { words: &'a [f32], len: usize },
    /// bfloat16 that are multiplied as single values, `len` in a row.
    Halves { halves: &'a [u16], len: usize },
}

/// Columns that lie one after the other in a map as well as in a plane.
struct Stretch {
    /// The first, in the map's rows.
    row: usize,
    /// The first, in a plane.
    column: usize,
    len: usize,
}

impl Planes {
    /// For rows of pixels `y` of `n` images.
    pub(super) fn new(y: Range<usize>, order: &Order, n: usize) -> Self {
        let w = order.pixels.len();
        let (row_len, len) = (w * n, y.len() * w * n);
        // The last register of a plane may reach beyond it; and an odd number of lines keeps planes from sharing a place in
        // the cache.
        let lines = (len + MAX_LANES).div_ceil(MAX_LANES) | 1;
        let whole = |start: usize| Stretch { row: start, column: start, len: STRETCH.min(len - start) };
        let stretches = if order.is_plain() {
            (0..len).step_by(STRETCH).map(whole).collect()
        } else {
            let pixel = |row: usize| {
                let at = move |(place, &x): (usize, &usize)| Stretch {
                    row: row * row_len + x * n,
                    column: row * row_len + place * n,
                    len: n,
                };
                order.pixels.iter().enumerate().map(at)
            };
            (0..y.len()).flat_map(pixel).collect()
        };
        Self { first_y: y.start, row_len, n, distance: lines * MAX_LANES, stretches }
    }

    /// From one plane to the next.
    pub(super) fn distance(&self) -> usize {
        self.distance
    }

    /// Where a pixel starts in a plane.
    pub(super) fn column(&self, y: usize, place: usize) -> usize {
        (y - self.first_y) * self.row_len + place * self.n
    }

    /// Columns of `n_pixels` pixels.
    pub(super) fn n_columns(&self, n_pixels: usize) -> usize {
        n_pixels * self.n
    }

    /// Lays some channels of rows as planes.
    #[inline(always)]
    pub(super) fn lay<L: Lanes>(&self, rows: Rows<'_>, channels: Range<usize>, planes: &mut [f32]) {
        match rows {
            Rows::Words { words, len } => self.lay_words::<L>(words, len, channels, planes),
            Rows::Halves { halves, len } => self.lay_halves::<L>(halves, len, channels, planes),
        }
    }

    #[inline(always)]
    fn lay_words<L: Lanes>(&self, words: &[f32], c: usize, channels: Range<usize>, planes: &mut [f32]) {
        for &Stretch { row, column, len } in &self.stretches {
            let from = &words[row * c + channels.start..];
            transpose::<L>(from, c, (len, channels.len()), &mut planes[column..], self.distance);
        }
    }

    #[inline(always)]
    fn lay_halves<L: Lanes>(&self, halves: &[u16], c: usize, channels: Range<usize>, planes: &mut [f32]) {
        let mut widened = [0.0; STRETCH * WIDENED];
        for first in channels.clone().step_by(WIDENED) {
            let width = WIDENED.min(channels.end - first);
            let planes = &mut planes[(first - channels.start) * self.distance..];
            for &Stretch { row, column, len } in &self.stretches {
                for (i, to) in widened.chunks_exact_mut(WIDENED).take(len).enumerate() {
                    let from = &halves[(row + i) * c + first..][..width];
                    for_registers!(L, width, |at, n| {
                        write_some::<L, _>(to, at, n, read_some::<L, _>(from, at, n, 0.0));
                    });
                }
                transpose::<L>(&widened, WIDENED, (len, width), &mut planes[column..], self.distance);
            }
        }
    }

    /// Writes planes as some channels of rows of `c` values.
    #[inline(always)]
    pub(super) fn write<L: Lanes>(&self, planes: &[f32], c: usize, channels: Range<usize>, rows: &mut [f32]) {
        for &Stretch { row, column, len } in &self.stretches {
            let to = &mut rows[row * c + channels.start..];
            transpose::<L>(&planes[column..], self.distance, (channels.len(), len), to, c);
        }
    }
}
