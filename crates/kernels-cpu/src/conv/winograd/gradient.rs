//! The gradient of a convolution's weights.

use std::ops::Range;

use super::{
    algebra::{Input, OutputGradient, WeightGradient},
    passes::transform,
    points::{Channels, Points, TILE, transform_rows},
    sums::{self, Steps, add_products},
    tiles::{Tile, Tiling, batches},
};
use crate::{
    ConvGeometry,
    layout::{IMAGES_IN_BLOCK, Layout},
    memory::split,
    scratch::with_scratch,
    simd::{Family, Kernel, Lanes, TileMode},
    values::Values,
};

/// Images of tiles that are transformed at a time: the inner dimension of the products.
const GRADIENT_ROWS: usize = 64;

/// `(3, 3, I, O)`: for each tap, the sum over images and positions of `x` (outer product) `gradient`.
pub(in super::super) fn gradient(
    family: Family,
    geometry: ConvGeometry,
    layout_in: Layout,
    x: &Values,
    layout_out: Layout,
    gradient: &Values,
) -> Vec<f32> {
    let tiling = Tiling::forward(TILE, geometry, layout_in, layout_out);
    sums::gradient(tiling, GRADIENT_ROWS, |tiles, inputs, outputs| {
        let points = Points::new(GRADIENT_ROWS.max(IMAGES_IN_BLOCK), inputs.len());
        let gradients = Points::new(GRADIENT_ROWS.max(IMAGES_IN_BLOCK), outputs.len());
        let sums = Points::new(inputs.len(), outputs.len());
        let lens = [points.len(), gradients.len(), sums.len()];
        with_scratch(lens.iter().sum(), |scratch| {
            let [point_values, gradient_values, sum_values] = split(scratch, lens);
            let slice = Slice { family, tiling, tiles, x: (x, inputs), gradient: (gradient, outputs) };
            slice.add_up((points, point_values), (gradients, gradient_values), (sums, sum_values))
        })
    })
}

/// Some tiles, and some channels of both sides.
struct Slice<'a> {
    family: Family,
    tiling: Tiling,
    tiles: &'a [Tile],
    x: (&'a Values, Range<usize>),
    gradient: (&'a Values, Range<usize>),
}

impl Slice<'_> {
    /// `(9, inputs, outputs)`.
    fn add_up(
        self,
        (points, point_values): (Points, &mut [f32]),
        (gradients, gradient_values): (Points, &mut [f32]),
        (sums, sum_values): (Points, &mut [f32]),
    ) -> Vec<f32> {
        let Self { family, tiling, x: (x, inputs), gradient: (gradient, outputs), .. } = self;
        let mut mode = TileMode::Store;
        for batch in batches(self.tiles, tiling.to, GRADIENT_ROWS, 1) {
            let mut row = 0;
            for tiles in batch.rows() {
                let Tile { block, y, .. } = tiles[0];
                let (read, written) = (tiling.read(block, y..y + 1), tiling.written(block, y..y + 1));
                x.with_part(read.range, |values| {
                    let range = inputs.clone();
                    let from = Channels { values, first_y: read.first_y, layout: tiling.from, range };
                    let to = (points, &mut *point_values);
                    transform_rows::<Input, 6>(family, from, tiles, tiling.padding, row, to);
                });
                gradient.with_part(written.range, |values| {
                    let range = outputs.clone();
                    let from = Channels { values, first_y: written.first_y, layout: tiling.to, range };
                    let to = (gradients, &mut *gradient_values);
                    transform_rows::<OutputGradient, 4>(family, from, tiles, (0, 0), row, to);
                });
                row += tiles.len() * tiling.to.n_in_block(block);
            }
            let x = points.steps(point_values);
            let gradient = gradients.steps(gradient_values);
            add_products::<f32>(family, x, gradient, row, (&mut *sum_values, sums.point_len), mode);
            mode = TileMode::Add;
        }
        family.run(TapsOfPoints { sums: (sums, sum_values), len: inputs.len() * outputs.len() })
    }
}

impl Points {
    fn steps(self, words: &[f32]) -> Steps<'_> {
        Steps { words, point_len: self.point_len, n_channels: self.row_len }
    }
}

/// `[tap][input][output]` out of the sums at each point.
struct TapsOfPoints<'a> {
    sums: (Points, &'a [f32]),
    len: usize,
}

impl Kernel for TapsOfPoints<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let Self { sums: (sums, values), len } = self;
        let mut taps = vec![0.0; 9 * len];
        let mut elements: [[&[f32]; 6]; 6] = [[&[]; 6]; 6];
        for (point, element) in elements.as_flattened_mut().iter_mut().enumerate() {
            *element = &values[point * sums.point_len..][..len];
        }
        let mut places = [[None; 3]; 3];
        for (tap, place) in places.as_flattened_mut().iter_mut().enumerate() {
            *place = Some(tap * len);
        }
        transform::<L, WeightGradient, 6, 3>(&elements, len, &mut taps, &places, false);
        taps
    }
}
