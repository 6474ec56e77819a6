//! SwAV's loss.

use nn::{Builder, cosines, random_directions};
use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, SortedInputs, check_temperature_of,
};
use tensor_ops::{
    Features, OpError, Parameter, Recording, Rows as _, detach, features_from_rows, log_softmax, scale_loss,
    scaled, sum_all, sum_losses, times, to_rows,
};

use crate::past_images::PastImages;
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
    /// How many prototypes the loss has of its own, for embeddings as inputs. Without it the inputs are scores already. The paper:
    /// 3000 for ImageNet, three times its classes.
    pub prototypes: Option<usize>,
    /// How many past images are assigned together with the batch, for each view of high resolution; 0: none. It needs
    /// `prototypes`. The paper, in batches of 256: 3840.
    pub queue: usize,
    /// Epochs after which the queue begins to fill. It is used once it is full. The paper: 15.
    pub queue_after_epochs: usize,
}

/// The paper's, for a large batch.
impl Default for SwAvConfig {
    fn default() -> Self {
        Self {
            high: 2,
            temperature: 0.1,
            sinkhorn_iterations: 3,
            sinkhorn_epsilon: 0.05,
            prototypes: None,
            queue: 0,
            queue_after_epochs: 0,
        }
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
        if self.prototypes == Some(0) {
            return Err(ConfigError::field("prototypes", 0, "it must be at least 1"));
        }
        if self.queue == 0 && self.queue_after_epochs > 0 {
            let must = "it must be 0 without a `queue`";
            return Err(ConfigError::field("queue_after_epochs", self.queue_after_epochs, must));
        }
        if self.queue > 0 && self.prototypes.is_none() {
            let must =
                "it needs `prototypes`: past images are scored anew, with prototypes that the loss knows";
            return Err(ConfigError::field("queue", self.queue, must));
        }
        Ok(())
    }
}

/// SwAV's loss (Caron et al. 2020, arXiv:2006.09882, Eq. 1 to 6): the cross entropy between what a view's scores say and the
/// assignment of every other view of high resolution, averaged over images and pairs of views. Assignments are spread evenly
/// over the prototypes, and no gradient passes through them.
///
/// Takes scores of two or more views to prototypes, trained, each `(N, K)`: what the head `prototypes` gives. With
/// [`prototypes`](SwAvConfig::prototypes) of its own it takes embeddings, `(N, D)`, and scores them itself, as that head does.
///
/// A batch should have several times as many images as there are clusters of images. For smaller ones a
/// [`queue`](SwAvConfig::queue) keeps embeddings of past images, which are scored anew in each step and assigned together with
/// the batch (§4.1 and the authors' program, whose queue also begins to fill after some epochs and waits until it is full).
///
/// The metric `clusters_used` is the share of prototypes that are the first choice of an image in the first view's
/// assignments.
pub struct SwAv {
    inputs: ObjectiveInputs,
    config: SwAvConfig,
    /// `(D, K)`, where it has them.
    prototypes: Option<Parameter>,
    past: Option<PastImages>,
}

impl SwAv {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If a number is out of range, the inputs are not two or more trained values of one width, of which `high` are of high
    /// resolution, or prototypes or queue do not fit in memory.
    pub fn new(config: SwAvConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        config.check()?;
        let inputs = ObjectiveInputs::of("swav", context)?;
        let is_right = inputs.n_trained >= 2 && inputs.n_fixed == 0;
        let hint = match config.prototypes {
            None => {
                "name the scores of two or more views, all with gradients, those of high resolution first"
            }
            Some(_) => {
                "name the embeddings of two or more views, all with gradients, those of high resolution first"
            }
        };
        inputs.require(is_right, context, "2 or more trained values", hint)?;
        if config.high > inputs.n_trained {
            let must = format!("it must be at most {}, the number of values in `on`", inputs.n_trained);
            return Err(ConfigError::field("high", config.high, must));
        }
        inputs.require_batch(2, context, "there is nothing to spread over the prototypes")?;
        let width = inputs.width;
        let weight =
            |n| random_directions(&Builder::new(&context.device, |name| context.rng(name)), (width, n));
        let prototypes = config.prototypes.map(weight).transpose()?;
        let past = match config.queue {
            0 => None,
            len => Some(PastImages::new(config.high, (len, width), context)?),
        };
        Ok(Self { inputs, config, prototypes, past })
    }

    /// `K`.
    fn n_clusters(&self) -> usize {
        self.config.prototypes.unwrap_or(self.inputs.width)
    }

    fn scores(&self, values: Features) -> Result<Features, OpError> {
        match &self.prototypes {
            None => Ok(values),
            Some(weight) => cosines(values, weight),
        }
    }

