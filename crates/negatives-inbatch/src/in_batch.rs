//! The loss.

use dfdx::prelude::{HasShape, PutTape, SplitTape};
use plugin_api::{
    ConfigError, Contrast, ContrastiveLoss, Keys, LossContext, LossRange, Module, set_temperature,
};
use tensor_ops::{Features, KeepLogits, Matrix, OpError, Recording, info_nce_in_batch, l2_normalize};

use crate::InBatchConfig;

/// `2 T` times the cross entropy of a query over the keys of the whole batch, with its own key as the target.
#[derive(Debug, Clone)]
pub struct InBatch {
    width: usize,
    temperature: f64,
}

impl InBatch {
    /// The loss for `config`.
    ///
    /// # Errors
    /// If the temperature is not positive, or a batch has only one image.
    pub fn new(config: InBatchConfig, context: &LossContext) -> Result<Self, ConfigError> {
        config.check()?;
        if context.batch < 2 {
            let message = "a batch of one image has no negatives";
            return Err(ConfigError::unfit(message, "use a batch of at least 2"));
        }
        Ok(Self { width: context.n_inputs, temperature: config.temperature })
    }
}

/// L2-normalizes the rows of `keys`.
fn normalized(keys: &Matrix) -> Result<Matrix, OpError> {
    let (keys, _) = l2_normalize(keys.clone().put_tape(Recording::Off))?.split_tape();
    Ok(keys)
}

impl Module for InBatch {
    plugin_api::visit! { self; }
}

impl ContrastiveLoss for InBatch {
    fn loss(&mut self, queries: Features, keys: Keys<'_>, keep: KeepLogits) -> Result<Contrast, OpError> {
        let (n, width) = *queries.shape();
        let shape =
            |what, expected: String, got: String| OpError::Shape { op: "in-batch", what, expected, got };
        if width != self.width {
            return Err(shape("width of a query", self.width.to_string(), width.to_string()));
        }
        if *keys.own.shape() != (n, width) {
            let got = format!("{:?}", keys.own.shape());
            return Err(shape("shape of the keys", format!("{:?}", (n, width)), got));
        }
        let queries = l2_normalize(queries)?;
        let all = normalized(keys.all)?;
        info_nce_in_batch(queries, &all, keys.first, self.temperature as f32, keep)
    }

    /// Does nothing: the next step has its own keys.
    fn enqueue(&mut self, _: &Matrix) -> Result<(), OpError> {
        Ok(())
    }

    fn loss_range(&self, n: usize) -> LossRange {
        let (t, n_keys) = (self.temperature, n as f64);
        LossRange {
            chance: 2.0 * t * n_keys.ln(),
            floor: 2.0 * t * ((n_keys - 1.0) * (-1.0 / t).exp()).ln_1p(),
        }
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{AsArray, TensorFromVec};
    use tensor_ops::{Device, backward, gradient_of_rows, to_rows};

    use super::*;

    fn context(n_inputs: usize, batch: usize) -> LossContext {
        LossContext {
            device: Device::default(),
            n_inputs,
            batch,
            keys_per_step: 2 * batch,
            seed: 5,
            name: "contrast".into(),
        }
    }

    fn in_batch(temperature: f64) -> InBatch {
        InBatch::new(InBatchConfig { temperature }, &context(4, 3)).unwrap()
    }

    fn matrix(values: Vec<f32>, width: usize) -> Matrix {
        let n_rows = values.len() / width;
        Device::default().tensor_from_vec(values, (n_rows, width))
    }

    fn wave(frequency: f32, n: usize) -> Matrix {
        matrix((1..=4 * n).map(|i| (i as f32 * frequency).sin()).collect(), 4)
    }

    fn alone(keys: &Matrix) -> Keys<'_> {
        Keys { own: keys, all: keys, first: 0 }
    }

    #[test]
    fn the_loss_is_that_of_the_reference() {
        // F = torch.nn.functional; q = torch.sin(torch.arange(1., 13).double() * .7).view(3, 4).requires_grad_()
        // k = torch.sin(torch.arange(1., 13).double() * 1.3).view(3, 4); T = .2
        // loss = F.cross_entropy(F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / T, torch.arange(3)) * 2 * T
        // loss.backward(); print(loss, q.grad)
        let queries = wave(0.7, 3).put_tape(Recording::start());
        let (name, recording) = queries.split_tape();
        let keys = wave(1.3, 3);
        let queries = name.clone().put_tape(recording);
        let contrast = in_batch(0.2).loss(queries, alone(&keys), KeepLogits::No).unwrap();
        #[rustfmt::skip]
        let expected = [
            -0.362865804,  0.001974588,  0.253969022,  0.037584232,
             0.233441678, -0.040401497, -0.124852740,  0.120372973,
             0.021462799,  0.018611059, -0.004201289, -0.009871894,
        ];
        let loss = f64::from(contrast.loss.array());
        assert!((loss - 0.7512171536).abs() < 1e-6, "{loss}");
        let mut gradients = backward(contrast.loss).unwrap();
        let gradient = to_rows(&gradient_of_rows(&name, &mut gradients).unwrap());
        for (ours, theirs) in gradient.iter().zip(expected) {
            assert!((f64::from(*ours) - theirs).abs() < 1e-6, "{gradient:?}, expected {expected:?}");
        }
    }

