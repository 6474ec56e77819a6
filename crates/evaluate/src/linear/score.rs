//! The accuracy of a classifier.

/// The predictions of a classifier on labeled images.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierScore {
    /// The number of classes.
    pub n_classes: usize,
    /// `(classes, classes)`: the number of images by true class (row) and predicted class (column).
    pub confusion: Vec<u64>,
    /// The number of images whose class is among the five largest logits.
    pub n_in_top5: u64,
    /// The sum of cross entropies, in nats.
    pub loss_sum: f64,
    /// Whether all logits were finite. They are not if the learning rate is far too large.
    pub is_finite: bool,
}

impl ClassifierScore {
    /// No images yet.
    pub fn empty(n_classes: usize) -> Self {
        Self {
            n_classes,
            confusion: vec![0; n_classes * n_classes],
            n_in_top5: 0,
            loss_sum: 0.0,
            is_finite: true,
        }
    }

    /// Adds an image of class `label`. If logits are equal, the lower class is first.
    pub fn count(&mut self, logits: &[f32], label: usize) {
        self.is_finite &= logits.iter().all(|logit| logit.is_finite());
        let found =
            (0..logits.len()).reduce(|best, class| if logits[class] > logits[best] { class } else { best });
        if let Some(found) = found {
            self.confusion[label * self.n_classes + found] += 1;
        }
        // A class that only the test split has is never predicted.
        let own = logits.get(label).copied().unwrap_or(f32::NAN);
        let ahead = |class: usize| logits[class] > own || (logits[class] == own && class < label);
        let rank = (0..logits.len()).filter(|class| ahead(*class)).count();
        self.n_in_top5 += u64::from(rank < 5 && !own.is_nan());
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
        self.loss_sum += sum.ln() - f64::from(own - largest);
    }

    /// The number of images.
    pub fn n(&self) -> u64 {
        self.confusion.iter().sum()
    }

    /// Top-1 accuracy, 0–1; NaN without images.
    pub fn top1(&self) -> f64 {
        (0..self.n_classes).map(|class| self.right(class)).sum::<u64>() as f64 / self.n() as f64
    }

    /// Top-5 accuracy, 0–1; `None` if there are no more than five classes.
    pub fn top5(&self) -> Option<f64> {
        (self.n_classes > 5).then(|| self.n_in_top5 as f64 / self.n() as f64)
    }

    /// The mean cross entropy, in nats.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.n() as f64
    }

    /// For each class, the number of its images and of correct predictions.
    pub fn per_class(&self) -> Vec<(u64, u64)> {
        let of = |class: usize| self.confusion[class * self.n_classes..][..self.n_classes].iter().sum();
        (0..self.n_classes).map(|class| (of(class), self.right(class))).collect()
    }

    fn right(&self, class: usize) -> u64 {
        self.confusion[class * self.n_classes + class]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_counted_by_class_and_by_what_was_found() {
        let mut score = ClassifierScore::empty(3);
        score.count(&[2.0, 1.0, 0.0], 0);
        score.count(&[2.0, 1.0, 0.0], 1);
        score.count(&[0.0, 0.0, 0.0], 1);
        score.count(&[0.0, 0.0, 5.0], 2);
        assert_eq!(score.confusion, [1, 0, 0, 2, 0, 0, 0, 0, 1]);
        assert_eq!((score.n(), score.top1(), score.top5()), (4, 0.5, None));
        assert_eq!(score.per_class(), [(1, 1), (2, 0), (1, 1)]);
        assert!(score.is_finite);
        let mut uniform = ClassifierScore::empty(4);
        uniform.count(&[1.0; 4], 3);
        assert!((uniform.loss() - 4.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn the_five_likeliest_of_seven() {
        let logits = [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0];
        let mut score = ClassifierScore::empty(7);
        (0..7).for_each(|label| score.count(&logits, label));
        assert_eq!(score.top5(), Some(5.0 / 7.0));
        // Equal logits are in the order of the classes.
        let mut equal = ClassifierScore::empty(7);
        (0..7).for_each(|label| equal.count(&[0.0; 7], label));
        assert_eq!(equal.top5(), Some(5.0 / 7.0));
    }

    #[test]
    fn a_logit_that_is_no_number_is_noted() {
        let mut score = ClassifierScore::empty(2);
        score.count(&[f32::NAN, 0.0], 0);
        assert!(!score.is_finite);
        assert_eq!(score.n(), 1);
    }
}