    /// The assignments of `scores`, `(N, K)`, of a view of high resolution, together with those of its past images.
    fn assigned(&self, view: usize, scores: &Features) -> Result<Vec<f64>, OpError> {
        let SwAvConfig { sinkhorn_iterations, sinkhorn_epsilon, .. } = self.config;
        let past = self.past.as_ref().map(|past| past.of_view(view, scores.device())).transpose()?.flatten();
        let mut all = match past {
            None => Vec::new(),
            Some(embeddings) => to_rows(&self.scores(embeddings)?),
        };
        let n_past = all.len();
        all.extend(scores.rows());
        let mut shares = assignments(&all, self.n_clusters(), sinkhorn_iterations, sinkhorn_epsilon);
        Ok(shares.split_off(n_past))
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
    plugin_api::visit! { self;
        "prototypes" => self.prototypes,
        "" => self.past,
    }
}

impl Objective for SwAv {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let SortedInputs { trained: views, .. } = self.inputs.sort(inputs)?;
        let SwAvConfig { high, temperature, queue_after_epochs, .. } = self.config;
        let n_clusters = self.n_clusters();
        let is_kept = step.at.epoch >= queue_after_epochs;
        if let Some(past) = self.past.as_mut().filter(|_| is_kept) {
            let of_views: Vec<_> = views[..high].iter().map(detach).collect();
            past.put_aside(&of_views)?;
        }
        let views: Vec<Features> =
            views.into_iter().map(|view| self.scores(view)).collect::<Result<_, _>>()?;
        let assigned: Vec<Vec<f64>> = views[..high]
            .iter()
            .enumerate()
            .map(|(view, scores)| self.assigned(view, scores))
            .collect::<Result<_, _>>()?;
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

    fn end_step(&mut self) -> Result<(), OpError> {
        self.past.as_mut().map_or(Ok(()), PastImages::end_step)
    }

    fn discard_step(&mut self) {
        if let Some(past) = &mut self.past {
            past.discard_step();
        }
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["clusters_used"]
    }

