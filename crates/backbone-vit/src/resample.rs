//! Position embeddings for images of another size than the encoder was built for.

use plugin_api::{OfOtherSize, Resized};
use tensor_ops::{
    Features, OpError, Parameter, ParameterKind, Recording, features_from_rows, matmul, parameter_features,
};

use crate::positions::{order_of, sin_cos};

/// Catmull and Rom's, which PyTorch's antialiased interpolation has.
const CUBIC: f64 = -0.5;

/// The `table` of an encoder, `(1, T, D)`, for patches of another `grid` than the `trained` one: see [`refitted`]. The
/// `n_before` rows that precede the patches stay as they are.
pub(crate) fn for_grid(
    table: &Parameter,
    n_before: usize,
    trained: (usize, usize),
    grid: (usize, usize),
) -> Result<Parameter, OpError> {
    let dim = table.shape()[2];
    let mut values = table.to_vec();
    let rows = values.split_off(n_before * dim);
    values.extend(refitted(&rows, dim, trained, grid).0);
    let shape = [1, n_before + grid.0 * grid.1, dim];
    let mut table = Parameter::new(table.device(), ParameterKind::Vector, &shape, values)?;
    table.set_trainable(false);
    Ok(table)
}

/// The same of a learned `table`, as rows `(T, D)` through which a gradient passes to it: always interpolated, which is a product
/// with fixed weights.
pub(crate) fn trained_for_grid(
    table: &Parameter,
    n_before: usize,
    trained: (usize, usize),
    grid: (usize, usize),
    recording: Recording,
) -> Result<Features, OpError> {
    let (n_old, n_new) = (trained.0 * trained.1, grid.0 * grid.1);
    let identity: Vec<f32> = (0..n_old * n_old).map(|i| f32::from(u8::from(i % (n_old + 1) == 0))).collect();
    let weights_of_patches = resampled(&identity, n_old, trained, grid); // (T', T)
    let width = n_before + n_old;
    let mut weights = vec![0.0; (n_before + n_new) * width];
    for before in 0..n_before {
        weights[before * width + before] = 1.0;
    }
    for (row, of_patch) in weights.chunks_mut(width).skip(n_before).zip(weights_of_patches.chunks(n_old)) {
        row[n_before..].copy_from_slice(of_patch);
    }
    let weights = features_from_rows(table.device(), (n_before + n_new, width), weights, Recording::Off)?;
    matmul(weights, parameter_features(table, recording)?)
}

/// Rows `(T, D)` of a grid for another: sines and cosines of that one, if that is what they are, and interpolated otherwise.
/// Also says whether they were computed.
fn refitted(rows: &[f32], dim: usize, from: (usize, usize), to: (usize, usize)) -> (Vec<f32>, bool) {
    match order_of(rows, from, dim) {
        Some(first) => (sin_cos(to, dim, first), true),
        None => (resampled(rows, dim, from, to), false),
    }
}

/// The table of an encoder for images of another size, for one with `n_before` rows before those of its `grid`, and patches of
/// `patch` pixels. The other one has as many rows before those of its patches, or one for the class token, or none; rows that it
/// lacks are 0.
pub(crate) fn of_other_size(
    other: OfOtherSize<'_>,
    dim: usize,
    n_before: usize,
    patch: usize,
    grid: (usize, usize),
) -> Option<Resized> {
    let &[1, n, other_dim] = other.shape else { return None };
    if other_dim != dim || other.values.len() != n * dim {
        return None;
    }
    let said = other.image_size.map(|(height, width)| (height / patch, width / patch));
    let of_n = |n: usize| {
        let side = n.isqrt();
        let square = (side * side == n && n > 0).then_some((side, side));
        said.filter(|(rows, columns)| rows.checked_mul(*columns) == Some(n) && n > 0).or(square)
    };
    let own_kinds = [n_before, n_before.min(1), 0];
    let (n_of_other, from) =
        own_kinds.into_iter().find_map(|before| Some((before, of_n(n.checked_sub(before)?)?)))?;
    let (before, rows) = other.values.split_at(n_of_other * dim);
    let (fitted, computed) = match from == grid {
        true => (rows.to_vec(), false),
        false => refitted(rows, dim, from, grid),
    };
    let mut values = before.to_vec();
    values.resize(n_before * dim, 0.0);
    values.extend(fitted);
    Some(Resized { values, from, to: grid, computed })
}

