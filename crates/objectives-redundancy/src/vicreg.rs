//! VICReg's loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep,
};
use tensor_ops::{
    Axis, Features, OpError, Rows as _, Scalar, covariance, diagonal, fork, mean_all, minus, number,
    relu_features, scale_loss, scaled, shifted, square, square_root, sum_all, sum_losses, variance_over,
};

use crate::coefficient::check_coefficient;
use crate::two_views;

/// The config of [`VicReg`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VicRegConfig {
    /// Weight of the distance of the views, the paper's lambda. The paper: 25.
    pub invariance: f64,
    /// Weight of what channels lack to a standard deviation of 1, the paper's mu. The paper: 25.
    pub variance: f64,
    /// Weight of the covariances of different channels, the paper's nu. The paper: 1.
    pub covariance: f64,
    /// Added to a variance before its root is taken. The paper: 0.0001.
    pub eps: f64,
}

/// The paper's.
impl Default for VicRegConfig {
    fn default() -> Self {
        Self { invariance: 25.0, variance: 25.0, covariance: 1.0, eps: 1e-4 }
    }
}

/// VICReg's loss (Bardes et al. 2022, arXiv:2105.04906, Eq. 6) of two trained values `(N, D)`: their mean squared difference;
/// what the standard deviation of each channel lacks to 1, averaged over channels and views; and the squares of the
/// covariances of different channels, over `D`, summed over the views. So it is in the authors' program; Eq. 6 has no division by
/// `D` in the first term, and no half in the second.
///
/// The metrics `invariance`, `variance` and `covariance` are the three terms without their weights.
#[derive(Debug, Clone)]
pub struct VicReg {
    inputs: ObjectiveInputs,
    config: VicRegConfig,
}

impl VicReg {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If a weight is negative, `eps` is not positive, the inputs are not two trained values of one width, or a batch has only
    /// one image.
    pub fn new(config: VicRegConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        check_coefficient("invariance", config.invariance)?;
        check_coefficient("variance", config.variance)?;
        check_coefficient("covariance", config.covariance)?;
        if !(config.eps > 0.0 && config.eps.is_finite()) {
            let must = "it must be more than 0: the root of a variance of 0 has no gradient";
            return Err(ConfigError::field("eps", config.eps, must));
        }
        Ok(Self { inputs: two_views::check("vicreg", context)?, config })
    }

    /// What the channels of a view lack to a standard deviation of 1, averaged, and halved as one of two views.
    fn lacking(&self, view: Features) -> Result<Scalar, OpError> {
        let deviations = square_root(shifted(variance_over(view, Axis::Rows, 1)?, self.config.eps as f32)?)?;
        scale_loss(mean_all(relu_features(shifted(scaled(deviations, -1.0)?, 1.0)?)?)?, 0.5)
    }
}

/// The squares of the covariances of different channels of a view, over their number.
fn redundancy(view: Features) -> Result<Scalar, OpError> {
    let width = view.d() as f32;
    let (all, again) = fork(covariance(view)?); // (D, D)
    let all = sum_all(square(all)?)?;
    // All but the diagonal, without a mask of D * D values.
    let own = sum_all(square(diagonal(again)?)?)?;
    scale_loss(sum_losses(vec![all, scale_loss(own, -1.0)?])?, 1.0 / width)
}

impl Module for VicReg {
    plugin_api::visit! { self; }
}

