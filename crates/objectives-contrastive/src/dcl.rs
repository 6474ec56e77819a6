//! The decoupled contrastive loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, SortedInputs, check_temperature, check_temperature_of, set_temperature,
};
use tensor_ops::{
    Features, OpError, Recording, Rows as _, features_from_rows, fork, log_sum_exp, mean_all, scale_loss,
    sum_losses, times,
};

use crate::pairs::{of_view, similarities, two_views, without};

/// The config of [`Dcl`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DclConfig {
    /// Temperature `T`. The paper: 0.1 for ImageNet, 0.07 for CIFAR.
    pub temperature: f64,
    /// Weighs each image by how alike its two views are, with this temperature: DCLW, the paper's weighted loss, which has
    /// 0.5. By default all weigh the same.
    pub sigma: Option<f64>,
}

/// The paper's for ImageNet.
impl Default for DclConfig {
    fn default() -> Self {
        Self { temperature: 0.1, sigma: None }
    }
}

/// The decoupled contrastive loss (Yeh et al. 2021, arXiv:2110.06848, Eq. 6): SimCLR's, without the right answer among what
/// it is compared with, so that a pair that is easy pushes the others apart no less. With `sigma`, similarities of pairs are
/// weighted by `2 - N softmax(cosine / sigma)`, where no gradient passes.
///
/// Takes two trained values `(N, D)`, and scales their rows to unit length. The loss may be negative.
#[derive(Debug, Clone)]
pub struct Dcl {
    inputs: ObjectiveInputs,
    temperature: f64,
    sigma: Option<f64>,
}

impl Dcl {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If a temperature is not positive, the inputs are not two trained values of one width, or a batch has only one image.
    pub fn new(config: DclConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let DclConfig { temperature, sigma } = config;
        check_temperature(temperature)?;
        if let Some(sigma) = sigma {
            check_temperature_of("sigma", sigma)?;
        }
        Ok(Self { inputs: two_views("dcl", context)?, temperature, sigma })
    }

    /// `positives` `(N, 1)`, times the weight of each.
    fn weighted(&self, positives: Features) -> Result<Features, OpError> {
        let Some(sigma) = self.sigma else { return Ok(positives) };
        let scale = self.temperature / sigma;
        let exponents: Vec<f64> = positives.rows().iter().map(|value| f64::from(*value) * scale).collect();
        let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = exponents.iter().map(|exponent| (exponent - largest).exp()).collect();
        let (n, sum) = (shares.len(), shares.iter().sum::<f64>());
        let weights = shares.iter().map(|share| (2.0 - n as f64 * share / sum) as f32).collect();
        let weights = features_from_rows(&positives.device().clone(), (n, 1), weights, Recording::Off)?;
        times(positives, weights)
    }
}

impl Module for Dcl {
    plugin_api::visit! { self; }
}

impl Objective for Dcl {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained, .. } = self.inputs.sort(inputs)?;
        let [first, second] = self.inputs.two(trained)?;
        let n = first.n();
        let (all, again) = fork(similarities(vec![first, second], self.temperature)?);
        // Neither a row itself nor the other view of its image.
        let wrong = without(all, |row, column| row % n == column % n)?;
        let wrong = mean_all(log_sum_exp(wrong)?)?;
        let right = mean_all(self.weighted(of_view(again, 0..n, n..2 * n)?)?)?;
        let loss = sum_losses(vec![wrong, scale_loss(right, -1.0)?])?;
        Ok(Evaluated::new(loss, Vec::new()))
    }

    /// The weights of all pairs have the mean 1, and are 1 each where all pairs are alike.
    fn loss_range(&self, n: usize) -> Option<LossRange> {
        let of_wrong = (2.0 * n as f64 - 2.0).ln();
        Some(LossRange { chance: of_wrong, floor: of_wrong - 1.0 / self.temperature })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::Matrix;

    use super::*;

    fn dcl(sigma: Option<f64>, shape: (usize, usize)) -> Dcl {
        Dcl::new(DclConfig { temperature: 0.1, sigma }, &context(2, 0, shape)).unwrap()
    }

    /// Of rows with values that PyTorch has too: sines of multiples of their places.
    fn waves() -> [Matrix; 2] {
        [0.7, 1.3].map(|frequency: f32| {
            let rows = (1..=12).map(|i| (i as f32 * frequency).sin()).collect();
            let device = tensor_ops::Device::default();
            tensor_ops::detach(&features_from_rows(&device, (3, 4), rows, Recording::Off).unwrap())
        })
    }

    #[test]
    fn the_loss_is_that_of_the_reference() {
        // from lightly.loss import DCLLoss, DCLWLoss   (lightly 1.6.0)
        // a, b = (torch.sin((torch.arange(1., 13) * f)).double().view(3, 4) for f in (.7, 1.3))
        // DCLLoss(temperature=.1)(a, b); DCLWLoss(temperature=.1, sigma=.5)(a, b)
        let views = waves();
        let trial = Trial { trained: &views, ..Trial::default() };
        for (sigma, expected) in [(None, 4.4042081636), (Some(0.5), 7.7051428667)] {
            let value = f64::from(trial.evaluate(&mut dcl(sigma, (3, 4))).unwrap().value);
            assert!((value / expected - 1.0).abs() < 1e-5, "{sigma:?}: {value}, expected {expected}");
        }
    }

    #[test]
    fn gradients_are_finite_differences() {
        let views = [noise(1, (4, 3)).unwrap(), noise(2, (4, 3)).unwrap()];
        let trial = Trial { trained: &views, ..Trial::default() };
        assert!(trial.gradient_error(&mut dcl(None, (4, 3))).unwrap() < 0.01);
    }

    #[test]
    fn the_loss_of_collapse_is_at_chance_with_and_without_weights() {
        let same = noise(1, (1, 64)).unwrap();
        let same = tensor_ops::concat_rows(&[&same; 8]).unwrap();
        let collapsed = [same.clone(), same];
        for sigma in [None, Some(0.5)] {
            let mut loss = dcl(sigma, (8, 64));
            let value = Trial { trained: &collapsed, ..Trial::default() }.evaluate(&mut loss).unwrap().value;
            let chance = loss.loss_range(8).unwrap().chance;
            assert!((f64::from(value) - chance).abs() < 1e-4, "{value}, chance {chance}");
        }
    }

    #[test]
    fn temperatures_that_are_not_positive_are_refused() {
        let said = |temperature, sigma| {
            Dcl::new(DclConfig { temperature, sigma }, &context(2, 0, (8, 4))).unwrap_err().to_string()
        };
        assert!(said(-1.0, None).starts_with("`temperature` is -1, but"));
        assert!(said(0.1, Some(0.0)).starts_with("`sigma` is 0, but"));
    }
}
