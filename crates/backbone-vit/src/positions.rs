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
            values.extend(sin_cos(grid, dim));
            let mut table = builder.given(ParameterKind::Vector, &shape, values)?;
            table.set_trainable(false);
            Ok(Some(table))
        }
    }
}

/// Two-dimensional sines and cosines, `(T, D)`: `[sin(a·ω), cos(a·ω), sin(b·ω), cos(b·ω)]` with `a` the row of a patch,
/// `b` its column, and `ωᵢ = 10000^(−i/d)` for `i` below `d = D/4`.
///
/// The reference calls the first of them the width, but computes the row.
pub(crate) fn sin_cos((n_rows, n_columns): (usize, usize), dim: usize) -> Vec<f32> {
    let d = dim / 4;
    let frequencies: Vec<f64> = (0..d).map(|i| 10_000_f64.powf(-(i as f64) / d as f64)).collect();
    let mut values = Vec::with_capacity(n_rows * n_columns * dim);
    for row in 0..n_rows {
        for column in 0..n_columns {
            for place in [row, column] {
                let angles = frequencies.iter().map(|frequency| place as f64 * frequency);
                values.extend(angles.clone().map(|angle| angle.sin() as f32));
                values.extend(angles.map(|angle| angle.cos() as f32));
            }
        }
    }
    values
}
