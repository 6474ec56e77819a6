//! Channels as planes of pixels, one after the other.

use std::ops::Range;

use crate::simd::{Kernel, Lanes, MAX_LANES, for_registers, read_some, transpose, write_some};

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
pub(super) enum RowsToLay<'a> {
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
    pub(super) fn lay<L: Lanes>(&self, rows: RowsToLay<'_>, channels: Range<usize>, planes: &mut [f32]) {
        match rows {
            RowsToLay::Words { words, len } => {
                L::outlined(LayWords { by: self, words, len, channels, planes })
            }
            RowsToLay::Halves { halves, len } => {
                L::outlined(LayHalves { by: self, halves, len, channels, planes })
            }
        }
    }

    /// Writes planes as some channels of rows of `c` values.
    #[inline(always)]
    pub(super) fn write<L: Lanes>(&self, planes: &[f32], c: usize, channels: Range<usize>, rows: &mut [f32]) {
        L::outlined(Write { by: self, planes, c, channels, rows });
    }
}

/// Channels of rows of `len` words, to be laid as planes.
struct LayWords<'a> {
    by: &'a Planes,
    words: &'a [f32],
    len: usize,
    channels: Range<usize>,
    planes: &'a mut [f32],
}

impl Kernel for LayWords<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { by, words, len: row_len, channels, planes } = self;
        for &Stretch { row, column, len } in &by.stretches {
            let from = &words[row * row_len + channels.start..];
            transpose::<L>(from, row_len, (len, channels.len()), &mut planes[column..], by.distance);
        }
    }
}

/// Channels of rows of `len` values in bfloat16, to be widened and laid as planes.
struct LayHalves<'a> {
    by: &'a Planes,
    halves: &'a [u16],
    len: usize,
    channels: Range<usize>,
    planes: &'a mut [f32],
}

impl Kernel for LayHalves<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { by, halves, len: row_len, channels, planes } = self;
        let mut widened = [0.0; STRETCH * WIDENED];
        for first in channels.clone().step_by(WIDENED) {
            let width = WIDENED.min(channels.end - first);
            let planes = &mut planes[(first - channels.start) * by.distance..];
            for &Stretch { row, column, len } in &by.stretches {
                for (i, to) in widened.chunks_exact_mut(WIDENED).take(len).enumerate() {
                    let from = &halves[(row + i) * row_len + first..][..width];
                    for_registers!(L, width, |at, n| {
                        write_some::<L, _>(to, at, n, read_some::<L, _>(from, at, n, 0.0));
                    });
                }
                transpose::<L>(&widened, WIDENED, (len, width), &mut planes[column..], by.distance);
            }
        }
    }
}

/// Planes, to be written as channels of rows of `c` values.
struct Write<'a> {
    by: &'a Planes,
    planes: &'a [f32],
    c: usize,
    channels: Range<usize>,
    rows: &'a mut [f32],
}

impl Kernel for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { by, planes, c, channels, rows } = self;
        for &Stretch { row, column, len } in &by.stretches {
            let to = &mut rows[row * c + channels.start..];
            transpose::<L>(&planes[column..], by.distance, (channels.len(), len), to, c);
        }
    }
}
