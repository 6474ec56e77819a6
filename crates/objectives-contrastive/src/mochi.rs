//! MoCHi's loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, PastKeys, Rng, check_temperature, set_temperature,
};
use tensor_ops::{
    Axis, Features, OpError, concat_columns, constant, fork, l2_normalize, matmul_transposed, sum_over,
    times, to_rows,
};

use crate::mixing::{Mixing, mixed};
use crate::own_first::{own_first, own_first_range};
use nn::{Bank, unit_rows};

/// The config of [`MoChi`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MoChiConfig {
    /// Length `K` of the queue of past keys.
    pub len: usize,
    /// Temperature `T`. The paper: 0.2.
    pub temperature: f64,
    /// Past keys most like a query that its negatives are mixed of, the paper's `N`: 1024 for ImageNet.
    pub hardest: usize,
    /// Mixes of two of them, the paper's `s`: 1024 for ImageNet.
    pub mixed: usize,
    /// Mixes of one of them and the query, the paper's `s'`: 128 for ImageNet.
    pub mixed_with_query: usize,
    /// Epochs at the start without mixed negatives, while the hardest keys say little.
    pub warmup_epochs: usize,
}

/// For a small dataset: the paper's numbers for ImageNet over 8, and its temperature.
impl Default for MoChiConfig {
    fn default() -> Self {
        Self { len: 4096, temperature: 0.2, hardest: 128, mixed: 128, mixed_with_query: 16, warmup_epochs: 0 }
    }
}

/// MoCHi's loss (Kalantidis et al. 2020, arXiv:2010.01028, §4): MoCo's, with negatives added that are mixed for each query of
/// the past keys that are most like it, and of those and the query.
///
/// Takes a query, trained, and a key, fixed, `(N, D)`, and scales their rows to unit length. No gradient passes into mixed
/// negatives. After a step the queue takes in the keys.
pub struct MoChi {
    bank: Bank,
    inputs: ObjectiveInputs,
    config: MoChiConfig,
    /// Under which its draws are made: two losses of a pipeline mix otherwise.
    purpose: String,
}

impl MoChi {
    /// The loss for `config`, with a queue of random unit rows.
    ///
    /// # Errors
    /// If the queue has no row or does not fit in memory, `hardest` is 0, nothing is mixed, a number is more than the queue has,
    /// the temperature is not positive, or the inputs are others.
    pub fn new(config: MoChiConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let MoChiConfig { len, temperature, hardest, mixed, mixed_with_query, .. } = config;
        check_temperature(temperature)?;
        if len == 0 {
            return Err(ConfigError::field("len", len, "it must be at least 1"));
        }
        if hardest == 0 || hardest > len {
            let must = format!("it must be 1 to {len}, the length of the queue");
            return Err(ConfigError::field("hardest", hardest, must));
        }
        // More would be a slip, or take memory that no queue of this length would.
        for (field, number) in [("mixed", mixed), ("mixed_with_query", mixed_with_query)] {
            if number > len {
                return Err(ConfigError::field(
                    field,
                    number,
                    format!("it must be at most {len}, the length of the queue"),
                ));
            }
        }
        if mixed + mixed_with_query == 0 {
            let must = "with `mixed_with_query` it must be at least 1; without mixing this is MoCo's `queue`";
            return Err(ConfigError::field("mixed", mixed, must));
        }
        let inputs = ObjectiveInputs::of("mochi", context)?;
        let is_right = (inputs.n_trained, inputs.n_fixed) == (1, 1);
        let hint = "name the query, and the momentum encoder's key of another view";
        inputs.require(is_right, context, "1 trained and 1 fixed value", hint)?;
        let bank = Bank::new(len, inputs.width, context)?;
        let purpose = format!("mixed negatives of {}", context.name);
        Ok(Self { bank, inputs, config, purpose })
    }

