//! The settings of fine-tuning.

use evaluate::linear::ProbeError;

/// The settings of fine-tuning with AdamW.
///
/// [`Default`] follows DeiT's and BEiT's fine-tuning of ViTs (Touvron et al. 2021, arXiv:2012.12877; Bao et al. 2021,
/// arXiv:2106.08254) without their stronger augmentation; the MoCo papers publish no recipe for fine-tuning.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuneProtocol {
    /// The base learning rate of the classifier; the learning rate is this × batch size / 256.
    pub base_lr: f64,
    /// The learning rate of a layer relative to the layer above it, above 0 and up to 1.
    pub layer_decay: f64,
    /// Label smoothing: the share of a label that is spread over all classes, from 0 to below 1.
    pub label_smoothing: f64,
    /// The batch size.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// Epochs of linear warm-up from 0, before cosine decay.
    pub warmup_epochs: usize,
}

impl Default for FineTuneProtocol {
    fn default() -> Self {
        Self {
            base_lr: 1e-3,
            layer_decay: 0.75,
            label_smoothing: 0.1,
            batch: 128,
            epochs: 50,
            warmup_epochs: 5,
        }
    }
}

impl FineTuneProtocol {
    /// The protocol in words: `fine-tuning, base learning rate 0.001, layer decay 0.75, ...`.
    pub fn describe(&self) -> String {
        let Self { base_lr, layer_decay, label_smoothing, batch, epochs, .. } = self;
        format!(
            "fine-tuning, base learning rate {base_lr}, layer decay {layer_decay}, label smoothing {label_smoothing}, batch \
             {batch}, {epochs} epochs"
        )
    }

    /// The learning rate of the classifier after `epochs_done` epochs, which may be a fraction.
    pub fn lr(&self, epochs_done: f64) -> f64 {
        let peak = self.base_lr * self.batch as f64 / 256.0;
        let warmup = self.warmup_epochs as f64;
        if epochs_done < warmup {
            return peak * epochs_done / warmup;
        }
        let share = (epochs_done - warmup) / (self.epochs as f64 - warmup).max(1.0);
        peak * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
    }

    /// # Errors
    /// If a setting is invalid.
    pub(super) fn check(&self) -> Result<(), ProbeError> {
        let setting =
            |what, value: f64, must| Err(ProbeError::Setting { what, value: value.to_string(), must });
        if self.batch == 0 || self.epochs == 0 {
            return setting("the batch or the number of epochs", 0.0, "it must be at least 1");
        }
        if !(self.base_lr > 0.0 && self.base_lr.is_finite()) {
            return setting("the learning rate", self.base_lr, "it must be positive");
        }
        if !(self.layer_decay > 0.0 && self.layer_decay <= 1.0) {
            return setting("the layer decay", self.layer_decay, "it must be above 0 and up to 1");
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return setting("the label smoothing", self.label_smoothing, "it must be at least 0 and below 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_from_0_and_falls_to_0() {
        let protocol =
            FineTuneProtocol { base_lr: 2.0, batch: 128, epochs: 25, warmup_epochs: 5, ..Default::default() };
        assert_eq!([0.0, 2.5, 5.0].map(|at| protocol.lr(at)), [0.0, 0.5, 1.0]);
        assert!((protocol.lr(15.0) - 0.5).abs() < 1e-12 && protocol.lr(25.0).abs() < 1e-12);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let good = FineTuneProtocol::default();
        good.check().unwrap();
        for bad in [
            FineTuneProtocol { epochs: 0, ..good.clone() },
            FineTuneProtocol { base_lr: f64::NAN, ..good.clone() },
            FineTuneProtocol { layer_decay: 0.0, ..good.clone() },
            FineTuneProtocol { label_smoothing: 1.0, ..good.clone() },
        ] {
            assert!(matches!(bad.check(), Err(ProbeError::Setting { .. })), "{bad:?}");
        }
    }
}
