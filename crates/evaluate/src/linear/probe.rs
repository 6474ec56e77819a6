//! Linear classifiers that are trained side by side.

use nn::Init;
use plugin_api::{Embedding, Rng};
use rayon::prelude::*;
use tensor_ops::{linear_rows, linear_rows_gradient};

use super::{ClassifierScore, ProbeError};

/// SGD's momentum, in all papers.
const MOMENTUM: f32 = 0.9;

/// The standard deviation of initial weights, in all papers.
const INITIAL_STD: f64 = 0.01;

/// Rows that are classified at a time, which bounds memory.
const ROWS_AT_ONCE: usize = 2048;

/// Linear classifiers on the same features, one per learning rate. Each has two trained tensors, a weight and a bias.
///
/// They start from the same values and see the same batches. Their weights are side by side in one matrix, so that many
/// of them cost little more than one. They do not influence each other.
#[derive(Clone, Debug)]
pub struct LinearProbe {
    d: usize,
    n_classes: usize,
    lrs: Vec<f64>,
    /// `(D, classifiers * classes)`.
    weight: Vec<f32>,
    /// `classifiers * classes`.
    bias: Vec<f32>,
    /// SGD's momentum buffer, as `weight`.
    weight_velocity: Vec<f32>,
    /// SGD's momentum buffer, as `bias`.
    bias_velocity: Vec<f32>,
}

impl LinearProbe {
    /// Untrained classifiers of `d` features and `n_classes` classes, one for each of `lrs`.
    pub fn new(d: usize, n_classes: usize, lrs: Vec<f64>, seed: u64) -> Self {
        let mut rng = Rng::new(seed, "initial values of a linear probe", &[]);
        // PyTorch's order, (classes, D).
        let initial = Init::Normal { std: INITIAL_STD }.values(&mut rng, n_classes * d);
        Self::starting_from(d, n_classes, lrs, &initial)
    }

    /// Classifiers that start from the weights `initial`, `(classes, D)`.
    fn starting_from(d: usize, n_classes: usize, lrs: Vec<f64>, initial: &[f32]) -> Self {
        let weight: Vec<f32> = (0..d)
            .flat_map(|feature| (0..lrs.len()).map(move |_| feature))
            .flat_map(|feature| (0..n_classes).map(move |class| initial[class * d + feature]))
            .collect();
        let bias = vec![0.0; lrs.len() * n_classes];
        Self {
            d,
            n_classes,
            weight_velocity: vec![0.0; weight.len()],
            bias_velocity: bias.clone(),
            lrs,
            weight,
            bias,
        }
    }

    /// Everything that a step changes: weights, biases and the momentum of both, for [`restored`](Self::restored).
    pub fn state(&self) -> [&[f32]; 4] {
        [&self.weight, &self.bias, &self.weight_velocity, &self.bias_velocity]
    }

    /// The classifiers that had this [`state`](Self::state); `None` if its lengths are not those of `d` features, `n_classes`
    /// classes and as many classifiers as `lrs`.
    pub fn restored(d: usize, n_classes: usize, lrs: Vec<f64>, state: [Vec<f32>; 4]) -> Option<Self> {
        let n_columns = lrs.len() * n_classes;
        let expected = [d * n_columns, n_columns, d * n_columns, n_columns];
        let fits = state.iter().map(Vec::len).eq(expected);
        let [weight, bias, weight_velocity, bias_velocity] = state;
        fits.then_some(Self { d, n_classes, lrs, weight, bias, weight_velocity, bias_velocity })
    }

    /// `D`.
    pub fn n_features(&self) -> usize {
        self.d
    }

    /// The number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The weight `(classes, D)` and the bias of classifier `which`, in PyTorch's layout.
    pub fn classifier(&self, which: usize) -> (Vec<f32>, Vec<f32>) {
        let first = which * self.n_classes;
        let row = self.bias.len();
        let weight = (first..first + self.n_classes)
            .flat_map(|column| (0..self.d).map(move |feature| feature * row + column))
            .map(|place| self.weight[place])
            .collect();
        (weight, self.bias[first..first + self.n_classes].to_vec())
    }

