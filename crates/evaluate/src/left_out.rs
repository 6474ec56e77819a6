//! k-nearest-neighbor classification of images among themselves.

use plugin_api::Embedding;

use crate::knn::{KnnError, vote};
use crate::neighbors::neighbors;

/// The class that the `k` nearest other images give each of `images`, by the vote of [`knn`](crate::knn()): which classes the
/// features mix up, where there is one set of images.
///
/// # Errors
/// If there are no labels, no images, or a feature is not finite.
pub fn knn_left_out(images: &Embedding, k: usize, temperature: f64) -> Result<Vec<usize>, KnnError> {
    let Some(labels) = &images.labels else { return Err(KnnError::NoLabels) };
    let found = neighbors(&images.rows, &images.rows, images.d, k + 1)?;
    let voted = found.into_iter().enumerate().map(|(row, mut found)| {
        found.retain(|neighbor| neighbor.row != row);
        found.truncate(k);
        vote(&found, labels, images.n_classes, temperature)
    });
    Ok(voted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_no_vote_on_itself() {
        // One of class 1 among those of class 0, and the same the other way round.
        let labels = vec![1, 0, 0, 0, 0, 1, 1, 1];
        let at = |x: f32, y: f32| [x, y];
        let rows = [
            at(1.0, 0.0),
            at(1.0, 0.01),
            at(1.0, 0.02),
            at(1.0, 0.03),
            at(0.0, 1.0),
            at(0.01, 1.0),
            at(0.02, 1.0),
            at(0.03, 1.0),
        ];
        let images = Embedding { n: 8, d: 2, rows: rows.concat(), labels: Some(labels), n_classes: 2 };
        assert_eq!(knn_left_out(&images, 3, 0.1).unwrap(), [0, 0, 0, 0, 1, 1, 1, 1]);
        // With all others: there are three of the own class, and four of the other one.
        assert_eq!(knn_left_out(&images, 100, 1e9).unwrap(), [0, 1, 1, 1, 1, 0, 0, 0]);
        let unlabeled = Embedding { labels: None, ..images };
        assert_eq!(knn_left_out(&unlabeled, 3, 0.1), Err(KnnError::NoLabels));
    }
}
