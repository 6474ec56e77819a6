//! Principal components.

use nalgebra::{DMatrix, SymmetricEigen};
use plugin_api::Rng;

use super::{MapError, unit_rows};

/// Directions beyond those that are asked for, which make the iteration converge sooner (Halko et al. 2011, arXiv:0909.4061).
const MORE_DIRECTIONS: usize = 8;
/// Passes over the features at the most.
const MOST_PASSES: usize = 200;
/// Rows whose variance is below this are equal, and what they differ by is rounding: of rows of length 1.
const LEAST_VARIANCE: f64 = 1e-20;
/// A pass that adds less than this share ends the iteration.
const LEAST_GAIN: f64 = 1e-12;

/// The directions in which features differ most.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    /// The coordinates of each row along them, `(N, K)`, row by row.
    pub places: Vec<f64>,
    /// How many directions there are, `K`.
    pub k: usize,
    /// The share of the variance along each, 0–1; they fall.
    pub shares: Vec<f64>,
}

/// The first `k` principal components of `rows`, `(N, D)`, brought to unit length: fewer if there are fewer rows or features.
///
/// By orthogonal iteration from directions drawn by `seed`. Of each direction the sign is chosen so that its largest weight is
/// positive.
///
/// # Errors
/// If there are no rows, or a feature is not finite.
///
/// # Panics
/// If the values are not a multiple of `d`.
pub fn principal_components(rows: &[f32], d: usize, k: usize, seed: u64) -> Result<Components, MapError> {
    let unit = unit_rows(rows, d)?;
    assert!(unit.len().is_multiple_of(d), "features are whole rows of {d}");
    let n = unit.len() / d;
    let k = k.min(n).min(d);
    // nalgebra stores columns, so rows `(N, D)` are its matrix `(D, N)`.
    let mut columns = DMatrix::from_vec(d, n, unit);
    let mean = columns.column_mean();
    columns.column_iter_mut().for_each(|mut column| column -= &mean);
    let total = columns.norm_squared();
    let directions = directions(&columns, (k + MORE_DIRECTIONS).min(n).min(d), seed);
    let projected = directions.tr_mul(&columns); // (directions, N)
    let (values, rotation) = largest_first(&(&projected * projected.transpose()));
    let mut places = rotation.tr_mul(&projected); // (directions, N)
    let weights = &directions * &rotation; // (D, directions)
    for (direction, weights) in weights.column_iter().enumerate() {
        let largest = weights.iter().copied().reduce(|a, b| if b.abs() > a.abs() { b } else { a });
        if largest.is_some_and(|largest| largest < 0.0) {
            places.row_mut(direction).neg_mut();
        }
    }
    let differ = total > LEAST_VARIANCE * n as f64;
    let share = |value: f64| if differ { (value / total).clamp(0.0, 1.0) } else { 0.0 };
    Ok(Components {
        places: places
            .column_iter()
            .flat_map(|column| column.iter().take(k).copied().collect::<Vec<_>>())
            .collect(),
        k,
        shares: values.into_iter().take(k).map(share).collect(),
    })
}

/// Orthonormal directions `(D, m)` near those along which the columns vary most.
fn directions(columns: &DMatrix<f64>, m: usize, seed: u64) -> DMatrix<f64> {
    let mut rng = Rng::new(seed, "directions of a map", &[]);
    let mut directions = DMatrix::from_fn(columns.nrows(), m, |_, _| rng.normal()).qr().q();
    let mut before = 0.0;
    for _ in 0..MOST_PASSES {
        let along = columns.tr_mul(&directions); // (N, m)
        let captured = along.norm_squared();
        directions = (columns * along).qr().q();
        if captured - before <= LEAST_GAIN * captured {
            break;
        }
        before = captured;
    }
    directions
}

/// The eigenvalues of a symmetric matrix, and its eigenvectors as columns, the largest first.
fn largest_first(matrix: &DMatrix<f64>) -> (Vec<f64>, DMatrix<f64>) {
    let SymmetricEigen { eigenvalues, eigenvectors } = SymmetricEigen::new(matrix.clone());
    let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
    order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]).then(a.cmp(b)));
    let values = order.iter().map(|place| eigenvalues[*place]).collect();
    (values, eigenvectors.select_columns(&order))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of `d` features that vary along a few directions, by less and less.
    fn rows(n: usize, d: usize) -> Vec<f32> {
        let mut rng = Rng::new(3, "rows", &[]);
        let axes: Vec<f64> = (0..4 * d).map(|_| rng.normal()).collect();
        let row = |_: usize| {
            let along: Vec<f64> = [8.0, 4.0, 2.0, 1.0].iter().map(|size| size * rng.normal()).collect();
            let value = |i: usize| {
                let of_axes: f64 =
                    along.iter().enumerate().map(|(axis, place)| place * axes[axis * d + i]).sum();
                (20.0 + of_axes + 0.1 * rng.normal()) as f32
            };
            (0..d).map(value).collect::<Vec<f32>>()
        };
        (0..n).flat_map(row).collect()
    }

    #[test]
    fn they_are_those_of_the_covariance_matrix() {
        for (n, d) in [(300, 20), (30, 90)] {
            let rows = rows(n, d);
            let found = principal_components(&rows, d, 3, 0).unwrap();
            let mut columns = DMatrix::from_vec(d, n, unit_rows(&rows, d).unwrap());
            let mean = columns.column_mean();
            columns.column_iter_mut().for_each(|mut column| column -= &mean);
            let (values, vectors) = largest_first(&(&columns * columns.transpose()));
            let total: f64 = values.iter().sum();
            for (direction, value) in values.iter().take(3).enumerate() {
                assert!((found.shares[direction] - value / total).abs() < 1e-9);
                let expected = vectors.column(direction).tr_mul(&columns);
                let sign = (found.places[direction] * expected[0]).signum();
                for (row, expected) in expected.iter().enumerate() {
                    let place = found.places[row * 3 + direction];
                    assert!((sign * place - expected).abs() < 1e-6, "{place} {expected}");
                }
            }
        }
    }

    #[test]
    fn few_rows_equal_rows_and_none_are_no_trouble() {
        let same = principal_components(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0], 2, 2, 0).unwrap();
        assert!(
            same.places.iter().all(|place| place.abs() < 1e-9)
                && same.shares.iter().all(|share| *share < 1e-9)
        );
        let one = principal_components(&[1.0, 2.0], 2, 2, 0).unwrap();
        assert_eq!((one.k, one.places.len()), (1, 1));
        assert!(principal_components(&[0.0; 12], 4, 2, 0).unwrap().places.iter().all(|place| *place == 0.0));
        assert_eq!(principal_components(&[], 4, 2, 0), Err(MapError::Empty));
        assert_eq!(principal_components(&[f32::NAN; 4], 4, 2, 0), Err(MapError::NotFinite));
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let rows = rows(200, 40);
        assert_eq!(principal_components(&rows, 40, 2, 5), principal_components(&rows, 40, 2, 5));
    }
}
