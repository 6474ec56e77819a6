//! What the steps of a graph give.

use plugin_api::{InputShape, MapShape};

/// What a step gives for each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowShape {
    /// All values.
    pub(crate) width: usize,
    /// The map behind the features.
    pub(crate) map: Option<MapShape>,
}

impl RowShape {
    pub(crate) fn features(width: usize) -> Self {
        Self { width, map: None }
    }

    /// Of an input of an objective.
    pub(crate) fn of(input: &InputShape) -> Self {
        Self { width: input.width, map: input.map }
    }

    /// The features before the map.
    pub(crate) fn n_features(self) -> usize {
        self.width.saturating_sub(self.map.map_or(0, MapShape::n_values))
    }
}

impl std::fmt::Display for RowShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.n_features();
        match self.map {
            None => write!(f, "{n} features"),
            Some(MapShape { rows, columns, channels }) => {
                let map = format!("a map of {rows} x {columns} positions with {channels} values");
                if n == 0 { f.write_str(&map) } else { write!(f, "{n} features and {map}") }
            }
        }
    }
}
