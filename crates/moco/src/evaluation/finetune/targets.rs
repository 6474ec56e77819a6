//! What a classifier is to say of each image, as shares of the classes.

/// For each image, how much of its label is which class: `(N, classes)` row by row; each row has the sum 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    shares: Vec<f64>,
    n_classes: usize,
}

impl Targets {
    /// Of images with one label each: the share `smoothing` of it is spread evenly over all `n_classes`, as in
    /// torch.nn.CrossEntropyLoss with `label_smoothing`.
    pub fn of_labels(labels: &[u32], n_classes: usize, smoothing: f64) -> Self {
        let mut shares = vec![smoothing / n_classes as f64; labels.len() * n_classes];
        for (row, &label) in shares.chunks_exact_mut(n_classes).zip(labels) {
            if let Some(own) = row.get_mut(label as usize) {
                *own += 1.0 - smoothing;
            }
        }
        Self { shares, n_classes }
    }

    /// The shares, row by row.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// Mixes each row with that of the image as far from the end of the batch as its own is from the start.
    pub(super) fn mix_with_reversed(&mut self, own: f64) {
        let reversed: Vec<f64> = self.shares.chunks_exact(self.n_classes).rev().flatten().copied().collect();
        for (share, other) in self.shares.iter_mut().zip(reversed) {
            *share = own * *share + (1.0 - own) * other;
        }
    }

    /// Replaces logits, `(N, classes)`, by the gradient of the mean cross entropy, which it returns, in nats.
    pub(super) fn cross_entropy(&self, logits: &mut [f32]) -> f64 {
        let n = (self.shares.len() / self.n_classes) as f64;
        let mut loss = 0.0;
        for (row, shares) in
            logits.chunks_exact_mut(self.n_classes).zip(self.shares.chunks_exact(self.n_classes))
        {
            let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
            for (value, &share) in row.iter_mut().zip(shares) {
                let log_share = f64::from(*value) - largest - sum.ln();
                loss -= share * log_share / n;
                *value = ((log_share.exp() - share) / n) as f32;
            }
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(values: &[f32], expected: &[f64]) {
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-4, "{values:?}");
        }
    }

    #[test]
    fn smoothed_labels_give_the_loss_and_gradient_of_pytorch() {
        // x = torch.tensor([[1.0, -0.5, 0.25], [0.0, 2.0, -1.0]], requires_grad=True)
        // loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(x, torch.tensor([2, 1])); loss.backward()
        // print(loss.item(), x.grad)
        let mut values = [1.0, -0.5, 0.25, 0.0, 2.0, -1.0];
        let loss = Targets::of_labels(&[2, 1], 3, 0.1).cross_entropy(&mut values);
        assert!((loss - 0.8072443).abs() < 1e-6, "{loss}");
        assert_near(&values, &[0.2782, 0.0491, -0.3274, 0.0404, -0.0448, 0.0043]);
    }

    #[test]
    fn mixed_labels_give_the_loss_and_gradient_of_timm() {
        // from timm.data.mixup import mixup_target; from timm.loss import SoftTargetCrossEntropy
        // x = torch.tensor([[1.0, -0.5, 0.25], [0.0, 2.0, -1.0]], requires_grad=True)
        // target = mixup_target(torch.tensor([2, 1]), 3, 0.7, 0.1)
        // loss = SoftTargetCrossEntropy()(x, target); loss.backward(); print(target, loss.item(), x.grad)
        let mut targets = Targets::of_labels(&[2, 1], 3, 0.1);
        targets.mix_with_reversed(0.7);
        let shares: Vec<f32> = targets.shares().iter().map(|&share| share as f32).collect();
        assert_near(&shares, &MIXED_SHARES);
        let mut values = [1.0, -0.5, 0.25, 0.0, 2.0, -1.0];
        let loss = targets.cross_entropy(&mut values);
        assert!((loss - MIXED_LOSS).abs() < 1e-6, "{loss}");
        assert_near(&values, &MIXED_GRADIENT);
    }

    const MIXED_SHARES: [f64; 6] = [0.0333, 0.3033, 0.6633, 0.0333, 0.6633, 0.3033];
    const MIXED_LOSS: f64 = 1.3134942;
    const MIXED_GRADIENT: [f64; 6] = [0.2782, -0.0859, -0.1924, 0.0404, 0.0902, -0.1307];
}
