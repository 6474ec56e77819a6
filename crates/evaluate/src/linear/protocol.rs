//! The published settings of linear probes.

use super::ProbeError;

/// The batch size that base learning rates are for.
const BASE_BATCH: f64 = 256.0;

/// How the learning rate decays over epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// Divided by 10 after 60 % and after 80 % of the epochs (MoCo v1, v2: at 60 and 80 of 100).
    Steps,
    /// To 0 by a half cosine (MoCo v3).
    Cosine,
}

impl Decay {
    /// The factor on the learning rate in epoch `epoch`, from 0, of `epochs`.
    pub fn factor(self, epoch: usize, epochs: usize) -> f64 {
        match self {
            Self::Steps => match (10 * epoch >= 6 * epochs, 10 * epoch >= 8 * epochs) {
                (_, true) => 0.01,
                (true, false) => 0.1,
                (false, false) => 1.0,
            },
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * epoch as f64 / epochs as f64).cos()),
        }
    }
}

/// The published settings for linear classifiers: SGD with momentum 0.9, no weight decay, weights from N(0, 0.01),
/// biases 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedProbe {
    /// The paper.
    pub name: &'static str,
    /// The base learning rate; the learning rate is this × batch size / 256.
    pub base_lr: f64,
    /// The batch size.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// How the learning rate decays.
    pub decay: Decay,
}

impl PublishedProbe {
    /// MoCo v1 and v2 (He et al. 2020, §4.1): learning rate 30 with a batch size of 256.
    pub const MOCO_V1_V2: Self =
        Self { name: "MoCo v1/v2", base_lr: 30.0, batch: 256, epochs: 100, decay: Decay::Steps };
    /// MoCo v3 with a ResNet (the code of Chen et al. 2021): base learning rate 0.1, so 0.4 with its batch size.
    pub const MOCO_V3_RESNET: Self =
        Self { name: "MoCo v3, ResNet", base_lr: 0.1, batch: 1024, epochs: 90, decay: Decay::Cosine };
    /// MoCo v3 with a ViT (the code of Chen et al. 2021): base learning rate 3, so 12 with its batch size.
    pub const MOCO_V3_VIT: Self =
        Self { name: "MoCo v3, ViT", base_lr: 3.0, batch: 1024, epochs: 90, decay: Decay::Cosine };

    /// The recipe's own protocol.
    pub fn protocol(&self) -> ProbeProtocol {
        ProbeProtocol {
            base_lrs: vec![self.base_lr],
            batch: self.batch,
            epochs: self.epochs,
            decay: self.decay,
        }
    }
}

/// The settings of a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeProtocol {
    /// Base learning rates. One classifier is trained with each, all on the same batches.
    pub base_lrs: Vec<f64>,
    /// The batch size; the last batch of an epoch may be smaller.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// How the learning rates decay.
    pub decay: Decay,
}

impl ProbeProtocol {
    /// The initial learning rates: base × batch size / 256.
    pub fn lrs(&self) -> Vec<f64> {
        self.base_lrs.iter().map(|base| base * self.batch as f64 / BASE_BATCH).collect()
    }

    /// Differences from `recipe`, in words. Additional learning rates do not count.
    pub fn departures(&self, recipe: &PublishedProbe) -> Vec<String> {
        let mut found = Vec::new();
        let mut differs = |what: &str, own: String, published: String| {
            if own != published {
                found.push(format!("{what} {own} instead of {published}"));
            }
        };
        differs("batch size", self.batch.to_string(), recipe.batch.to_string());
        differs("epochs", self.epochs.to_string(), recipe.epochs.to_string());
        if !self.base_lrs.contains(&recipe.base_lr) {
            let own: Vec<String> = self.base_lrs.iter().map(f64::to_string).collect();
            differs("base learning rate", own.join(", "), recipe.base_lr.to_string());
        }
        found
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If one is invalid.
    pub fn check(&self) -> Result<(), ProbeError> {
        let setting = |what, value: String, must| Err(ProbeError::Setting { what, value, must });
        if self.batch == 0 {
            return setting("the batch size", "0".into(), "it must be at least 1");
        }
        if self.epochs == 0 {
            return setting("the number of epochs", "0".into(), "it must be at least 1");
        }
        if self.base_lrs.is_empty() {
            return setting("the number of learning rates", "0".into(), "there must be at least one");
        }
        if let Some(lr) = self.base_lrs.iter().find(|lr| !(**lr > 0.0 && lr.is_finite())) {
            return setting("a learning rate", lr.to_string(), "it must be positive");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moco_v1_and_v2_drop_tenfold_at_epochs_60_and_80() {
        let factor = |epoch| PublishedProbe::MOCO_V1_V2.decay.factor(epoch, 100);
        assert_eq!([0, 59, 60, 79, 80, 99].map(factor), [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
        assert_eq!(PublishedProbe::MOCO_V1_V2.protocol().lrs(), [30.0]);
    }

    #[test]
    fn moco_v3_falls_by_a_cosine_from_the_scaled_rate() {
        let PublishedProbe { decay, epochs, .. } = PublishedProbe::MOCO_V3_VIT;
        assert_eq!(decay.factor(0, epochs), 1.0);
        assert!((decay.factor(45, epochs) - 0.5).abs() < 1e-12);
        assert!(decay.factor(89, epochs) < 1e-3);
        assert_eq!(PublishedProbe::MOCO_V3_VIT.protocol().lrs(), [12.0]);
        assert_eq!(PublishedProbe::MOCO_V3_RESNET.protocol().lrs(), [0.4]);
    }

    #[test]
    fn departures_are_told_one_by_one() {
        let recipe = PublishedProbe::MOCO_V1_V2;
        let mut protocol = recipe.protocol();
        assert_eq!(protocol.departures(&recipe), [""; 0]);
        protocol.base_lrs.push(3.0);
        assert_eq!(protocol.departures(&recipe), [""; 0], "its own rate is among them");
        let protocol = ProbeProtocol { base_lrs: vec![1.0, 3.0], batch: 64, ..protocol };
        let expected = ["batch size 64 instead of 256", "base learning rate 1, 3 instead of 30"];
        assert_eq!(protocol.departures(&recipe), expected);
    }
}
