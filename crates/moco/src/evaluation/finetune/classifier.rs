//! An encoder with a linear layer on it, trained as a whole.

use plugin_api::Rng;
use plugin_api::{Backbone, Entry, Optimizer, UpdateStep};
use tensor_ops::{
    Buffer, Device, FeatureMap, Mode, OpError, Parameter, ParameterKind, Precision, Recording, backward,
    linear, to_rows, weighted_sum,
};

use super::layers;

/// The standard deviation of the classifier's initial weights.
const INITIAL_STD: f64 = 0.01;

/// An encoder and a linear classifier of its features. Every parameter is trained, also those that pre-training had frozen.
pub struct FineTune {
    backbone: Box<dyn Backbone>,
    precision: Precision,
    weight: Parameter,
    bias: Parameter,
    n_classes: usize,
    optimizer: Box<dyn Optimizer>,
    /// Of each parameter: the backbone's in visiting order, the weight, the bias.
    slots: Vec<Vec<Buffer>>,
    /// Of each parameter: a factor on its learning rate.
    factors: Vec<f64>,
    n_updates: u64,
}

impl FineTune {
    /// `backbone` with a classifier of `n_classes` on it, and what moves their parameters; `layer_decay` is the ratio of the
    /// learning rates of a layer and the one above it.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(
        mut backbone: Box<dyn Backbone>,
        precision: Precision,
        device: &Device,
        n_classes: usize,
        optimizer: Box<dyn Optimizer>,
        layer_decay: f64,
        seed: u64,
    ) -> Result<Self, OpError> {
        let d = backbone.n_features();
        let mut rng = Rng::new(seed, "initial values of a fine-tuned classifier", &[]);
        let values = (0..d * n_classes).map(|_| (INITIAL_STD * rng.normal()) as f32).collect();
        let weight = Parameter::new(device, ParameterKind::Matrix, &[d, n_classes], values)?;
        let bias = Parameter::new(device, ParameterKind::Vector, &[n_classes], vec![0.0; n_classes])?;
        let (mut names, mut lens) = (Vec::new(), Vec::new());
        backbone.visit(&mut |name, entry| {
            if let Entry::Parameter(parameter) = entry {
                parameter.set_trainable(true);
                names.push(name.to_owned());
                lens.push(parameter.n_elements());
            }
        });
        lens.extend([weight.n_elements(), bias.n_elements()]);
        let n_slots = optimizer.slots().len();
        let mut factors = layers::factors(&names, layer_decay);
        factors.extend([1.0, 1.0]);
        Ok(Self {
            backbone,
            precision,
            weight,
            bias,
            n_classes,
            optimizer,
            slots: lens
                .into_iter()
                .map(|len| (0..n_slots).map(|_| Buffer::zeros(&[len])).collect())
                .collect(),
            factors,
            n_updates: 0,
        })
    }

    /// Classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// In how many parts batch norm takes its statistics, of which a batch must be a multiple.
    pub(super) fn splits(&self) -> usize {
        self.backbone.batch_norm_splits().unwrap_or(1)
    }

    /// One step on `images` and their classes, at the learning rate `lr` of the classifier; gives the mean cross entropy
    /// with the smoothed labels before the step, in nats.
    ///
    /// # Errors
    /// If the images do not fit the encoder.
    pub fn step(
        &mut self,
        images: FeatureMap,
        labels: &[u32],
        smoothing: f64,
        lr: f64,
    ) -> Result<f64, OpError> {
        let images = images.with_recording(Recording::start()).with_precision(self.precision)?;
        let features = self.backbone.forward(images, Mode::Train)?;
        let logits = linear(features, &self.weight, Some(&self.bias))?;
        let mut gradient = to_rows(&logits);
        let loss = smoothed_cross_entropy(&mut gradient, labels, self.n_classes, smoothing);
        let mut gradients = backward(weighted_sum(logits, &gradient)?)?;
        self.n_updates += 1;
        let (optimizer, n_updates) = (&*self.optimizer, self.n_updates);
        let mut settings = self.factors.iter().zip(&mut self.slots);
        let mut result = Ok(());
        let mut update = |parameter: &mut Parameter| {
            let Some((factor, slots)) = settings.next() else { return };
            if result.is_err() {
                return;
            }
            let n_axes = parameter.shape().len();
            // Biases and norms are not shrunk, as DeiT and BEiT have it.
            let weight_decay = (n_axes < 2).then_some(0.0);
            let step = UpdateStep { lr: lr * factor, n_updates, n_axes, weight_decay };
            result = step.run(optimizer, parameter, &mut gradients, slots);
        };
        self.backbone.visit(&mut |_, entry| {
            if let Entry::Parameter(parameter) = entry {
                update(parameter);
            }
        });
        update(&mut self.weight);
        update(&mut self.bias);
        result?;
        Ok(loss)
    }

    /// The logits of `images`, `(N, classes)` row by row, in eval mode.
    ///
    /// # Errors
    /// If the images do not fit the encoder.
    pub fn logits(&mut self, images: FeatureMap) -> Result<Vec<f32>, OpError> {
        let features = self.backbone.forward(images.with_precision(self.precision)?, Mode::Eval)?;
        Ok(to_rows(&linear(features, &self.weight, Some(&self.bias))?))
    }
}

/// Turns logits into the gradient of the mean cross entropy, and gives that, as torch.nn.CrossEntropyLoss defines it with
/// `label_smoothing`: a label is `1 - smoothing` of its class and `smoothing` of all classes alike.
fn smoothed_cross_entropy(logits: &mut [f32], labels: &[u32], n_classes: usize, smoothing: f64) -> f64 {
    let n = labels.len() as f64;
    let spread = smoothing / n_classes as f64;
    let mut loss = 0.0;
    for (row, &label) in logits.chunks_exact_mut(n_classes).zip(labels) {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        for (class, value) in row.iter_mut().enumerate() {
            let log_share = f64::from(*value) - largest - sum.ln();
            let target = spread + if class == label as usize { 1.0 - smoothing } else { 0.0 };
            loss -= target * log_share / n;
            *value = ((log_share.exp() - target) / n) as f32;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothed_labels_give_the_loss_and_gradient_of_pytorch() {
        // x = torch.tensor([[1.0, -0.5, 0.25], [0.0, 2.0, -1.0]], requires_grad=True)
        // loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(x, torch.tensor([2, 1])); loss.backward()
        // print(loss.item(), x.grad)
        let mut values = [1.0, -0.5, 0.25, 0.0, 2.0, -1.0];
        let loss = smoothed_cross_entropy(&mut values, &[2, 1], 3, 0.1);
        assert!((loss - 0.8072443).abs() < 1e-6, "{loss}");
        for (value, expected) in values.into_iter().zip([0.2782, 0.0491, -0.3274, 0.0404, -0.0448, 0.0043]) {
            assert!((value - expected as f32).abs() < 1e-4, "{values:?}");
        }
    }
}