    /// Negatives of a query in `epoch`.
    fn n_negatives(&self, epoch: usize) -> usize {
        let MoChiConfig { len, mixed, mixed_with_query, warmup_epochs, .. } = self.config;
        if epoch < warmup_epochs { len } else { len + mixed + mixed_with_query }
    }

    /// The cosines of queries with their own key, past keys and mixed negatives: `(N, 1 + negatives)`.
    fn cosines(&self, query: Features, key: Features, step: ObjectiveStep<'_>) -> Result<Features, OpError> {
        let bank = self.bank.rows(&query.device().clone())?;
        let (for_own, for_past) = fork(l2_normalize(query)?);
        let own = sum_over(times(for_own, key)?, Axis::Columns)?;
        let keys = to_rows(&bank);
        let past = matmul_transposed(for_past, bank)?;
        if self.n_negatives(step.at.epoch) == self.config.len {
            return concat_columns(vec![own, past]);
        }
        let MoChiConfig { hardest, mixed: of_pairs, mixed_with_query: with_query, .. } = self.config;
        // Not `self`: what is on a device is not for other threads.
        let purpose = self.purpose.as_str();
        let draws = |row: usize| {
            // An objective gives the same for the same input: several losses of a step mix the same places.
            let of_row = [step.at.epoch, step.at.step, row].map(|number| number as u64);
            Rng::new(step.seed, purpose, &of_row)
        };
        let (past, for_mixing) = fork(past);
        let mixed = mixed(for_mixing, &keys, Mixing { hardest, of_pairs, with_query }, draws)?;
        concat_columns(vec![own, past, mixed])
    }
}

impl Module for MoChi {
    plugin_api::visit! { self;
        "" => self.bank,
    }
}

