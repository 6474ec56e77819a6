//! The settings of fine-tuning.

use evaluate::linear::ProbeError;
use plugin_api::counted;

use super::mixing::Mixing;

/// Where the cosine of the learning rate begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CosineFrom {
    /// At the end of the warm-up.
    WarmUpEnd,
    /// At the start: where the warm-up ends, it has fallen a little already, as in timm and so in DeiT.
    Start,
}

/// The settings of fine-tuning with AdamW, and with no weight decay for biases, norms, positions and tokens.
///
/// [`Default`] follows DeiT's and BEiT's fine-tuning of ViTs (Touvron et al. 2021, arXiv:2012.12877; Bao et al. 2021,
/// arXiv:2106.08254) without their stronger augmentation. [`FineTuneRecipe`](super::FineTuneRecipe) has published ones.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuneProtocol {
    /// The base learning rate of the classifier; the learning rate is this × batch size / 256.
    pub base_lr: f64,
    /// The learning rate that warm-up starts from, at most the full one.
    pub warmup_lr: f64,
    /// The learning rate at the end, at most the full one.
    pub end_lr: f64,
    /// Where its decay begins.
    pub cosine_from: CosineFrom,
    /// AdamW's weight decay.
    pub weight_decay: f64,
    /// The learning rate of a layer relative to the layer above it, above 0 and up to 1.
    pub layer_decay: f64,
    /// Label smoothing: the share of a label that is spread over all classes, from 0 to below 1.
    pub label_smoothing: f64,
    /// The batch size.
    pub batch: usize,
    /// Epochs to train.
    pub epochs: usize,
    /// Epochs of linear warm-up, before cosine decay; fewer than `epochs`.
    pub warmup_epochs: usize,
    /// How images are mixed with each other.
    pub mixing: Mixing,
    /// The magnitude of RandAugment, from 0 to 10; `None` for none.
    pub rand_augment: Option<f64>,
    /// Probability of erasing a rectangle of an image, from 0 to 1.
    pub random_erasing: f64,
    /// Whether crops are resized by a bicubic filter, and not by a bilinear one.
    pub bicubic_crops: bool,
    /// Rate of stochastic depth, from 0 to below 1, in place of the one that the pipeline has.
    pub drop_path: f64,
    /// The decay of a moving average of all weights, which is then what is evaluated; `None` for none.
    pub average: Option<f64>,
}

impl Default for FineTuneProtocol {
    fn default() -> Self {
        Self {
            base_lr: 1e-3,
            warmup_lr: 0.0,
            end_lr: 0.0,
            cosine_from: CosineFrom::WarmUpEnd,
            weight_decay: 0.05,
            layer_decay: 0.75,
            label_smoothing: 0.1,
            batch: 128,
            epochs: 50,
            warmup_epochs: 5,
            mixing: Mixing::NONE,
            rand_augment: None,
            random_erasing: 0.0,
            bicubic_crops: false,
            drop_path: 0.0,
            average: None,
        }
    }
}

impl FineTuneProtocol {
    /// The protocol in words: `fine-tuning, base learning rate 0.001, layer decay 0.75, ...`. What is off is left out.
    pub fn describe(&self) -> String {
        let Self { base_lr, layer_decay, label_smoothing, batch, epochs, warmup_epochs, .. } = self;
        let strengths = [
            ("mixup", self.mixing.mixup),
            ("CutMix", self.mixing.cutmix),
            ("RandAugment", self.rand_augment.unwrap_or(0.0)),
            ("random erasing", self.random_erasing),
            ("drop path", self.drop_path),
            ("average of weights", self.average.unwrap_or(0.0)),
        ];
        let on = strengths.into_iter().filter(|(_, strength)| *strength != 0.0);
        let on: String = on.map(|(what, strength)| format!("{what} {strength}, ")).collect();
        format!(
            "fine-tuning, base learning rate {base_lr}, layer decay {layer_decay}, label smoothing {label_smoothing}, {on}batch \
             {batch}, {}, {warmup_epochs} of them warm-up",
            counted(*epochs, "epoch")
        )
    }

    /// The learning rate of the classifier after `epochs_done` epochs, which may be a fraction.
    pub fn lr(&self, epochs_done: f64) -> f64 {
        let peak = self.base_lr * self.batch as f64 / 256.0;
        let warmup = self.warmup_epochs as f64;
        if epochs_done < warmup {
            let from = self.warmup_lr.min(peak);
            return from + (peak - from) * epochs_done / warmup;
        }
        let start = match self.cosine_from {
            CosineFrom::WarmUpEnd => warmup,
            CosineFrom::Start => 0.0,
        };
        let share = (epochs_done - start) / (self.epochs as f64 - start).max(1.0);
        let end = self.end_lr.min(peak);
        end + (peak - end) * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
    }

    /// The same settings for a view of the pipeline, which is used as it is: no RandAugment, random erasing or bicubic crops.
    pub fn without_augmentation(self) -> Self {
        Self { rand_augment: None, random_erasing: 0.0, bicubic_crops: false, ..self }
    }

