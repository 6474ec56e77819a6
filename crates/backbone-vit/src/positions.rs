//! Position embeddings.

use nn::{Builder, Init};
use plugin_api::ConfigError;
use tensor_ops::{Parameter, ParameterKind};

use crate::config::Position;

/// Standard deviation of a learned table, as in timm.
const LEARNED_STD: f64 = 0.02;

/// The table that is added to the tokens, `(1, T, D)`; `None` without one. `n_before` tokens precede the patches.
pub(crate) fn table(
    position: Position,
    builder: &Builder<'_>,
    n_before: usize,
    grid: (usize, usize),
    dim: usize,
) -> Result<Option<Parameter>, ConfigError> {
    let shape = [1, n_before + grid.0 * grid.1, dim];
    match position {
        Position::None => Ok(None),
        Position::Learned => {
            let init = Init::Normal { std: LEARNED_STD };
            builder.parameter("pos_embed", ParameterKind::Vector, &shape, init).map(Some)
        }
        Position::SinCos => {
            let mut values = vec![0.0; n_before * dim];
            values.extend(sin_cos(grid, dim, First::Row));
            let mut table = builder.given(ParameterKind::Vector, &shape, values)?;
            table.set_trainable(false);
            Ok(Some(table))
        }
    }
}

/// What the first half of a row of sines and cosines tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// The row of the patch, as in MoCo v3.
    Row,
    /// Its column, as in MAE.
    Column,
}

/// Two-dimensional sines and cosines, `(T, D)`: `[sin(a·ω), cos(a·ω), sin(b·ω), cos(b·ω)]` with `a` the row of a patch,
/// `b` its column, or the other way round, and `ωᵢ = 10000^(−i/d)` for `i` below `d = D/4`.
///
/// MoCo v3's code calls the first of them the width, but computes the row.
pub(crate) fn sin_cos((n_rows, n_columns): (usize, usize), dim: usize, first: First) -> Vec<f32> {
    let frequencies = frequencies(dim);
    let mut values = Vec::with_capacity(n_rows * n_columns * dim);
    for row in 0..n_rows {
        for column in 0..n_columns {
            values.extend(of_patch(&frequencies, (row, column), first));
        }
    }
    values
}

fn frequencies(dim: usize) -> Vec<f64> {
    let d = dim / 4;
    (0..d).map(|i| 10_000_f64.powf(-(i as f64) / d as f64)).collect()
}

fn of_patch(frequencies: &[f64], (row, column): (usize, usize), first: First) -> Vec<f32> {
    let places = match first {
        First::Row => [row, column],
        First::Column => [column, row],
    };
    let mut values = Vec::with_capacity(4 * frequencies.len());
    for place in places {
        let angles = frequencies.iter().map(|frequency| place as f64 * frequency);
        values.extend(angles.clone().map(|angle| angle.sin() as f32));
        values.extend(angles.map(|angle| angle.cos() as f32));
    }
    values
}

/// Programs compute the table in single precision, where the sine of a large angle is off by this much.
const SAME: f32 = 1e-4;
/// Rows that are looked at: enough to tell a formula from trained values.
const MOST_ROWS: usize = 64;

/// Whether `rows`, `(T, D)`, are the sines and cosines of this grid, and in which order.
pub(crate) fn order_of(rows: &[f32], grid: (usize, usize), dim: usize) -> Option<First> {
    let n = grid.0 * grid.1;
    // With one patch, every order is the same, and so is a table of zeros and ones.
    if n < 2 || dim == 0 || !dim.is_multiple_of(4) || rows.len() != n * dim {
        return None;
    }
    let frequencies = frequencies(dim);
    let looked_at = || (0..n).rev().step_by(n.div_ceil(MOST_ROWS));
    [First::Row, First::Column].into_iter().find(|first| {
        looked_at().all(|place| {
            let expected = of_patch(&frequencies, (place / grid.1, place % grid.1), *first);
            rows[place * dim..][..dim].iter().zip(expected).all(|(found, value)| (found - value).abs() < SAME)
        })
    })
}
