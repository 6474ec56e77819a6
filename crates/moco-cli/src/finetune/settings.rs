//! The settings of fine-tuning on the command line.

use std::num::NonZeroUsize;

use moco::evaluation::finetune::{FineTuneProtocol, FineTuneRecipe, Mixing};
use serde_json::{Value, json};

use crate::choice::positive;

/// Published settings, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum RecipeName {
    /// Crops, flips, label smoothing and layer decay: base learning rate 0.001, batch size 128, 50 epochs.
    #[default]
    Plain,
    /// MoCo v3 with a ViT, which is DeiT's training for 150 epochs: base learning rate 0.00025, batch size 1024, mixup,
    /// CutMix, RandAugment, random erasing and drop path.
    V3Vit,
}

/// The recipe, and what differs from it.
#[derive(clap::Args)]
pub(super) struct SettingsArguments {
    /// Settings to use.
    #[arg(long, value_enum, default_value_t)]
    recipe: RecipeName,
    /// Base learning rate of the classifier; the learning rate is this x batch size / 256 [default: the recipe's].
    #[arg(long, value_name = "RATE", value_parser = positive)]
    lr: Option<f64>,
    /// Weight decay of AdamW [default: the recipe's].
    #[arg(long, value_name = "RATE")]
    weight_decay: Option<f64>,
    /// Learning rate of each layer relative to the layer above it, above 0 and up to 1; 1 turns the decay off [default:
    /// the recipe's].
    #[arg(long, value_name = "RATIO")]
    layer_decay: Option<f64>,
    /// Label smoothing: the share of a label that is spread over all classes, from 0 to below 1 [default: the recipe's].
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f64>,
    /// Batch size [default: the recipe's].
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Epochs to train [default: the recipe's].
    #[arg(long, value_name = "N")]
    epochs: Option<NonZeroUsize>,
    /// Epochs of linear warm-up, fewer than `--epochs` [default: the recipe's, or half of `--epochs` if that is not fewer].
    #[arg(long, value_name = "N")]
    warmup_epochs: Option<usize>,
    /// Mixup of the images of a batch, by its alpha; 0 turns it off [default: the recipe's].
    #[arg(long, value_name = "ALPHA")]
    mixup: Option<f64>,
    /// CutMix of the images of a batch, by its alpha; 0 turns it off [default: the recipe's].
    #[arg(long, value_name = "ALPHA")]
    cutmix: Option<f64>,
    /// RandAugment of color images, by its magnitude, up to 10; 0 turns it off [default: the recipe's].
    #[arg(long, value_name = "MAGNITUDE")]
    rand_augment: Option<f64>,
    /// Probability of erasing a rectangle of an image [default: the recipe's].
    #[arg(long, value_name = "P")]
    random_erasing: Option<f64>,
    /// Rate of stochastic depth in a ViT's last block, from 0 to below 1 [default: the recipe's].
    #[arg(long, value_name = "RATE")]
    drop_path: Option<f64>,
    /// Evaluate a moving average of the weights, with this decay a step; 0 turns it off [default: the recipe's].
    #[arg(long, value_name = "DECAY")]
    ema: Option<f64>,
}

impl SettingsArguments {
    pub(super) fn recipe(&self) -> FineTuneRecipe {
        match self.recipe {
            RecipeName::Plain => FineTuneRecipe::plain(),
            RecipeName::V3Vit => FineTuneRecipe::moco_v3_vit(),
        }
    }

    /// The settings of `recipe`, where no option says otherwise. `on_own_view` is whether a view of the pipeline takes the
    /// place of the recipe's.
    pub(super) fn protocol(&self, recipe: &FineTuneRecipe, on_own_view: bool) -> FineTuneProtocol {
        let published = match on_own_view {
            true => recipe.protocol.clone().without_augmentation(),
            false => recipe.protocol.clone(),
        };
        let epochs = self.epochs.map_or(published.epochs, NonZeroUsize::get);
        // A recipe's warm-up is meant for many epochs: of a few it would be all, and the full rate never reached.
        let published_warmup =
            if published.warmup_epochs < epochs { published.warmup_epochs } else { epochs / 2 };
        // What is turned off by 0.
        let optional = |own: Option<f64>, published: Option<f64>| match own {
            Some(value) => Some(value).filter(|value| *value != 0.0),
            None => published,
        };
        FineTuneProtocol {
            base_lr: self.lr.unwrap_or(published.base_lr),
            weight_decay: self.weight_decay.unwrap_or(published.weight_decay),
            layer_decay: self.layer_decay.unwrap_or(published.layer_decay),
            label_smoothing: self.label_smoothing.unwrap_or(published.label_smoothing),
            batch: self.batch.map_or(published.batch, NonZeroUsize::get),
            epochs,
            warmup_epochs: self.warmup_epochs.unwrap_or(published_warmup),
            mixing: Mixing {
                mixup: self.mixup.unwrap_or(published.mixing.mixup),
                cutmix: self.cutmix.unwrap_or(published.mixing.cutmix),
                ..published.mixing
            },
            rand_augment: optional(self.rand_augment, published.rand_augment),
            random_erasing: self.random_erasing.unwrap_or(published.random_erasing),
            drop_path: self.drop_path.unwrap_or(published.drop_path),
            average: optional(self.ema, published.average),
            ..published
        }
    }
}

/// The settings for the file of results.
pub(super) fn json(protocol: &FineTuneProtocol) -> Value {
    json!({
        "base_lr": protocol.base_lr,
        "warmup_lr": protocol.warmup_lr,
        "end_lr": protocol.end_lr,
        "weight_decay": protocol.weight_decay,
        "layer_decay": protocol.layer_decay,
        "label_smoothing": protocol.label_smoothing,
        "batch": protocol.batch,
        "epochs": protocol.epochs,
        "warmup_epochs": protocol.warmup_epochs,
        "mixup": protocol.mixing.mixup,
        "cutmix": protocol.mixing.cutmix,
        "rand_augment": protocol.rand_augment,
        "random_erasing": protocol.random_erasing,
        "bicubic_crops": protocol.bicubic_crops,
        "drop_path": protocol.drop_path,
        "ema": protocol.average,
    })
}
