//! Features as points in the plane, and groups of them.
//!
//! [`principal_components`] and [`t_sne`] give each row a place, [`k_means`] a group. All of them look at directions: rows are
//! brought to unit length first, as cosine similarity does. Draws are keyed by the seed, and the same rows and seed give the
//! same bits, with any number of threads.

mod k_means;
mod pca;
mod spread;
mod tsne;

pub use self::k_means::k_means;
pub use self::pca::{Components, principal_components};
pub use self::spread::spread;
pub use self::tsne::t_sne;

/// Features that no map can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// There are none.
    #[error("there are no features")]
    Empty,
    /// A feature is infinite or not a number.
    #[error("a feature is infinite or not a number")]
    NotFinite,
    /// t-SNE moved the points without end.
    #[error("t-SNE finds no places for these features: too many of them are equal")]
    Lost,
}

impl MapError {
    /// What the reader can do about it.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Self::Empty => None,
            Self::NotFinite => Some("training has diverged: use an earlier checkpoint"),
            Self::Lost => Some("use PCA"),
        }
    }
}

/// Rows `(N, D)` of unit length in double precision; a row of zeros stays.
fn unit_rows(rows: &[f32], d: usize) -> Result<Vec<f64>, MapError> {
    if rows.is_empty() || d == 0 {
        return Err(MapError::Empty);
    }
    if !rows.iter().all(|value| value.is_finite()) {
        return Err(MapError::NotFinite);
    }
    let mut unit: Vec<f64> = rows.iter().copied().map(f64::from).collect();
    for row in unit.chunks_exact_mut(d) {
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|value| *value /= length);
        }
    }
    Ok(unit)
}
