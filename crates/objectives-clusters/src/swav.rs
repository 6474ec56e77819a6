//! SwAV's loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, SortedInputs, check_temperature_of,
};
use tensor_ops::{
    OpError, Recording, Rows as _, features_from_rows, log_softmax, scale_loss, scaled, sum_all, sum_losses,
    times,
};

use crate::sinkhorn::assignments;

/// The config of [`SwAv`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SwAvConfig {
    /// How many of the inputs, from the first on, are views of high resolution: their assignments are predicted. The rest only
    /// predicts. The paper: 2.
    pub high: usize,
    /// Temperature of the predictions. The paper: 0.1.
    pub temperature: f64,
    /// Rounds of Sinkhorn's algorithm. The paper: 3.
    pub sinkhorn_iterations: usize,
    /// How soft assignments are: the lower, the more each image has one cluster. The paper: 0.05.
    pub sinkhorn_epsilon: f64,
}

/// The paper's.
impl Default for SwAvConfig {
    fn default() -> Self {
        Self { high: 2, temperature: 0.1, sinkhorn_iterations: 3, sinkhorn_epsilon: 0.05 }
    }
}

impl SwAvConfig {
    fn check(&self) -> Result<(), ConfigError> {
        /// More rounds than any assignment needs are typos.
        const MAX_ITERATIONS: usize = 10_000;
        for (field, value) in [("temperature", self.temperature), ("sinkhorn_epsilon", self.sinkhorn_epsilon)]
        {
            check_temperature_of(field, value)?;
        }
        if self.sinkhorn_iterations > MAX_ITERATIONS {
            let must = format!("it must be at most {MAX_ITERATIONS}");
            return Err(ConfigError::field("sinkhorn_iterations", self.sinkhorn_iterations, must));
        }
        if self.high == 0 {
            return Err(ConfigError::field(
                "high",
                self.high,
                "it must be at least 1: nothing would be predicted",
            ));
        }
        Ok(())
    }
}

/// SwAV's loss (Caron et al. 2020, arXiv:2006.09882, Eq. 1 to 6): the cross entropy between what a view's scores say and the
/// assignment of every other view of high resolution, averaged over images and pairs of views. Assignments are spread evenly
/// over the prototypes, and no gradient passes through them.
///
/// Takes scores of two or more views to prototypes, trained, each `(N, K)`: what the head `prototypes` gives. Without the
/// paper's queue of past embeddings a batch should have several times as many images as there are clusters of images.
///
/// The metric `clusters_used` is the share of prototypes that are the first choice of an image in the first view's
/// assignments.
#[derive(Debug, Clone)]
pub struct SwAv {
    inputs: ObjectiveInputs,
    config: SwAvConfig,
}

impl SwAv {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If a number is out of range, or the inputs are not two or more trained values of one width, of which `high` are of high
    /// resolution.
    pub fn new(config: SwAvConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        config.check()?;
        let inputs = ObjectiveInputs::of("swav", context)?;
        let is_right = inputs.n_trained >= 2 && inputs.n_fixed == 0;
        let hint = "name the scores of two or more views, all with gradients, those of high resolution first";
        inputs.require(is_right, context, "2 or more trained values", hint)?;
        if config.high > inputs.n_trained {
            let must = format!("it must be at most {}, the number of values in `on`", inputs.n_trained);
            return Err(ConfigError::field("high", config.high, must));
        }
        inputs.require_batch(2, context, "there is nothing to spread over the prototypes")?;
        Ok(Self { inputs, config })
    }
}

/// The sum of the assignments of all views but that one; `None` if there is no other.
fn of_others(assigned: &[Vec<f64>], view: usize) -> Option<Vec<f32>> {
    let others: Vec<&Vec<f64>> =
        assigned.iter().enumerate().filter(|(i, _)| *i != view).map(|(_, shares)| shares).collect();
    let (first, _) = others.split_first()?;
    Some((0..first.len()).map(|i| others.iter().map(|shares| shares[i]).sum::<f64>() as f32).collect())
}

/// The share of `n_clusters` that are the largest of some row.
fn used(shares: &[f64], n_clusters: usize) -> f32 {
    let mut is_used = vec![false; n_clusters];
    for row in shares.chunks(n_clusters) {
        let largest = row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        if let Some((cluster, _)) = largest {
            is_used[cluster] = true;
        }
    }
    is_used.iter().filter(|is_used| **is_used).count() as f32 / n_clusters as f32
}

impl Module for SwAv {
    plugin_api::visit! { self; }
}

