//! The loss of Barlow Twins.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep,
};
use tensor_ops::{
    OpError, Rows as _, diagonal, fork, matmul, scale_loss, scaled, shifted, square, sum_all, sum_losses,
    transpose,
};

use crate::coefficient::check_coefficient;
use crate::standardized::standardized;
use crate::two_views;

/// The config of [`BarlowTwins`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BarlowTwinsConfig {
    /// Weight of the correlations between different channels, the paper's lambda. The paper: 0.005.
    pub redundancy: f64,
}

/// The paper's.
impl Default for BarlowTwinsConfig {
    fn default() -> Self {
        Self { redundancy: 0.005 }
    }
}

/// The loss of Barlow Twins (Zbontar et al. 2021, arXiv:2103.03230, Eq. 1 and algorithm 1): how far the cross-correlation of
/// the channels of two views is from the identity, `sum (1 - C_ii)² + redundancy * sum C_ij²`.
///
/// Takes two trained values `(N, D)`. Each channel is normalized over the batch as by batch norm, with 1e-5 added to its
/// variance.
///
/// The metric `correlation` is the mean of `C_ii`: 1 where the views agree.
#[derive(Debug, Clone)]
pub struct BarlowTwins {
    inputs: ObjectiveInputs,
    redundancy: f64,
}

impl BarlowTwins {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If the weight is negative, the inputs are not two trained values of one width, or a batch has only one image.
    pub fn new(config: BarlowTwinsConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let BarlowTwinsConfig { redundancy } = config;
        check_coefficient("redundancy", redundancy)?;
        Ok(Self { inputs: two_views::check("barlow-twins", context)?, redundancy })
    }
}

impl Module for BarlowTwins {
    plugin_api::visit! { self; }
}

impl Objective for BarlowTwins {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let [first, second] = two_views::of(self.inputs, inputs)?;
        let (n, width) = (first.n() as f32, first.d() as f32);
        let correlations = matmul(transpose(standardized(first)?)?, standardized(second)?)?; // (D, D)
        let (correlations, again) = fork(scaled(correlations, 1.0 / n)?);
        let (own, again) = fork(diagonal(again)?);
        let correlation = own.rows().iter().sum::<f32>() / width;
        let invariance = sum_all(square(shifted(own, -1.0)?)?)?;
        // All but the diagonal, without a mask of D * D values.
        let weight = self.redundancy as f32;
        let all = scale_loss(sum_all(square(correlations)?)?, weight)?;
        let own = scale_loss(sum_all(square(again)?)?, -weight)?;
        let loss = sum_losses(vec![invariance, all, own])?;
        Ok(Evaluated::new(loss, vec![correlation]))
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["correlation"]
    }

    /// Channels that do not vary, and the identity.
    fn loss_range(&self, _: usize) -> Option<LossRange> {
        Some(LossRange { chance: self.inputs.width as f64, floor: 0.0 })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        match field {
            "redundancy" => check_coefficient("redundancy", value)?,
            _ => return Err(ConfigError::stays_fixed(field, &["redundancy"])),
        }
        self.redundancy = value;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::concat_rows;

    use super::*;

    fn barlow_twins(redundancy: f64, shape: (usize, usize)) -> BarlowTwins {
        BarlowTwins::new(BarlowTwinsConfig { redundancy }, &context(2, 0, shape)).unwrap()
    }

    #[test]
    fn gradients_are_finite_differences() {
        let views = [noise(1, (5, 3)).unwrap(), noise(2, (5, 3)).unwrap()];
        let trial = Trial { trained: &views, ..Trial::default() };
        for redundancy in [0.0, 0.005, 0.7] {
            let error = trial.gradient_error(&mut barlow_twins(redundancy, (5, 3))).unwrap();
            assert!(error < 0.01, "{redundancy}: {error}");
        }
    }

    #[test]
    fn the_loss_of_two_equal_views_is_what_their_channels_have_in_common() {
        // F.batch_norm without its eps: C = corrcoef, and the loss is lambda times the squares off its diagonal.
        let view = noise(1, (9, 4)).unwrap();
        let rows = view.rows();
        let column =
            |c: usize| -> Vec<f64> { rows.iter().skip(c).step_by(4).map(|v| f64::from(*v)).collect() };
        let centered = |c: usize| {
            let values = column(c);
            let mean = values.iter().sum::<f64>() / 9.0;
            values.into_iter().map(|v| v - mean).collect::<Vec<_>>()
        };
        let dot = |a: usize, b: usize| centered(a).iter().zip(centered(b)).map(|(a, b)| a * b).sum::<f64>();
        let pairs = (0..4).flat_map(|a| (0..4).filter(move |b| *b != a).map(move |b| (a, b)));
        let expected: f64 = pairs.map(|(a, b)| 0.5 * dot(a, b).powi(2) / (dot(a, a) * dot(b, b))).sum();
        let both = [view.clone(), view];
        let evaluated = Trial { trained: &both, ..Trial::default() }.evaluate(&mut barlow_twins(0.5, (9, 4)));
        let Evaluated { value, metrics, .. } = evaluated.unwrap();
        assert!((f64::from(value) / expected - 1.0).abs() < 1e-3, "{value}, expected {expected}");
        assert!((metrics[0] - 1.0).abs() < 1e-3, "{metrics:?}");
    }

    #[test]
    fn the_loss_of_collapse_is_at_chance() {
        let same = concat_rows(&[&noise(1, (1, 6)).unwrap(); 8]).unwrap();
        let mut loss = barlow_twins(0.005, (8, 6));
        let value =
            Trial { trained: &[same.clone(), same], ..Trial::default() }.evaluate(&mut loss).unwrap().value;
        assert!((f64::from(value) - loss.loss_range(8).unwrap().chance).abs() < 1e-3, "{value}");
    }

    #[test]
    fn other_settings_and_inputs_are_refused() {
        let said = |redundancy, context| {
            BarlowTwins::new(BarlowTwinsConfig { redundancy }, &context).unwrap_err().to_string()
        };
        assert_eq!(
            said(-1.0, context(2, 0, (8, 4))),
            "`redundancy` is -1, but it must be at least 0, and finite"
        );
        assert_eq!(
            said(0.1, context(2, 0, (1, 4))),
            "`barlow-twins` sees a batch of 1: no channel varies over it"
        );
        assert!(said(0.1, context(1, 1, (8, 4))).starts_with("`barlow-twins` takes 2 trained values, but"));
    }
}
