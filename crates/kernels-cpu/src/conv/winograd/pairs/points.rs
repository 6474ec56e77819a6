//! Tiles of values to points, and points of products to tiles.
#![allow(unsafe_code, reason = "a bounds check a register would halve the speed")]

use std::ops::Range;

use super::super::{algebra::Transform, tiles::Tile};
use super::{
    N_POINTS, SIDE, TILE,
    algebra::{Input, Output, OutputGradient, both_axes},
};
use crate::simd::{Element, Lanes, Moments, has_room};

/// Rows of pixels of one block, `[row of pixels][column][image][channel]`.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a, E> {
    /// From row `first_y` on.
    pub(super) values: &'a [E],
    pub(super) first_y: usize,
    /// Rows and columns of the image.
    pub(super) size: (usize, usize),
    /// Images of the block times channels.
    pub(super) pixel_len: usize,
}

/// What lies outside of an image, for as long a stretch as is transformed at a time.
static ZEROS: [f32; 4096] = [0.0; 4096];

/// The inputs of a tile, transformed: element `(point, i)` goes to `to[point * point_len + i]`, for all `i` of a pixel.
///
/// `padding` is how far the tile's first input is before its first output, along both axes.
#[inline(always)]
pub(super) fn transform_input<L: Lanes, E: Element>(
    from: Pixels<'_, E>,
    tile: Tile,
    padding: (usize, usize),
    to: &mut [u16],
    point_len: usize,
) {
    let corner = tile.corner(TILE, padding);
    spread::<L, E, Input, SIDE>(from, corner, to, point_len);
}

/// Some channels of the inputs of a tile, transformed, with two images in a word: element `(point, pair of images, channel)`
/// goes to word `point * point_len + pair * channels.len() + channel` of `to`. An image that is left meets zeros.
#[inline(always)]
pub(super) fn pair_input<L: Lanes, E: Element>(
    from: Pixels<'_, E>,
    (n, channels): (usize, &Range<usize>),
    tile: Tile,
    padding: (usize, usize),
    to: &mut [f32],
    point_len: usize,
) {
    let corner = tile.corner(TILE, padding);
    pair_up::<L, E, Input, SIDE>(from, (n, channels), corner, to, point_len);
}

/// The gradients of a tile's outputs, transformed and paired as inputs are.
#[inline(always)]
pub(super) fn pair_gradient<L: Lanes, E: Element>(
    from: Pixels<'_, E>,
    (n, channels): (usize, &Range<usize>),
    tile: Tile,
    to: &mut [f32],
    point_len: usize,
) {
    let corner = (tile.y * TILE, tile.x * TILE);
    pair_up::<L, E, OutputGradient, TILE>(from, (n, channels), corner, to, point_len);
}

#[inline(always)]
fn spread<L: Lanes, E: Element, T: Transform<I, SIDE>, const I: usize>(
    from: Pixels<'_, E>,
    corner: (usize, usize),
    to: &mut [u16],
    point_len: usize,
) {
    let pixel_len = from.pixel_len;
    assert!(pixel_len.is_multiple_of(L::N), "channels are whole registers");
    assert!(has_room([(N_POINTS - 1, point_len)], pixel_len, to.len()), "the points have no room");
    for start in (0..pixel_len).step_by(ZEROS.len()) {
        let len = ZEROS.len().min(pixel_len - start);
        let elements = from.elements(corner, start, len);
        for at in (0..len).step_by(L::N) {
            // SAFETY: each element has at least `len` values, which is a multiple of a register.
            let points = unsafe { transform_at::<L, E, T, I>(&elements, at) };
            for (point, value) in points.as_flattened().iter().enumerate() {
                // SAFETY: the last point has room for a pixel, asserted above, and earlier ones end before it.
                unsafe { L::store_halves(to.as_mut_ptr().add(point * point_len + start + at), *value) };
            }
        }
    }
}

#[inline(always)]
fn pair_up<L: Lanes, E: Element, T: Transform<I, SIDE>, const I: usize>(
    from: Pixels<'_, E>,
    (n, channels): (usize, &Range<usize>),
    corner: (usize, usize),
    to: &mut [f32],
    point_len: usize,
) {
    let (c, len) = (from.pixel_len / n, channels.len());
    assert!(len.is_multiple_of(L::N) && len <= ZEROS.len(), "channels are whole registers");
    let steps = [(N_POINTS - 1, point_len), (n.div_ceil(2), len)];
    assert!(has_room(steps, 0, to.len()), "the points have no room");
    for pair in 0..n.div_ceil(2) {
        let low = from.elements::<I>(corner, 2 * pair * c + channels.start, len);
        let high = if 2 * pair + 1 < n {
            from.elements::<I>(corner, (2 * pair + 1) * c + channels.start, len)
        } else {
            [[Pixels::<E>::zeros(); I]; I]
        };
        for at in (0..len).step_by(L::N) {
            // SAFETY: each element has at least `len` values, which is a multiple of a register.
            let (low, high) =
                unsafe { (transform_at::<L, E, T, I>(&low, at), transform_at::<L, E, T, I>(&high, at)) };
            let points = low.as_flattened().iter().zip(high.as_flattened());
            for (point, (low, high)) in points.enumerate() {
                // SAFETY: the last point has room for all pairs, asserted above, and earlier ones end before it.
                unsafe {
                    L::store(to.as_mut_ptr().add(point * point_len + pair * len + at), L::pair(*low, *high));
                }
            }
        }
    }
}