    #[test]
    fn keys_of_other_processes_are_negatives_and_the_own_ones_are_found_among_them() {
        let all = wave(1.3, 6);
        let own = matrix(to_rows(&all)[12..].to_vec(), 4);
        let queries = || wave(0.7, 3).put_tape(Recording::Off);
        let loss = |keys| in_batch(0.2).loss(queries(), keys, KeepLogits::Yes).unwrap();
        let there = loss(Keys { own: &own, all: &all, first: 3 });
        let logits = there.logits.unwrap();
        assert_eq!(logits.len(), 3 * 6);
        let cross_entropy = |(i, row): (usize, &[f32])| {
            let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            sum.ln() - f64::from(row[3 + i])
        };
        let expected = 0.4 * logits.chunks(6).enumerate().map(cross_entropy).sum::<f64>() / 3.0;
        assert!((f64::from(there.loss.array()) - expected).abs() < 1e-6);
        assert!(there.loss.array() > loss(alone(&own)).loss.array(), "more negatives, and no higher loss");
    }

    #[test]
    fn queries_and_keys_meet_at_unit_length() {
        let loss = |scale: f32| {
            let scaled = |m: Matrix| matrix(to_rows(&m).iter().map(|v| v * scale).collect(), 4);
            let queries = scaled(wave(0.7, 3)).put_tape(Recording::Off);
            let keys = scaled(wave(1.3, 3));
            in_batch(0.2).loss(queries, alone(&keys), KeepLogits::No).unwrap().loss.array()
        };
        assert!((loss(1.0) - loss(10.0)).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_kept_from_step_to_step() {
        let mut in_batch = in_batch(0.2);
        let keys = wave(1.3, 3);
        let loss = |in_batch: &mut InBatch| {
            let queries = wave(0.7, 3).put_tape(Recording::Off);
            in_batch.loss(queries, alone(&keys), KeepLogits::No).unwrap().loss.array()
        };
        let before = loss(&mut in_batch);
        in_batch.enqueue(&wave(2.1, 6)).unwrap();
        assert_eq!(loss(&mut in_batch), before);
        in_batch.visit(&mut |name, _| panic!("{name} would be saved"));
        assert!(!in_batch.is_separable(), "every query sees the keys of the whole batch");
    }

    #[test]
    fn keys_of_another_shape_are_refused() {
        let queries = || wave(0.7, 3).put_tape(Recording::Off);
        let compare = |keys: Keys<'_>| in_batch(0.2).loss(queries(), keys, KeepLogits::No).map(drop);
        let (two, narrow) = (wave(1.3, 2), matrix(vec![1.0; 9], 3));
        assert!(compare(alone(&two)).is_err());
        assert!(compare(alone(&narrow)).is_err());
        let three = wave(1.3, 3);
        assert!(compare(Keys { own: &three, all: &three, first: 1 }).is_err());
        let queries = narrow.clone().put_tape(Recording::Off);
        assert!(in_batch(0.2).loss(queries, alone(&narrow), KeepLogits::No).is_err());
    }

    #[test]
    fn a_temperature_that_is_not_positive_and_a_batch_of_one_are_refused() {
        let new = |temperature, batch| InBatch::new(InBatchConfig { temperature }, &context(4, batch));
        let error = new(0.0, 8).unwrap_err().to_string();
        assert_eq!(error, "`temperature` is 0, but it must be from 0.001 to 1000; papers have 0.04 to 1");
        assert!(new(f64::NAN, 8).is_err());
        assert!(new(f64::INFINITY, 8).is_err());
        assert!(new(0.2, 1).is_err());
        assert!(new(0.2, 2).is_ok());
    }

    #[test]
    fn two_losses_have_chance_and_floor_of_the_reference() {
        // reference: chance 4 T ln N; floor 4 T ln(1 + (N - 1) e^(-1/T)), rounded to two places
        for (n, temperature, chance, floor) in [
            (4096, 1.0, 33.27, 29.27),
            (4096, 0.2, 6.65, 2.68),
            (1024, 0.2, 5.55, 1.65),
            (1024, 1.0, 27.73, 23.73),
            (768, 1.0, 26.58, 22.58),
            (256, 0.2, 4.44, 0.80),
        ] {
            let LossRange { chance: c, floor: f } = in_batch(temperature).loss_range(n);
            let (c, f) = (2.0 * c, 2.0 * f);
            assert!((c - chance).abs() < 0.006 && (f - floor).abs() < 0.006, "{n} {temperature}: {c} {f}");
        }
    }
}
