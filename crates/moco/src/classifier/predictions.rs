//! What a classifier says of images.

use plugin_api::Embeddings;

/// The outputs of a classifier for a list of images, a row an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    logits: Embeddings,
}

/// A class of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The number of the class.
    pub class: usize,
    /// The classifier's probability of this class: the softmax of its outputs, 0–1.
    pub confidence: f32,
}

impl Predictions {
    pub(super) fn of(logits: Embeddings) -> Self {
        Self { logits }
    }

    /// The number of rows.
    pub fn n(&self) -> usize {
        self.logits.n()
    }

    /// For each row, the place of its image in the list that was given: `0..N`, unless images were left out.
    pub fn images(&self) -> &[usize] {
        self.logits.images()
    }

    /// The classifier's outputs before the softmax, `(N, classes)`.
    pub fn logits(&self) -> &Embeddings {
        &self.logits
    }

    /// The likeliest class in row `row`; of equal ones the first.
    ///
    /// # Panics
    /// If there are not so many rows.
    pub fn best(&self, row: usize) -> Prediction {
        self.top(row, 1)[0]
    }

    /// The `n` likeliest classes in row `row`, the likeliest first; all of them if there are fewer. Equal ones are in the order
    /// of their numbers.
    ///
    /// # Panics
    /// If there are not so many rows.
    pub fn top(&self, row: usize, n: usize) -> Vec<Prediction> {
        let logits = self.logits.row(row);
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let share = |logit: f32| f64::from(logit - largest).exp();
        let sum: f64 = logits.iter().map(|&logit| share(logit)).sum();
        let mut classes: Vec<usize> = (0..logits.len()).collect();
        classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        classes.truncate(n);
        let of = |class: usize| Prediction { class, confidence: (share(logits[class]) / sum) as f32 };
        classes.into_iter().map(of).collect()
    }

    /// Whether every output is a finite number. It is not where the classifier or its encoder has diverged.
    pub fn is_finite(&self) -> bool {
        self.logits.values().iter().all(|value| value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidences_are_the_softmax_and_the_likeliest_class_is_first() {
        let mut logits = Embeddings::new(4);
        logits.append(&[0, 2], &[1.0, 3.0, 0.0, 3.0, -900.0, 0.0, 900.0, 0.0]);
        let predictions = Predictions::of(logits);
        // torch.tensor([1., 3., 0., 3.]).softmax(0)
        let expected = [(1, 0.457_640_3), (3, 0.457_640_3), (0, 0.061_934_9), (2, 0.022_784_6)];
        for (found, (class, confidence)) in predictions.top(0, 9).into_iter().zip(expected) {
            assert_eq!(found.class, class);
            assert!((found.confidence - confidence).abs() < 1e-6, "{found:?}");
        }
        assert_eq!(predictions.top(0, 2).len(), 2);
        assert_eq!(predictions.best(1), Prediction { class: 2, confidence: 1.0 });
        assert_eq!((predictions.n(), predictions.images()), (2, &[0, 2][..]));
        assert!(predictions.is_finite());
    }
}