    /// Scores that are the same for all prototypes, and predictions that are sure and right.
    fn loss_range(&self, _: usize) -> Option<LossRange> {
        Some(LossRange { chance: (self.n_clusters() as f64).ln(), floor: 0.0 })
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
    use plugin_api::Progress;
    use tensor_ops::{Matrix, backward, constant};

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

    /// The mean over pairs of a view and an assignment of another, of the first two views.
    fn expected(scores: &[Matrix], assigned: &[Vec<f64>]) -> f64 {
        let of_pair = |view: usize, target: usize| {
            let rows = scores[view].rows();
            let (n, width) = (scores[view].n(), scores[view].d());
            let pairs = rows.chunks(width).zip(assigned[target].chunks(width));
            let of_row = |(scores, target): (&[f32], &[f64])| {
                let sum: f64 = scores.iter().map(|score| (f64::from(*score) / 0.1).exp()).sum();
                let each = scores.iter().zip(target);
                each.map(|(score, target)| target * (sum.ln() - f64::from(*score) / 0.1)).sum::<f64>()
            };
            pairs.map(of_row).sum::<f64>() / n as f64
        };
        let pairs: Vec<_> =
            (0..2).flat_map(|target| (0..scores.len()).map(move |view| (view, target))).collect();
        let pairs: Vec<_> = pairs.into_iter().filter(|(view, target)| view != target).collect();
        pairs.iter().map(|(view, target)| of_pair(*view, *target)).sum::<f64>() / pairs.len() as f64
    }

    #[track_caller]
    fn assert_near(value: f32, expected: f64) {
        assert!((f64::from(value) / expected - 1.0).abs() < 1e-5, "{value}, expected {expected}");
    }

    #[test]
    fn views_of_high_resolution_predict_each_other_and_those_of_low_resolution_them() {
        let views = views(4);
        let trial = Trial { trained: &views, ..Trial::default() };
        let assigned = [0, 1].map(|view: usize| assignments(&views[view].rows(), SHAPE.1, 3, 0.05));
        assert_near(trial.evaluate(&mut swav(4, 2)).unwrap().value, expected(&views, &assigned));
    }

    /// Three prototypes of its own.
    fn own(queue: usize, queue_after_epochs: usize) -> SwAv {
        let config = SwAvConfig { prototypes: Some(3), queue, queue_after_epochs, ..SwAvConfig::default() };
        SwAv::new(config, &context(3, 0, SHAPE)).unwrap()
    }

    /// What `loss` scores `embeddings`.
    fn scores(loss: &SwAv, embeddings: &[Matrix]) -> Vec<Matrix> {
        let scores = |rows| detach(&cosines(constant(rows), loss.prototypes.as_ref().unwrap()).unwrap());
        embeddings.iter().map(scores).collect()
    }

    #[test]
    fn embeddings_are_scored_by_prototypes_of_its_own_which_are_trained() {
        let (views, mut loss) = (views(3), own(0, 0));
        let scores = scores(&loss, &views);
        assert!(scores.iter().all(|scores| (scores.n(), scores.d()) == (5, 3)));
        let assigned = [0, 1].map(|view: usize| assignments(&scores[view].rows(), 3, 3, 0.05));
        let trial = Trial { trained: &views, ..Trial::default() };
        assert_near(trial.evaluate(&mut loss).unwrap().value, expected(&scores, &assigned));
        assert!((loss.loss_range(5).unwrap().chance - 3.0_f64.ln()).abs() < 1e-12);
        let mut names = Vec::new();
        loss.visit(&mut |name, entry| {
            names.push((name.to_owned(), matches!(entry, plugin_api::Entry::Parameter(_))));
        });
        assert_eq!(names, [("prototypes".to_owned(), true)]);
    }

    #[test]
    fn prototypes_of_its_own_get_the_gradient_that_those_of_a_head_get() {
        let (views, mut own) = (views(3), own(0, 0));
        let mut of_scores = SwAv::new(SwAvConfig::default(), &context(3, 0, (5, 3))).unwrap();
        let weight = own.prototypes.as_ref().unwrap().duplicate().unwrap();
        let gradient = |loss: &mut SwAv, weight: Option<&Parameter>| {
            let recorded = |rows: &Matrix| rows.clone().with_recording(Recording::start());
            let input = |rows| match weight {
                Some(weight) => Input::Trained(cosines(recorded(rows), weight).unwrap()),
                None => Input::Trained(recorded(rows)),
            };
            let at = Progress { epoch: 0, step: 0, steps_per_epoch: 1, epochs: 1 };
            let step = ObjectiveStep { seed: 0, at, indices: &[0, 1, 2, 3, 4], labels: None };
            let evaluated = loss.evaluate(views.iter().map(input).collect(), step).unwrap();
            let mut gradients = backward(evaluated.loss).unwrap();
            let own = loss.prototypes.as_ref();
            weight.or(own).unwrap().take_gradient(&mut gradients).unwrap().unwrap()
        };
        let found = gradient(&mut own, None);
        assert!(found.iter().any(|value| value.abs() > 1e-3), "{found:?}");
        assert_eq!(found, gradient(&mut of_scores, Some(&weight)));
    }

    #[test]
    fn a_full_queue_is_assigned_together_with_the_batch() {
        let mut loss = own(8, 1);
        let of_step = |step: u64| -> Vec<Matrix> {
            (0..3).map(|view| noise(100 * step + view, SHAPE).unwrap()).collect()
        };
        let step = |loss: &mut SwAv, number: u64, epoch: usize| {
            let views = of_step(number);
            let value = Trial { trained: &views, epoch, ..Trial::default() }.evaluate(loss).unwrap().value;
            let scores = scores(loss, &views);
            (value, scores)
        };
        let alone = |scores: &[Matrix]| {
            let assigned = [0, 1].map(|view: usize| assignments(&scores[view].rows(), 3, 3, 0.05));
            expected(scores, &assigned)
        };
        // The first epoch is too early; then the queue is empty, and has 5 of 8 images.
        for (number, epoch) in [(0, 0), (1, 1), (2, 1)] {
            let (value, scores) = step(&mut loss, number, epoch);
            assert_near(value, alone(&scores));
            loss.end_step().unwrap();
        }
        // A step that did not come to its end.
        step(&mut loss, 9, 1);
        loss.discard_step();
        loss.end_step().unwrap();
        let (value, now) = step(&mut loss, 3, 1);
        let assigned = [0, 1].map(|view: usize| {
            let before = [1, 2].map(|number| scores(&loss, &of_step(number)[view..=view]).remove(0).rows());
            // The last 3 of the first step's 5, behind the newest, which took the first positions: the order does not matter.
            let past = [&before[0][2 * 3..], &before[1][..]].concat();
            assignments(&[&past[..], &now[view].rows()].concat(), 3, 3, 0.05).split_off(past.len())
        });
        assert_near(value, expected(&now, &assigned));
        assert!((f64::from(value) / alone(&now) - 1.0).abs() > 1e-3, "{value}");
    }

    #[test]
    fn a_view_of_low_resolution_alone_is_trained_where_one_alone_is_predicted() {
        let views = views(2);
        let trial = Trial { trained: &views, ..Trial::default() };
        assert!(trial.evaluate(&mut swav(2, 1)).unwrap().value > 0.0);
    }

    #[test]
    fn other_settings_and_inputs_are_refused() {
        let said = |config, context| SwAv::new(config, &context).err().unwrap().to_string();
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
        let none = SwAvConfig { prototypes: Some(0), ..usual() };
        assert_eq!(said(none, fits()), "`prototypes` is 0, but it must be at least 1");
        let error = said(SwAvConfig { queue: 64, ..usual() }, fits());
        assert!(error.starts_with("`queue` is 64, but it needs `prototypes`"), "{error}");
        let error = said(SwAvConfig { queue_after_epochs: 3, ..usual() }, fits());
        assert_eq!(error, "`queue_after_epochs` is 3, but it must be 0 without a `queue`");
        let endless = SwAvConfig { prototypes: Some(3), queue: usize::MAX / 2, ..usual() };
        assert!(said(endless, fits()).ends_with("4 values for each image and view must fit in memory"));
        let error = said(usual(), context(1, 1, SHAPE));
        assert!(error.starts_with("`swav` takes 2 or more trained values, but"), "{error}");
    }
}