/// Rows `(T, D)` of a grid, interpolated at the places of another: bicubic, antialiased, as timm's `resample_abs_pos_embed`.
fn resampled(rows: &[f32], dim: usize, from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let weights = |from, to| (0..to).map(|place| Weights::of(place, from, to)).collect::<Vec<_>>();
    let (down, across) = (weights(from.0, to.0), weights(from.1, to.1));
    let mut values = Vec::with_capacity(to.0 * to.1 * dim);
    for vertical in &down {
        for horizontal in &across {
            let mut sums = vec![0.0; dim];
            for (i, weight) in vertical.of_places() {
                for (j, other) in horizontal.of_places() {
                    let row = &rows[(i * from.1 + j) * dim..][..dim];
                    for (sum, value) in sums.iter_mut().zip(row) {
                        *sum += weight * other * f64::from(*value);
                    }
                }
            }
            values.extend(sums.into_iter().map(|sum| sum as f32));
        }
    }
    values
}

/// What the places along an axis count for at one new place.
struct Weights {
    /// The first that counts.
    first: usize,
    weights: Vec<f64>,
}

impl Weights {
    fn of(place: usize, from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let width = scale.max(1.0);
        let center = scale * (place as f64 + 0.5);
        let reach = 2.0 * width;
        let first = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5) as usize).min(from);
        let mut weights: Vec<f64> =
            (first..end).map(|place| cubic((place as f64 - center + 0.5) / width)).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Self { first, weights }
    }

    fn of_places(&self) -> impl Iterator<Item = (usize, f64)> {
        (self.first..).zip(self.weights.iter().copied())
    }
}