impl Objective for SwAv {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained: views, .. } = self.inputs.sort(inputs)?;
        let SwAvConfig { high, temperature, sinkhorn_iterations, sinkhorn_epsilon } = self.config;
        let n_clusters = self.inputs.width;
        let assigned: Vec<Vec<f64>> = views[..high]
            .iter()
            .map(|scores| assignments(&scores.rows(), n_clusters, sinkhorn_iterations, sinkhorn_epsilon))
            .collect();
        let (n_views, n) = (views.len(), views[0].n());
        let mut losses = Vec::with_capacity(n_views);
        for (view, scores) in views.into_iter().enumerate() {
            let Some(target) = of_others(&assigned, view) else { continue };
            let device = scores.device().clone();
            let target = features_from_rows(&device, (n, n_clusters), target, Recording::Off)?;
            let told = log_softmax(scaled(scores, (1.0 / temperature) as f32)?)?;
            losses.push(sum_all(times(told, target)?)?);
        }
        let n_terms = n * high * (n_views - 1);
        let loss = scale_loss(sum_losses(losses)?, -1.0 / n_terms as f32)?;
        Ok(Evaluated::new(loss, vec![used(&assigned[0], n_clusters)]))
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["clusters_used"]
    }

    /// Scores that are the same for all prototypes, and predictions that are sure and right.
    fn loss_range(&self, _: usize) -> Option<LossRange> {
        Some(LossRange { chance: (self.inputs.width as f64).ln(), floor: 0.0 })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let mut config = self.config.clone();
        match field {
            "temperature" => config.temperature = value,
            "sinkhorn_epsilon" => config.sinkhorn_epsilon = value,
            _ => return Err(ConfigError::stays_fixed(field, &["temperature", "sinkhorn_epsilon"])),
        }
        config.check()?;
        self.config = config;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use tensor_ops::{Matrix, constant, detach};

    use super::*;

    const SHAPE: (usize, usize) = (5, 4);

    fn swav(n_views: usize, high: usize) -> SwAv {
        SwAv::new(SwAvConfig { high, ..SwAvConfig::default() }, &context(n_views, 0, SHAPE)).unwrap()
    }

    /// Scores as cosines are: most of them below 1.
    fn views(n: u64) -> Vec<Matrix> {
        let scores = |seed| detach(&scaled(constant(&noise(seed, SHAPE).unwrap()), 0.3).unwrap());
        (0..n).map(scores).collect()
    }

    #[test]
    fn views_of_high_resolution_predict_each_other_and_those_of_low_resolution_them() {
        let views = views(4);
        let trial = Trial { trained: &views, ..Trial::default() };
        let value = f64::from(trial.evaluate(&mut swav(4, 2)).unwrap().value);
        let of_pair = |view: usize, target: usize| {
            let shares = assignments(&views[target].rows(), SHAPE.1, 3, 0.05);
            let rows = views[view].rows();
            let pairs = rows.chunks(SHAPE.1).zip(shares.chunks(SHAPE.1));
            let of_row = |(scores, target): (&[f32], &[f64])| {
                let sum: f64 = scores.iter().map(|score| (f64::from(*score) / 0.1).exp()).sum();
                let each = scores.iter().zip(target);
                each.map(|(score, target)| target * (sum.ln() - f64::from(*score) / 0.1)).sum::<f64>()
            };
            pairs.map(of_row).sum::<f64>() / SHAPE.0 as f64
        };
        let pairs = [(1, 0), (2, 0), (3, 0), (0, 1), (2, 1), (3, 1)];
        let expected = pairs.map(|(view, target)| of_pair(view, target)).iter().sum::<f64>() / 6.0;
        assert!((value / expected - 1.0).abs() < 1e-5, "{value}, expected {expected}");
    }

    #[test]
    fn a_view_of_low_resolution_alone_is_trained_where_one_alone_is_predicted() {
        let views = views(2);
        let trial = Trial { trained: &views, ..Trial::default() };
        assert!(trial.evaluate(&mut swav(2, 1)).unwrap().value > 0.0);
    }

    #[test]
    fn other_settings_and_inputs_are_refused() {
        let said = |config, context| SwAv::new(config, &context).unwrap_err().to_string();
        let usual = SwAvConfig::default;
        let fits = || context(4, 0, SHAPE);
        assert_eq!(
            said(SwAvConfig { high: 5, ..usual() }, fits()),
            "`high` is 5, but it must be at most 4, the number of values in `on`"
        );
        assert!(said(SwAvConfig { high: 0, ..usual() }, fits()).starts_with("`high` is 0, but"));
        assert!(
            said(SwAvConfig { temperature: 0.0, ..usual() }, fits()).starts_with("`temperature` is 0, but")
        );
        let soft = SwAvConfig { sinkhorn_epsilon: f64::INFINITY, ..usual() };
        assert!(said(soft, fits()).starts_with("`sinkhorn_epsilon` is inf, but"));
        let long = SwAvConfig { sinkhorn_iterations: 1_000_000, ..usual() };
        assert!(said(long, fits()).starts_with("`sinkhorn_iterations` is 1000000, but"));
        let error = said(usual(), context(1, 1, SHAPE));
        assert!(error.starts_with("`swav` takes 2 or more trained values, but"), "{error}");
    }
}