    /// One SGD step on `rows` `(N, D)` and their classes, with each learning rate times `factor`. Returns the mean
    /// cross entropy of each classifier before the step, in nats.
    ///
    /// # Errors
    /// If the sizes do not match.
    pub fn step(&mut self, rows: &[f32], labels: &[u32], factor: f64) -> Result<Vec<f64>, ProbeError> {
        let mut logits = linear_rows(rows, self.d, &self.weight, &self.bias)?;
        let losses = self.losses_to_gradients(&mut logits, labels);
        let gradient = linear_rows_gradient(rows, self.d, &logits, self.bias.len())?;
        let lrs: Vec<f32> = self
            .lrs
            .iter()
            .flat_map(|lr| std::iter::repeat_n((lr * factor) as f32, self.n_classes))
            .collect();
        sgd(&mut self.weight, &mut self.weight_velocity, &gradient.weight, &lrs);
        sgd(&mut self.bias, &mut self.bias_velocity, &gradient.bias, &lrs);
        Ok(losses)
    }

    /// The accuracy of each classifier on `test`.
    ///
    /// # Errors
    /// If `test` has no labels, no images, or other features.
    pub fn score(&self, test: &Embedding) -> Result<Vec<ClassifierScore>, ProbeError> {
        let labels = super::cached::labels_of(test)?;
        if test.d != self.d {
            return Err(ProbeError::Width { probe: self.d, found: test.d });
        }
        let n_classes = self.n_classes.max(test.n_classes);
        let mut scores: Vec<_> = self.lrs.iter().map(|_| ClassifierScore::empty(n_classes)).collect();
        for (rows, labels) in test.rows.chunks(ROWS_AT_ONCE * self.d).zip(labels.chunks(ROWS_AT_ONCE)) {
            let logits = linear_rows(rows, self.d, &self.weight, &self.bias)?;
            for (logits, &label) in logits.chunks_exact(self.bias.len()).zip(labels) {
                for (logits, score) in logits.chunks_exact(self.n_classes).zip(&mut scores) {
                    score.count(logits, label as usize);
                }
            }
        }
        Ok(scores)
    }

    /// Replaces logits `(N, classifiers * classes)` by the gradients of the mean cross entropies, and returns the
    /// latter.
    fn losses_to_gradients(&self, logits: &mut [f32], labels: &[u32]) -> Vec<f64> {
        let per_image = 1.0 / labels.len() as f32;
        let by_row: Vec<Vec<f64>> = logits
            .par_chunks_exact_mut(self.bias.len())
            .zip(labels)
            .map(|(row, &label)| {
                row.chunks_exact_mut(self.n_classes)
                    .map(|logits| to_gradient(logits, label as usize, per_image))
                    .collect()
            })
            .collect();
        // Summed in the order of the rows, independent of threads.
        let mut losses = vec![0.0; self.lrs.len()];
        for row in by_row {
            losses.iter_mut().zip(row).for_each(|(sum, loss)| *sum += loss / labels.len() as f64);
        }
        losses
    }
}

/// Replaces the logits by softmax minus the one-hot label, times `scale`, and returns the cross entropy in nats.
fn to_gradient(logits: &mut [f32], label: usize, scale: f32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let own = logits.get(label).map_or(f32::NEG_INFINITY, |logit| logit - largest);
    let mut sum = 0.0_f64;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += f64::from(*logit);
    }
    let per_sum = (1.0 / sum) as f32;
    for (class, value) in logits.iter_mut().enumerate() {
        *value = (*value * per_sum - f32::from(u8::from(class == label))) * scale;
    }
    sum.ln() - f64::from(own)
}