/// Keys's cubic convolution kernel.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * CUBIC
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::positions::First;
    use tensor_ops::Device;

    /// ```python
    /// import torch
    /// from timm.layers import resample_abs_pos_embed  # timm 1.0
    /// def table(n):
    ///     return torch.tensor([[[((i * 7 + (i * i) % 5 + j * 3) % 11) / 4 - 1 for j in range(2)] for i in range(n)]])
    /// for old, new, before in [((2, 3), (4, 5), 1), ((6, 5), (2, 3), 0)]:
    ///     resized = resample_abs_pos_embed(table(before + old[0] * old[1]), list(new), list(old), before)
    ///     print(resized.flatten().tolist())
    /// ```
    #[test]
    fn learned_positions_are_those_of_timm() {
        #[rustfmt::skip]
        let larger = [
            -1.0, -0.25, 1.034267, -1.43424, 1.021949, -0.181903, 0.860294, 1.610294, 0.031936, 1.073474, -0.499861,
            0.511099, 0.982716, -0.612197, 0.804824, 0.164726, 0.491071, 1.241071, 0.224813, 0.702598, 0.083929, 0.221294,
            0.880492, 1.017857, 0.37428, 0.852066, -0.241071, 0.508929, 0.607276, -0.032823, 1.241543, -0.353369, 0.82894,
            1.8399, 0.157155, 1.198694, -0.610294, 0.139706, 0.800154, -0.403698, 1.825333, -0.643174,
        ];
        #[rustfmt::skip]
        let smaller = [
            -0.019231, 0.008198, 0.41276, 0.119982, 0.333097, 0.420091, 0.597672, 0.387955, -0.095349, 0.549801, -0.107692,
            0.301063,
        ];
        for (trained, grid, n_before, expected) in
            [((2, 3), (4, 5), 1, &larger[..]), ((6, 5), (2, 3), 0, &smaller[..])]
        {
            let n = n_before + trained.0 * trained.1;
            let values = (0..n)
                .flat_map(|i: usize| [0, 3].map(|j| ((i * 7 + (i * i) % 5 + j) % 11) as f32 / 4.0 - 1.0));
            let table =
                Parameter::new(&Device::default(), ParameterKind::Vector, &[1, n, 2], values.collect())
                    .unwrap();
            let resized = for_grid(&table, n_before, trained, grid).unwrap();
            assert_eq!(resized.shape(), [1, n_before + grid.0 * grid.1, 2]);
            for (ours, theirs) in resized.to_vec().iter().zip(expected) {
                assert!((ours - theirs).abs() < 2e-6, "{ours} instead of {theirs}");
            }
        }
    }

    #[test]
    fn sines_and_cosines_are_known_by_their_values_and_computed_anew_in_their_order() {
        for first in [First::Row, First::Column] {
            // As another program has them, in single precision.
            let rows: Vec<f32> = sin_cos((3, 4), 16, first).iter().map(|value| value + 3e-6).collect();
            assert_eq!(order_of(&rows, (3, 4), 16), Some(first));
            assert_eq!(refitted(&rows, 16, (3, 4), (2, 5)), (sin_cos((2, 5), 16, first), true));
            let mut trained = rows.clone();
            trained[5 * 16 + 3] += 0.01;
            assert_eq!(order_of(&trained, (3, 4), 16), None);
            assert_eq!(
                refitted(&trained, 16, (3, 4), (2, 5)),
                (resampled(&trained, 16, (3, 4), (2, 5)), false)
            );
        }
        let rows = sin_cos((3, 4), 16, First::Row);
        assert_eq!(order_of(&rows, (4, 3), 16), None);
        assert_eq!(order_of(&rows, (3, 4), 8), None);
    }

    #[test]
    fn a_table_of_another_size_keeps_the_rows_before_the_patches() {
        let values: Vec<f32> = (0..17 * 2).map(|i| (i as f32 * 1.7).sin()).collect();
        let fitted = |shape: &[usize], values: &[f32], n_before, image_size| {
            let other = OfOtherSize { shape, values, image_size };
            of_other_size(other, 2, n_before, 4, (2, 3))
        };
        let class = fitted(&[1, 17, 2], &values, 1, None).unwrap();
        assert_eq!((class.from, class.to, class.computed), ((4, 4), (2, 3), false));
        assert_eq!((&class.values[..2], class.values.len()), (&values[..2], 14));
        assert_eq!(class.values[2..], resampled(&values[2..], 2, (4, 4), (2, 3)));
        // Without a row for the class token, as timm's `no_embed_class`; with registers, which have none in DINOv2.
        let none = fitted(&[1, 16, 2], &values[2..], 1, None).unwrap();
        assert_eq!((&none.values[..2], &none.values[2..]), (&[0.0, 0.0][..], &class.values[2..]));
        let registers = fitted(&[1, 17, 2], &values, 5, None).unwrap();
        let expected = [&values[..2], &[0.0; 8], &class.values[2..]].concat();
        assert_eq!(registers.values, expected);
        // The grid of an image that is not square must be said.
        assert_eq!(fitted(&[1, 15, 2], &values[..30], 0, None), None);
        assert_eq!(fitted(&[1, 15, 2], &values[..30], 0, Some((12, 20))).unwrap().from, (3, 5));
        assert_eq!(fitted(&[1, 15, 2], &values[..30], 0, Some((12, 24))), None);
        assert_eq!(fitted(&[17, 2], &values, 1, None), None);
        assert_eq!(fitted(&[1, 17, 1], &values[..17], 1, None), None);
    }

    #[test]
    fn the_grid_that_was_trained_on_keeps_its_values() {
        let rows: Vec<f32> = (0..24).map(|i| (i as f32 * 1.7).sin()).collect();
        for (new, old) in resampled(&rows, 2, (3, 4), (3, 4)).iter().zip(&rows) {
            assert!((new - old).abs() < 1e-6);
        }
    }
}