impl Objective for VicReg {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let mut lacking = Vec::with_capacity(2);
        let mut redundant = Vec::with_capacity(2);
        let mut compared = Vec::with_capacity(2);
        for view in two_views::of(self.inputs, inputs)? {
            let (view, of_variance) = fork(view);
            let (view, of_covariance) = fork(view);
            lacking.push(self.lacking(of_variance)?);
            redundant.push(redundancy(of_covariance)?);
            compared.push(view);
        }
        let [first, second] = self.inputs.two(compared)?;
        let distance = mean_all(square(minus(first, second)?)?)?;
        let (variance, covariance) = (sum_losses(lacking)?, sum_losses(redundant)?);
        let metrics = vec![number(&distance), number(&variance), number(&covariance)];
        let VicRegConfig {
            invariance: of_distance, variance: of_variance, covariance: of_covariance, ..
        } = self.config;
        let loss = sum_losses(vec![
            scale_loss(distance, of_distance as f32)?,
            scale_loss(variance, of_variance as f32)?,
            scale_loss(covariance, of_covariance as f32)?,
        ])?;
        Ok(Evaluated::new(loss, metrics))
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["invariance", "variance", "covariance"]
    }

    /// Channels that do not vary, and views that are alike with channels that vary enough.
    fn loss_range(&self, _: usize) -> Option<LossRange> {
        let VicRegConfig { variance, eps, .. } = self.config;
        Some(LossRange { chance: variance * (1.0 - eps.sqrt()).max(0.0), floor: 0.0 })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let (name, number) = match field {
            "invariance" => ("invariance", &mut self.config.invariance),
            "variance" => ("variance", &mut self.config.variance),
            "covariance" => ("covariance", &mut self.config.covariance),
            _ => return Err(ConfigError::stays_fixed(field, &["invariance", "variance", "covariance"])),
        };
        check_coefficient(name, value)?;
        *number = value;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::{concat_rows, constant, detach};

    use super::*;

    fn vicreg(config: VicRegConfig, shape: (usize, usize)) -> VicReg {
        VicReg::new(config, &context(2, 0, shape)).unwrap()
    }

    #[test]
    fn gradients_of_each_term_are_finite_differences() {
        // Scaled, so that some standard deviations are on either side of 1.
        let view = |seed| detach(&scaled(constant(&noise(seed, (6, 3)).unwrap()), 0.9).unwrap());
        let views = [view(1), view(2)];
        let trial = Trial { trained: &views, ..Trial::default() };
        for (invariance, variance, covariance) in
            [(25.0, 0.0, 0.0), (0.0, 25.0, 0.0), (0.0, 0.0, 1.0), (25.0, 25.0, 1.0)]
        {
            let config = VicRegConfig { invariance, variance, covariance, ..VicRegConfig::default() };
            let error = trial.gradient_error(&mut vicreg(config, (6, 3))).unwrap();
            assert!(error < 0.01, "{invariance} {variance} {covariance}: {error}");
        }
    }

    #[test]
    fn the_terms_are_measured_without_their_weights() {
        let views = [noise(1, (6, 3)).unwrap(), noise(2, (6, 3)).unwrap()];
        let trial = Trial { trained: &views, ..Trial::default() };
        let Evaluated { value, metrics, .. } =
            trial.evaluate(&mut vicreg(VicRegConfig::default(), (6, 3))).unwrap();
        let [distance, variance, covariance] = metrics[..] else { panic!("{metrics:?}") };
        let sum = 25.0 * distance + 25.0 * variance + covariance;
        assert!((value / sum - 1.0).abs() < 1e-5, "{value}, expected {sum}");
    }

    #[test]
    fn the_loss_of_collapse_is_at_chance() {
        let same = concat_rows(&[&noise(1, (1, 6)).unwrap(); 8]).unwrap();
        let mut loss = vicreg(VicRegConfig::default(), (8, 6));
        let value =
            Trial { trained: &[same.clone(), same], ..Trial::default() }.evaluate(&mut loss).unwrap().value;
        assert!((f64::from(value) - loss.loss_range(8).unwrap().chance).abs() < 1e-3, "{value}");
    }

    #[test]
    fn other_settings_and_inputs_are_refused() {
        let said = |config| VicReg::new(config, &context(2, 0, (8, 4))).unwrap_err().to_string();
        let usual = VicRegConfig::default;
        assert!(said(VicRegConfig { invariance: -1.0, ..usual() }).starts_with("`invariance` is -1, but"));
        assert!(said(VicRegConfig { variance: f64::NAN, ..usual() }).starts_with("`variance` is NaN, but"));
        assert!(said(VicRegConfig { covariance: -2.0, ..usual() }).starts_with("`covariance` is -2, but"));
        assert!(
            said(VicRegConfig { eps: 0.0, ..usual() }).starts_with("`eps` is 0, but it must be more than 0")
        );
        let error = VicReg::new(usual(), &context(3, 0, (8, 4))).unwrap_err().to_string();
        assert!(error.starts_with("`vicreg` takes 2 trained values, but `on` has 3 trained"), "{error}");
    }
}