/// torch.optim.SGD without weight decay; `lrs` has the learning rate of each column.
fn sgd(values: &mut [f32], velocity: &mut [f32], gradient: &[f32], lrs: &[f32]) {
    let row = lrs.len();
    let rows = values.par_chunks_exact_mut(row).zip(velocity.par_chunks_exact_mut(row));
    rows.zip(gradient.par_chunks_exact(row)).for_each(|((values, velocity), gradient)| {
        for (((value, velocity), gradient), lr) in values.iter_mut().zip(velocity).zip(gradient).zip(lrs) {
            *velocity = MOMENTUM * *velocity + gradient;
            *value -= lr * *velocity;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten rows of four features, of three classes.
    fn made_up() -> (Vec<f32>, Vec<u32>) {
        let rows = (0..40).map(|i| (0.7 * i as f32).sin() + 0.5 * (i % 3) as f32).collect();
        (rows, (0..10).map(|i| i * i % 3).collect())
    }

    fn initial() -> Vec<f32> {
        (0..12).map(|i| 0.1 * (1.3 * i as f32).cos()).collect()
    }

    fn assert_near(actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        for (actual, expected) in actual.iter().zip(expected) {
            assert!((actual - expected).abs() < 2e-5, "{actual}, expected {expected}");
        }
    }

    #[test]
    fn three_steps_move_as_in_pytorch() {
        // i = torch.arange(40, dtype=torch.float64)
        // x = (torch.sin(0.7 * i) + 0.5 * (i % 3)).view(10, 4).float(); y = torch.arange(10) ** 2 % 3
        // fc = torch.nn.Linear(4, 3); fc.bias.data.zero_()
        // fc.weight.data = (0.1 * torch.cos(1.3 * torch.arange(12, dtype=torch.float64))).view(3, 4).float()
        // o = torch.optim.SGD(fc.parameters(), lr=0.5, momentum=0.9, weight_decay=0)
        // for rows, lr in ((slice(0, 6), 0.5), (slice(6, 10), 0.5), (slice(0, 10), 0.05)):
        //     o.param_groups[0]["lr"] = lr
        //     loss = torch.nn.functional.cross_entropy(fc(x[rows]), y[rows])
        //     o.zero_grad(); loss.backward(); o.step(); print(loss.item())
        // print(fc.weight.flatten(), fc.bias)
        let (rows, labels) = made_up();
        // Beside another classifier, which changes nothing.
        let mut probe = LinearProbe::starting_from(4, 3, vec![2.0, 0.5], &initial());
        for ((first, end, factor), expected) in
            [(0, 6, 1.0), (6, 10, 1.0), (0, 10, 0.1)].into_iter().zip([1.144985, 0.930107, 0.573751])
        {
            let losses = probe.step(&rows[first * 4..end * 4], &labels[first..end], factor).unwrap();
            assert_near(&[losses[1] as f32], &[expected]);
        }
        let (weight, bias) = probe.classifier(1);
        let expected = [
            -0.119419, 0.169356, 0.388486, -0.204374, 0.45364, 0.191416, -0.150795, 0.314857, -0.243468,
            -0.171604, -0.22724, -0.29406,
        ];
        assert_near(&weight, &expected);
        assert_near(&bias, &[0.114497, 0.363436, -0.477933]);
    }

    #[test]
    fn a_classifier_does_not_depend_on_those_beside_it() {
        let (rows, labels) = made_up();
        let mut many = LinearProbe::starting_from(4, 3, vec![1.0, 1e30, 0.1], &initial());
        let mut alone = LinearProbe::starting_from(4, 3, vec![0.1], &initial());
        for _ in 0..6 {
            many.step(&rows, &labels, 1.0).unwrap();
            alone.step(&rows, &labels, 1.0).unwrap();
        }
        let (weight, bias) = many.classifier(2);
        let (weight_alone, bias_alone) = alone.classifier(0);
        assert_near(&weight, &weight_alone);
        assert_near(&bias, &bias_alone);
        // The one that is far too fast.
        let test = Embedding { n: 10, d: 4, rows, labels: Some(labels), n_classes: 3 };
        let scores = many.score(&test).unwrap();
        assert!(scores[2].is_finite && scores[2].top1() > 0.5, "{scores:?}");
    }

    #[test]
    fn initial_weights_are_small_and_biases_zero() {
        let probe = LinearProbe::new(100, 20, vec![1.0], 0);
        let (weight, bias) = probe.classifier(0);
        let square = weight.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / 2000.0;
        assert!((square.sqrt() - 0.01).abs() < 5e-4, "{square}");
        assert_eq!(bias, [0.0; 20]);
        assert_ne!(weight, LinearProbe::new(100, 20, vec![1.0], 1).classifier(0).0);
    }
}
