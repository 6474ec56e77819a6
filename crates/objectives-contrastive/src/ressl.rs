//! ReSSL's loss.

use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, LossRange, Module, Objective, ObjectiveContext,
    ObjectiveInputs, ObjectiveStep, PastKeys, check_temperature, check_temperature_of,
};
use tensor_ops::{
    OpError, Rows as _, constant, fork, l2_normalize, log_softmax, matmul_transposed, scale_loss, scaled,
    softmax, sum_all, times,
};

use nn::{Bank, unit_rows};

/// The config of [`ReSsl`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReSslConfig {
    /// Length `K` of the queue of past keys. The paper: 4096 for CIFAR, 131072 for ImageNet.
    pub len: usize,
    /// Temperature of the trained view. The paper: 0.1.
    pub temperature: f64,
    /// Temperature of the fixed view, whose similarities are the targets; a lower one makes them sharper. The paper: 0.04.
    pub target_temperature: f64,
}

/// The paper's for CIFAR.
impl Default for ReSslConfig {
    fn default() -> Self {
        Self { len: 4096, temperature: 0.1, target_temperature: 0.04 }
    }
}

/// ReSSL's loss (Zheng et al. 2021, arXiv:2107.09282, Eq. 5): the cross entropy between the similarities of two views to a
/// queue of past keys. The view that the momentum encoder sees says which images are similar, and by how much; nothing is
/// only a negative.
///
/// Takes an embedding that is trained and one that is fixed, `(N, D)`, and scales their rows to unit length. After a step the
/// queue takes in the fixed one.
pub struct ReSsl {
    bank: Bank,
    inputs: ObjectiveInputs,
    config: ReSslConfig,
}

impl ReSsl {
    /// The loss for `config`, with a queue of random unit rows.
    ///
    /// # Errors
    /// If the queue has no row or does not fit in memory, a temperature is not positive, the inputs are others, or a batch has
    /// only one image.
    pub fn new(config: ReSslConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        check_temperature(config.temperature)?;
        check_temperature_of("target_temperature", config.target_temperature)?;
        if config.len < 2 {
            let must = "it must be at least 2: similarities to a single image tell nothing";
            return Err(ConfigError::field("len", config.len, must));
        }
        let inputs = ObjectiveInputs::of("ressl", context)?;
        let is_right = (inputs.n_trained, inputs.n_fixed) == (1, 1);
        let hint = "name the embedding of one view, and the momentum encoder's of another";
        inputs.require(is_right, context, "1 trained and 1 fixed value", hint)?;
        inputs.require_batch(2, context, "there is nothing to tell an image from")?;
        Ok(Self { bank: Bank::new(config.len, inputs.width, context)?, inputs, config })
    }
}

impl Module for ReSsl {
    plugin_api::visit! { self;
        "" => self.bank,
    }
}

