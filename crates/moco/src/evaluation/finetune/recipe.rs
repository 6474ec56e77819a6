//! Published settings of fine-tuning.

use super::mixing::Mixing;
use super::protocol::{CosineFrom, FineTuneProtocol};

/// Published settings, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuneRecipe {
    /// What it is called.
    pub name: &'static str,
    /// Its settings.
    pub protocol: FineTuneProtocol,
    /// What of it is done otherwise here in any case, in words.
    pub always_otherwise: &'static [&'static str],
}

impl FineTuneRecipe {
    /// The settings of [`FineTuneProtocol`]'s default, which no paper reports results with.
    pub fn plain() -> Self {
        Self { name: "plain", protocol: FineTuneProtocol::default(), always_otherwise: &[] }
    }

    /// MoCo v3's fine-tuning of ViTs (Chen et al. 2021, arXiv:2104.02057, appendix): the training of DeiT (Touvron et al. 2021,
    /// arXiv:2012.12877, table 9, and the defaults of its `main.py`) for 150 epochs, with a batch of 1024.
    ///
    /// DeiT keeps a moving average of the weights too, with a decay of 0.99996, and reports the accuracy of the weights
    /// themselves; so there is none here.
    pub fn moco_v3_vit() -> Self {
        let protocol = FineTuneProtocol {
            base_lr: 2.5e-4, // 5e-4 for 512 images.
            warmup_lr: 1e-6,
            end_lr: 1e-5,
            cosine_from: CosineFrom::Start,
            weight_decay: 0.05,
            layer_decay: 1.0,
            label_smoothing: 0.1,
            batch: 1024,
            epochs: 150,
            warmup_epochs: 5,
            mixing: Mixing { mixup: 0.8, cutmix: 1.0, cutmix_share: 0.5 },
            rand_augment: Some(9.0),
            random_erasing: 0.25,
            bicubic_crops: true,
            drop_path: 0.1,
            average: None,
        };
        let always_otherwise = &[
            "each image once an epoch instead of three times in every third epoch (repeated augmentation)",
            "a learning rate that moves with each step instead of each epoch",
        ];
        Self { name: "MoCo v3, ViT (DeiT's training)", protocol, always_otherwise }
    }

    /// How `protocol` differs from it, in words, beside what is [`always_otherwise`](Self::always_otherwise).
    pub fn departures(&self, protocol: &FineTuneProtocol) -> Vec<String> {
        let mut found = Vec::new();
        let published = &self.protocol;
        let mut differs = |what: &str, own: String, published: String| {
            if own != published {
                found.push(format!("{what} {own} instead of {published}"));
            }
        };
        let optional = |value: Option<f64>| value.map_or("none".to_owned(), |value| value.to_string());
        let counts = [
            ("batch size", protocol.batch, published.batch),
            ("epochs", protocol.epochs, published.epochs),
            ("warm-up epochs", protocol.warmup_epochs, published.warmup_epochs),
        ];
        for (what, own, published) in counts {
            differs(what, own.to_string(), published.to_string());
        }
        let numbers = [
            ("base learning rate", protocol.base_lr, published.base_lr),
            ("weight decay", protocol.weight_decay, published.weight_decay),
            ("layer decay", protocol.layer_decay, published.layer_decay),
            ("label smoothing", protocol.label_smoothing, published.label_smoothing),
            ("mixup's alpha", protocol.mixing.mixup, published.mixing.mixup),
            ("CutMix's alpha", protocol.mixing.cutmix, published.mixing.cutmix),
            ("random erasing", protocol.random_erasing, published.random_erasing),
            ("drop path", protocol.drop_path, published.drop_path),
        ];
        for (what, own, published) in numbers {
            differs(what, own.to_string(), published.to_string());
        }
        differs("RandAugment", optional(protocol.rand_augment), optional(published.rand_augment));
        differs("average of weights", optional(protocol.average), optional(published.average));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_can_be_run_and_depart_from_themselves_in_nothing() {
        for recipe in [FineTuneRecipe::plain(), FineTuneRecipe::moco_v3_vit()] {
            recipe.protocol.check().unwrap();
            assert_eq!(recipe.departures(&recipe.protocol), [""; 0]);
        }
        // DeiT's 5e-4 for 512 images is 1e-3 for its batch of 1024.
        let recipe = FineTuneRecipe::moco_v3_vit();
        let with_warmup_only = FineTuneProtocol { cosine_from: CosineFrom::WarmUpEnd, ..recipe.protocol };
        assert!((with_warmup_only.lr(5.0) - 1e-3).abs() < 1e-15);
    }

    #[test]
    fn departures_are_told_one_by_one() {
        let recipe = FineTuneRecipe::moco_v3_vit();
        let protocol = FineTuneProtocol {
            batch: 64,
            drop_path: 0.0,
            rand_augment: None,
            average: Some(0.9999),
            ..recipe.protocol.clone()
        };
        let expected = [
            "batch size 64 instead of 1024",
            "drop path 0 instead of 0.1",
            "RandAugment none instead of 9",
            "average of weights 0.9999 instead of none",
        ];
        assert_eq!(recipe.departures(&protocol), expected);
    }
}