/// The points of one register of each element.
///
/// # Safety
///
/// Each element has a register's values from `at` on.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
unsafe fn transform_at<L: Lanes, E: Element, T: Transform<I, SIDE>, const I: usize>(
    elements: &[[&[E]; I]; I],
    at: usize,
) -> [[L::V; SIDE]; SIDE] {
    let mut tile = [[L::zero(); I]; I];
    for row in 0..I {
        for column in 0..I {
            // SAFETY: the caller has a register's values there.
            tile[row][column] = unsafe { E::load_single::<L>(elements[row][column].as_ptr().add(at)) };
        }
    }
    both_axes::<L, T, I, SIDE>(tile)
}

impl<'a, E: Element> Pixels<'a, E> {
    fn zeros() -> &'a [E] {
        &E::of_words(&ZEROS)[..ZEROS.len()]
    }

    /// `len` values, at most as many as there are zeros, of each pixel of a tile, from value `start` of the pixel on.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "indices are coordinates")]
    fn elements<const I: usize>(self, corner: (usize, usize), start: usize, len: usize) -> [[&'a [E]; I]; I] {
        let Pixels { values, first_y, size: (h, w), pixel_len } = self;
        let mut elements = [[Self::zeros(); I]; I];
        for row in 0..I {
            let y = corner.0.wrapping_add(row);
            for column in 0..I {
                let x = corner.1.wrapping_add(column);
                if y < h && x < w {
                    elements[row][column] = &values[((y - first_y) * w + x) * pixel_len + start..][..len];
                }
            }
        }
        elements
    }
}

/// Where the outputs of tiles go: some channels of rows of pixels.
pub(super) struct TileTarget<'a, O> {
    /// `[row of pixels][column][image][channel]`, from row `first_y` on.
    pub(super) values: &'a mut [O],
    pub(super) first_y: usize,
    /// Rows and columns of the image, images of the block, and channels.
    pub(super) size: (usize, usize, usize, usize),
    /// Whether outputs are added to what is there.
    pub(super) adds: bool,
}

/// A tile of outputs out of its products: element `(point, image, column)` is at
/// `from[point * point_len + image * panel + column]`.
///
/// There are `n_columns` columns, whole registers, which are channels from `first_channel` on. Outputs are added to
/// `moments`, if there are any, before they are rounded.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "loops of constant length over registers")]
pub(super) fn transform_output<L: Lanes, O: Element>(
    (from, point_len): (&[f32], usize),
    tile: Tile,
    to: &mut TileTarget<'_, O>,
    (first_channel, n_columns): (usize, usize),
    mut moments: Option<&mut Moments>,
) {
    let panel = 2 * L::N;
    let (h, w, n, c) = to.size;
    assert!(n_columns.is_multiple_of(L::N) && n_columns <= panel, "columns are whole registers");
    assert!(has_room([(N_POINTS - 1, point_len), (n, panel)], 0, from.len()), "points end before their rows");
    let mut places = [[None; TILE]; TILE];
    for row in 0..TILE {
        for column in 0..TILE {
            let (y, x) = (tile.y * TILE + row, tile.x * TILE + column);
            if y < h && x < w {
                let place = ((y - to.first_y) * w + x) * n * c + first_channel;
                assert!(
                    has_room([(1, place), (n - 1, c)], n_columns, to.values.len()),
                    "a place has no room"
                );
                places[row][column] = Some(place);
            }
        }
    }
    for image in 0..n {
        for at in (0..n_columns).step_by(L::N) {
            let mut points = [[L::zero(); SIDE]; SIDE];
            for (point, value) in points.as_flattened_mut().iter_mut().enumerate() {
                // SAFETY: the last point has `n` rows of a panel, asserted above, and earlier ones end before it.
                *value = unsafe { L::load(from.as_ptr().add(point * point_len + image * panel + at)) };
            }
            let outputs = both_axes::<L, Output, SIDE, TILE>(points);
            if let Some(moments) = &mut moments {
                add_moments::<L>(moments, at / L::N, &outputs, &places);
            }
            for (place, value) in places.as_flattened().iter().zip(outputs.as_flattened()) {
                if let Some(place) = place {
                    // SAFETY: the place has room for `n` images' columns, asserted above.
                    unsafe {
                        let to_ptr = to.values.as_mut_ptr().add(place + image * c + at);
                        let value =
                            if to.adds { L::add(O::load_single::<L>(to_ptr), *value) } else { *value };
                        O::store_single::<L>(to_ptr, value);
                    }
                }
            }
        }
    }
}

/// Adds the outputs that are inside the image.
#[inline(always)]
fn add_moments<L: Lanes>(
    moments: &mut Moments,
    register: usize,
    outputs: &[[L::V; TILE]; TILE],
    places: &[[Option<usize>; TILE]; TILE],
) {
    let (outputs, places) = (outputs.as_flattened(), places.as_flattened());
    if places.iter().all(Option::is_some) {
        moments.add::<L>(register, outputs);
    } else {
        for (output, _) in outputs.iter().zip(places).filter(|(_, place)| place.is_some()) {
            moments.add::<L>(register, std::slice::from_ref(output));
        }
    }
}
