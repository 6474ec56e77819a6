//! Maps beside features.

use tensor_ops::{
    Features, OpError, Rows as _, Tokens, concat_columns, reshape_rows, rows_from_tokens, slice_columns,
};

/// The map that a backbone's features are pooled from: `channels` values at each of `rows` x `columns` positions.
///
/// In the graph it stands behind the features of each image, in the same row: `(N, D + rows * columns * channels)`, position after
/// position. So it goes wherever features go: through momentum copies, parts of a batch and processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapShape {
    /// Positions from top to bottom.
    pub rows: usize,
    /// Positions from left to right.
    pub columns: usize,
    /// Values at each.
    pub channels: usize,
}

impl MapShape {
    /// `T`, the positions of an image.
    pub fn n_positions(self) -> usize {
        self.rows * self.columns
    }

    /// The values of an image.
    pub fn n_values(self) -> usize {
        self.n_positions() * self.channels
    }

    /// A row for each image of its features `(N, D)` and its map `(N, T, C)` behind them, `(N, D + T C)`.
    ///
    /// # Errors
    /// If they are of other numbers of images.
    pub fn behind(features: Features, map: Tokens) -> Result<Features, OpError> {
        let n = map.n();
        concat_columns(vec![features, reshape_rows(rows_from_tokens(map)?, n)?])
    }

    /// The features of rows with a map behind them, `(N, D + T C)` to `(N, D)`.
    ///
    /// # Errors
    /// If there are no features.
    pub fn without(self, rows: Features) -> Result<Features, OpError> {
        let width = rows.d();
        slice_columns(rows, 0..width.saturating_sub(self.n_values()))
    }

    /// The positions of the maps that stand behind features, a row for each, `(N, D + T C)` to `(N T, C)`.
    ///
    /// # Errors
    /// If the rows are shorter than the map.
    pub fn positions(self, rows: Features) -> Result<Features, OpError> {
        let (n, width) = (rows.n(), rows.d());
        let Some(first) = width.checked_sub(self.n_values()) else {
            return Err(OpError::shape("map", "width of rows with a map", self.n_values(), width));
        };
        reshape_rows(slice_columns(rows, first..width)?, n * self.n_positions())
    }
}