    /// Checks that there is no augmentation that a view of the pipeline would ignore.
    ///
    /// # Errors
    /// If there is.
    pub(super) fn check_no_augmentation(&self) -> Result<(), ProbeError> {
        let on = [
            ("the magnitude of RandAugment", self.rand_augment.unwrap_or(0.0)),
            ("the probability of erasing", self.random_erasing),
            ("the use of bicubic crops", f64::from(self.bicubic_crops)),
        ];
        match on.into_iter().find(|(_, strength)| *strength != 0.0) {
            Some((what, value)) => Err(ProbeError::Setting {
                what,
                value: value.to_string(),
                must: "it must be 0 on a view of the pipeline, which is used as it is",
            }),
            None => Ok(()),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If one is invalid.
    pub fn check(&self) -> Result<(), ProbeError> {
        let setting =
            |what, value: f64, must| Err(ProbeError::Setting { what, value: value.to_string(), must });
        if self.batch == 0 || self.epochs == 0 {
            return setting("the batch or the number of epochs", 0.0, "it must be at least 1");
        }
        if self.warmup_epochs >= self.epochs {
            return setting(
                "the number of warm-up epochs",
                self.warmup_epochs as f64,
                "it must be below the number of epochs",
            );
        }
        if !(self.base_lr > 0.0 && self.base_lr.is_finite()) {
            return setting("the learning rate", self.base_lr, "it must be positive");
        }
        if !(self.layer_decay > 0.0 && self.layer_decay <= 1.0) {
            return setting("the layer decay", self.layer_decay, "it must be above 0 and up to 1");
        }
        let below_one = [
            ("the label smoothing", self.label_smoothing),
            ("the rate of dropped paths", self.drop_path),
            ("the decay of the average", self.average.unwrap_or(0.0)),
        ];
        for (what, value) in below_one {
            if !(0.0..1.0).contains(&value) {
                return setting(what, value, "it must be at least 0 and below 1");
            }
        }
        let not_negative = [
            ("the weight decay", self.weight_decay),
            ("mixup's alpha", self.mixing.mixup),
            ("CutMix's alpha", self.mixing.cutmix),
            ("the learning rate of the warm-up's start", self.warmup_lr),
            ("the learning rate at the end", self.end_lr),
        ];
        for (what, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return setting(what, value, "it must be 0 or more");
            }
        }
        for (what, share) in [
            ("the probability of erasing", self.random_erasing),
            ("the share of CutMix", self.mixing.cutmix_share),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return setting(what, share, "it must be from 0 to 1");
            }
        }
        let magnitude = self.rand_augment.unwrap_or(0.0);
        if !(0.0..=10.0).contains(&magnitude) {
            return setting("the magnitude of RandAugment", magnitude, "it must be from 0 to 10");
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
    fn the_rate_may_start_and_end_above_0_as_in_timm() {
        // import torch; from timm.scheduler.cosine_lr import CosineLRScheduler
        // s = CosineLRScheduler(torch.optim.SGD([torch.zeros(1)], 1.0), t_initial=20, lr_min=0.01, warmup_t=5,
        //                       warmup_lr_init=0.001)
        // print([s._get_lr(t)[0] for t in (0, 3, 5, 12, 19)])
        let protocol = FineTuneProtocol {
            base_lr: 1.0,
            batch: 256,
            epochs: 20,
            warmup_epochs: 5,
            warmup_lr: 0.001,
            end_lr: 0.01,
            cosine_from: CosineFrom::Start,
            ..Default::default()
        };
        let expected = [0.001, 0.6004, 0.855018, 0.352037, 0.016094];
        for (at, expected) in [0.0, 3.0, 5.0, 12.0, 19.0].into_iter().zip(expected) {
            assert!((protocol.lr(at) - expected).abs() < 1e-6, "{at}: {}", protocol.lr(at));
        }
    }

    #[test]
    fn a_view_of_the_pipeline_goes_with_no_augmentation_beside_it() {
        let good = FineTuneProtocol::default();
        good.check_no_augmentation().unwrap();
        for bad in [
            FineTuneProtocol { random_erasing: 0.25, ..good.clone() },
            FineTuneProtocol { rand_augment: Some(9.0), ..good.clone() },
            FineTuneProtocol { bicubic_crops: true, ..good.clone() },
        ] {
            assert!(matches!(bad.check_no_augmentation(), Err(ProbeError::Setting { .. })), "{bad:?}");
            assert_eq!(bad.without_augmentation(), good);
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let good = FineTuneProtocol::default();
        good.check().unwrap();
        let mixing = |mixup| Mixing { mixup, ..Mixing::NONE };
        for bad in [
            FineTuneProtocol { epochs: 0, ..good.clone() },
            FineTuneProtocol { warmup_epochs: 50, ..good.clone() },
            FineTuneProtocol { base_lr: f64::NAN, ..good.clone() },
            FineTuneProtocol { layer_decay: 0.0, ..good.clone() },
            FineTuneProtocol { label_smoothing: 1.0, ..good.clone() },
            FineTuneProtocol { drop_path: 1.0, ..good.clone() },
            FineTuneProtocol { average: Some(1.0), ..good.clone() },
            FineTuneProtocol { weight_decay: -1.0, ..good.clone() },
            FineTuneProtocol { mixing: mixing(f64::INFINITY), ..good.clone() },
            FineTuneProtocol { random_erasing: 1.5, ..good.clone() },
            FineTuneProtocol { rand_augment: Some(11.0), ..good.clone() },
        ] {
            assert!(matches!(bad.check(), Err(ProbeError::Setting { .. })), "{bad:?}");
        }
    }
}