impl Objective for ReSsl {
    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        self.inputs.require_different_views(inputs)
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let (query, key) = self.inputs.pair(inputs)?;
        let (n, device) = (query.n(), query.device().clone());
        let (bank, again) = fork(self.bank.rows(&device)?);
        let similar =
            |x, bank, temperature: f64| scaled(matmul_transposed(x, bank)?, (1.0 / temperature) as f32);
        let targets = softmax(similar(constant(&unit_rows(&key)?), bank, self.config.target_temperature)?)?;
        let told = log_softmax(similar(l2_normalize(query)?, again, self.config.temperature)?)?;
        let loss = scale_loss(sum_all(times(told, targets)?)?, -1.0 / n as f32)?;
        self.bank.put_aside(&key)?;
        Ok(Evaluated::new(loss, Vec::new()))
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        self.bank.end_step()
    }

    fn discard_step(&mut self) {
        self.bank.discard_step();
    }

    fn past_keys(&self) -> Option<PastKeys> {
        Some(self.bank.past_keys())
    }

    /// All keys alike, and a target that is sure of one.
    fn loss_range(&self, _: usize) -> Option<LossRange> {
        Some(LossRange { chance: (self.config.len as f64).ln(), floor: 0.0 })
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        let (name, number) = match field {
            "temperature" => ("temperature", &mut self.config.temperature),
            "target_temperature" => ("target_temperature", &mut self.config.target_temperature),
            _ => return Err(ConfigError::stays_fixed(field, &["temperature", "target_temperature"])),
        };
        check_temperature_of(name, value)?;
        *number = value;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, context, noise};
    use plugin_api::Entry;
    use tensor_ops::{Matrix, to_rows};

    use super::*;

    const SHAPE: (usize, usize) = (4, 3);

    fn ressl(len: usize) -> ReSsl {
        ReSsl::new(ReSslConfig { len, ..ReSslConfig::default() }, &context(1, 1, SHAPE)).unwrap()
    }

    fn rows(seed: u64) -> [Matrix; 1] {
        [noise(seed, SHAPE).unwrap()]
    }

    fn bank(loss: &ReSsl) -> Vec<f32> {
        let mut values = Vec::new();
        loss.visit(&mut |name, entry| {
            if let ("bank", Entry::Buffer(buffer)) = (name, entry) {
                values = buffer.to_vec();
            }
        });
        values
    }

    fn shares(row: &[f32], bank: &[f32], temperature: f64) -> Vec<f64> {
        let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let exponential = |key: &[f32]| {
            let dot: f64 = row.iter().zip(key).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            (dot / length / temperature).exp()
        };
        let all: Vec<f64> = bank.chunks(row.len()).map(exponential).collect();
        let sum: f64 = all.iter().sum();
        all.into_iter().map(|share| share / sum).collect()
    }

    #[test]
    fn the_loss_is_its_definition() {
        let (query, key) = (rows(1), rows(2));
        let mut loss = ressl(9);
        let bank = bank(&loss);
        let value =
            Trial { trained: &query, fixed: &key, ..Trial::default() }.evaluate(&mut loss).unwrap().value;
        let (q, k) = (to_rows(&query[0]), to_rows(&key[0]));
        let pairs = q.chunks(3).zip(k.chunks(3));
        let of_row = |(q, k): (&[f32], &[f32])| {
            let (told, target) = (shares(q, &bank, 0.1), shares(k, &bank, 0.04));
            -target.iter().zip(&told).map(|(target, told)| target * told.ln()).sum::<f64>()
        };
        let expected = pairs.map(of_row).sum::<f64>() / 4.0;
        assert!((f64::from(value) / expected - 1.0).abs() < 1e-5, "{value}, expected {expected}");
    }

    #[test]
    fn gradients_are_finite_differences() {
        let (query, key) = (rows(1), rows(2));
        let trial = Trial { trained: &query, fixed: &key, ..Trial::default() };
        assert!(trial.gradient_error(&mut ressl(9)).unwrap() < 0.01);
    }

    #[test]
    fn the_queue_takes_in_the_keys_when_the_step_ends() {
        let (query, key) = (rows(1), rows(2));
        let mut loss = ressl(6);
        let before = bank(&loss);
        Trial { trained: &query, fixed: &key, ..Trial::default() }.evaluate(&mut loss).unwrap();
        assert_eq!(bank(&loss), before);
        loss.end_step().unwrap();
        assert_eq!(bank(&loss)[..12], to_rows(&unit_rows(&key[0]).unwrap()));
    }

    #[test]
    fn other_settings_are_refused() {
        let said = |config, context| ReSsl::new(config, &context).err().unwrap().to_string();
        let usual = ReSslConfig::default;
        let fits = || context(1, 1, SHAPE);
        assert!(said(ReSslConfig { len: 1, ..usual() }, fits()).starts_with("`len` is 1, but"));
        let cold = ReSslConfig { target_temperature: 0.0, ..usual() };
        assert!(said(cold, fits()).starts_with("`target_temperature` is 0, but"));
        assert!(
            said(usual(), context(2, 0, SHAPE)).starts_with("`ressl` takes 1 trained and 1 fixed value, but")
        );
    }
}