impl Objective for MoChi {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let (query, key) = self.inputs.pair(inputs)?;
        let cosines = self.cosines(query, constant(&unit_rows(&key)?), step)?;
        let evaluated = own_first(cosines, self.config.temperature)?;
        self.bank.put_aside(&key)?;
        Ok(evaluated)
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        self.bank.end_step()
    }

    fn discard_step(&mut self) {
        self.bank.discard_step();
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["top1"]
    }

    fn past_keys(&self) -> Option<PastKeys> {
        Some(self.bank.past_keys())
    }

    /// After the warm-up: all rows alike, and negatives at right angles to the query, below which the loss does not come. Mixes
    /// with the query are nearer to it, so that it does not come there either.
    fn loss_range(&self, _: usize) -> Option<LossRange> {
        Some(own_first_range(self.n_negatives(usize::MAX), self.config.temperature))
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.config.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use plugin_api::Entry;
    use tensor_ops::{Device, Matrix, Recording, Rows as _, detach, features_from_rows};

    use super::*;

    const SHAPE: (usize, usize) = (4, 3);

    fn few() -> MoChiConfig {
        MoChiConfig {
            len: 9,
            temperature: 0.3,
            hardest: 4,
            mixed: 5,
            mixed_with_query: 3,
            ..MoChiConfig::default()
        }
    }

    fn mochi(config: MoChiConfig) -> MoChi {
        MoChi::new(config, &context(1, 1, SHAPE)).unwrap()
    }

    fn rows(seed: u64) -> [Matrix; 1] {
        [noise(seed, SHAPE).unwrap()]
    }

    fn bank(loss: &MoChi) -> Vec<f32> {
        let mut values = Vec::new();
        loss.visit(&mut |name, entry| {
            if let ("bank", Entry::Buffer(buffer)) = (name, entry) {
                values = buffer.to_vec();
            }
        });
        values
    }

    fn unit(row: &[f32]) -> Vec<f64> {
        let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        row.iter().map(|v| f64::from(*v) / length).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// The paper's definition with vectors, of mixes that are made for `mixed_for` while `query` is what is compared.
    fn definition(config: &MoChiConfig, bank: &[f32], query: &[f32], mixed_for: &[f32], key: &[f32]) -> f64 {
        let keys: Vec<Vec<f64>> = bank.chunks(3).map(unit).collect();
        let blend = |share: f64, a: &[f64], b: &[f64]| {
            let sum: Vec<f64> = a.iter().zip(b).map(|(a, b)| share * a + (1.0 - share) * b).collect();
            let length = dot(&sum, &sum).sqrt();
            sum.into_iter().map(|v| v / length).collect::<Vec<f64>>()
        };
        let mut total = 0.0;
        for (row, ((query, mixed_for), key)) in
            query.chunks(3).zip(mixed_for.chunks(3)).zip(key.chunks(3)).enumerate()
        {
            let (query, own) = (unit(query), unit(mixed_for));
            let mut order: Vec<usize> = (0..keys.len()).collect();
            order.sort_by(|a, b| dot(&own, &keys[*b]).total_cmp(&dot(&own, &keys[*a])));
            order.truncate(config.hardest);
            order.sort_unstable();
            let mut draws = Rng::new(7, "mixed negatives of loss", &[0, 0, row as u64]);
            let mut negatives = keys.clone();
            for _ in 0..config.mixed {
                let (a, b) = (order[draws.below(order.len())], order[draws.below(order.len())]);
                negatives.push(blend(draws.unit(), &keys[a], &keys[b]));
            }
            for _ in 0..config.mixed_with_query {
                let key = order[draws.below(order.len())];
                negatives.push(blend(draws.uniform(0.0, 0.5), &own, &keys[key]));
            }
            let right = (dot(&query, &unit(key)) / config.temperature).exp();
            let wrong: f64 = negatives.iter().map(|n| (dot(&query, n) / config.temperature).exp()).sum();
            total -= (right / (right + wrong)).ln();
        }
        total / 4.0
    }

    #[test]
    fn the_loss_is_its_definition() {
        let (query, key) = (rows(1), rows(2));
        let mut loss = mochi(few());
        let value =
            Trial { trained: &query, fixed: &key, ..Trial::default() }.evaluate(&mut loss).unwrap().value;
        let (q, k) = (to_rows(&query[0]), to_rows(&key[0]));
        let expected = definition(&few(), &bank(&loss), &q, &q, &k);
        assert!((f64::from(value) / expected - 1.0).abs() < 1e-5, "{value}, expected {expected}");
    }

    #[test]
    fn no_gradient_passes_into_mixed_negatives() {
        use tensor_ops::{backward, gradient_of_rows};
        let (query, key) = (rows(1), rows(2));
        let mut loss = mochi(few());
        let (q, k) = (to_rows(&query[0]), to_rows(&key[0]));
        let device = tensor_ops::Device::default();
        let recorded = features_from_rows(&device, SHAPE, q.clone(), Recording::start()).unwrap();
        let (matrix, recording) = recorded.split_recording();
        let trained = Input::Trained(matrix.clone().with_recording(recording));
        let at = plugin_api::Progress { epoch: 0, step: 0, steps_per_epoch: 1, epochs: 1 };
        let step = ObjectiveStep { seed: 7, at, indices: &[0, 1, 2, 3], labels: None };
        let evaluated = loss.evaluate(vec![trained, Input::Fixed(key[0].clone())], step).unwrap();
        let mut gradients = backward(evaluated.loss).unwrap();
        let gradient = to_rows(&gradient_of_rows(&matrix, &mut gradients).unwrap());
        let bank = bank(&loss);
        for (place, gradient) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut moved = q.clone();
                moved[place] += by;
                definition(&few(), &bank, &moved, &q, &k)
            };
            let expected = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!(
                (f64::from(*gradient) - expected).abs() < 1e-4,
                "{place}: {gradient}, expected {expected}"
            );
        }
    }

    #[test]
    fn gradients_are_finite_differences_where_the_query_is_not_mixed_in() {
        let (query, key) = (rows(1), rows(2));
        let trial = Trial { trained: &query, fixed: &key, ..Trial::default() };
        let mut loss = mochi(MoChiConfig { mixed_with_query: 0, ..few() });
        assert!(trial.gradient_error(&mut loss).unwrap() < 0.01);
    }

    #[test]
    fn queries_that_are_like_all_keys_alike_are_not_right() {
        let dead =
            [detach(&features_from_rows(&Device::default(), SHAPE, vec![0.0; 12], Recording::Off).unwrap())];
        let config = MoChiConfig { mixed_with_query: 0, ..few() };
        let trial = Trial { trained: &dead, fixed: &dead, ..Trial::default() };
        assert_eq!(trial.evaluate(&mut mochi(config)).unwrap().metrics, [0.0]);
    }

    #[test]
    fn nothing_is_mixed_while_it_warms_up() {
        let (query, key) = (rows(1), rows(2));
        let value = |config, epoch| {
            let trial = Trial { trained: &query, fixed: &key, epoch, ..Trial::default() };
            trial.evaluate(&mut mochi(config)).unwrap().value
        };
        let warm = MoChiConfig { warmup_epochs: 2, ..few() };
        assert_eq!(value(warm.clone(), 0), value(warm.clone(), 1));
        assert!(
            value(warm.clone(), 2) > value(warm.clone(), 1),
            "more negatives, and a loss that is not higher"
        );
        assert_eq!(value(warm, 2), value(few(), 2));
    }

    #[test]
    fn the_next_step_does_not_know_a_discarded_one() {
        let (query, key) = (rows(1), rows(2));
        let trial = Trial { trained: &query, fixed: &key, ..Trial::default() };
        let mut loss = mochi(few());
        let before = bank(&loss);
        let first = trial.evaluate(&mut loss).unwrap().value;
        loss.discard_step();
        loss.end_step().unwrap();
        assert_eq!(bank(&loss), before);
        assert_eq!(trial.evaluate(&mut loss).unwrap().value, first);
    }

    #[test]
    fn the_queue_takes_in_the_keys_when_the_step_ends() {
        let (query, key) = (rows(1), rows(2));
        let mut loss = mochi(few());
        let before = bank(&loss);
        Trial { trained: &query, fixed: &key, ..Trial::default() }.evaluate(&mut loss).unwrap();
        assert_eq!(bank(&loss), before);
        loss.end_step().unwrap();
        assert_eq!(bank(&loss)[..12], to_rows(&unit_rows(&key[0]).unwrap()));
        assert_eq!(bank(&loss)[12..], before[12..]);
    }

    #[test]
    fn other_settings_are_refused() {
        let said = |config| MoChi::new(config, &context(1, 1, SHAPE)).err().unwrap().to_string();
        assert_eq!(
            said(MoChiConfig { hardest: 10, ..few() }),
            "`hardest` is 10, but it must be 1 to 9, the length of the queue"
        );
        assert_eq!(said(MoChiConfig { len: 0, ..few() }), "`len` is 0, but it must be at least 1");
        assert!(said(MoChiConfig { hardest: 0, ..few() }).starts_with("`hardest` is 0, but"));
        assert!(
            said(MoChiConfig { mixed: usize::MAX, ..few() })
                .ends_with("it must be at most 9, the length of the queue")
        );
        assert!(
            said(MoChiConfig { mixed_with_query: 10, ..few() }).starts_with("`mixed_with_query` is 10, but")
        );
        let nothing = MoChiConfig { mixed: 0, mixed_with_query: 0, ..few() };
        assert!(said(nothing).starts_with("`mixed` is 0, but with `mixed_with_query` it must be at least 1"));
        let error = MoChi::new(few(), &context(2, 0, SHAPE)).err().unwrap().to_string();
        assert!(error.starts_with("`mochi` takes 1 trained and 1 fixed value, but"), "{error}");
    }
}
