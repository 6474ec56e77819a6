//! Features of a list of images.

use crate::{Embedding, Images};

/// Features `(N, D)`, a row an image, in the order in which the images were given.
///
/// They are not normalized: for cosine similarities, divide each row by its length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    d: usize,
    values: Vec<f32>,
    images: Vec<usize>,
}

impl Embeddings {
    /// No rows yet, of `d` features each.
    pub fn new(d: usize) -> Self {
        Self { d, values: Vec::new(), images: Vec::new() }
    }

    /// Adds a row for each of `images`, their places in the list that was given.
    ///
    /// # Panics
    /// If there are not `images.len()` rows of `D` values.
    pub fn append(&mut self, images: &[usize], rows: &[f32]) {
        assert_eq!(images.len() * self.d, rows.len(), "each image has a row of features");
        self.images.extend(images);
        self.values.extend(rows);
    }

    /// The same with the labels that `images` have, as monitors and probes take it; without, if one image has none.
    pub fn with_labels(self, images: &dyn Images) -> Embedding {
        let labels = self.images.iter().map(|&image| images.label(image)).collect::<Option<Vec<u32>>>();
        let n_classes = images.class_names().len();
        let labels = labels.filter(|_| n_classes > 0);
        Embedding { n: self.images.len(), d: self.d, rows: self.values, labels, n_classes }
    }

    /// `N`, the number of rows.
    pub fn n(&self) -> usize {
        self.images.len()
    }

    /// `D`, the number of features.
    pub fn d(&self) -> usize {
        self.d
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, row by row, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// Row `row`.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.d..(row + 1) * self.d]
    }

    /// The rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.d.max(1))
    }

    /// For each row, the place of its image in the list that was given: `0..N`, unless images were left out.
    pub fn images(&self) -> &[usize] {
        &self.images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_order_and_know_their_images() {
        let mut embeddings = Embeddings::new(2);
        embeddings.append(&[0], &[1.0, 2.0]);
        embeddings.append(&[2, 3], &[3.0, 4.0, 5.0, 6.0]);
        assert_eq!((embeddings.n(), embeddings.d()), (3, 2));
        assert_eq!(embeddings.rows().collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        assert_eq!((embeddings.row(2), embeddings.images()), (&[5.0, 6.0][..], &[0, 2, 3][..]));
        assert_eq!(embeddings.into_values().len(), 6);
    }
}
