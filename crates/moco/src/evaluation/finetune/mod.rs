//! Fine-tuning: a linear classifier and the whole encoder under it, trained on labels.
//!
//! Start at [`Evaluation::fine_tune`]; [`FineTuneProtocol`] has the settings. Fine-tuning works on a copy of the
//! encoder, so no checkpoint changes.

mod classifier;
mod protocol;
mod train;

use evaluate::linear::ClassifierScore;
use pipeline::View;
use plugin_api::{Config, Level, Optimizer, OptimizerContext, build};

pub use self::classifier::FineTune;
pub use self::protocol::FineTuneProtocol;
use super::labeled_images::LabeledImages;
use super::{Evaluation, EvaluationError};
use crate::KeptClassifier;

/// AdamW's weight decay, as in DeiT and BEiT; none for biases and norms.
const OPTIMIZER: &str = "(weight_decay: 0.05)";

/// The phases of fine-tuning, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FineTuneStage {
    /// Training images, over all epochs.
    Training,
    /// Test images.
    Testing,
}

/// The result of fine-tuning.
pub struct FineTuned {
    /// The encoder with its classifier.
    pub model: FineTune,
    /// The mean loss of each epoch, in nats.
    pub losses: Vec<f64>,
    /// The accuracy on the test images.
    pub score: ClassifierScore,
    /// The model as it is kept in a file.
    pub kept: KeptClassifier,
}

impl Evaluation {
    /// Puts a linear classifier on a copy of the backbone, trains both with AdamW on the random view `view` of the
    /// training images, and evaluates on the test images. `watch` gets the number of images processed so far.
    ///
    /// # Errors
    /// If the evaluation uses features of a head, if images cannot be loaded, or if a setting is invalid.
    pub fn fine_tune(
        self,
        view: &View,
        protocol: &FineTuneProtocol,
        watch: &mut dyn FnMut(FineTuneStage, usize),
    ) -> Result<FineTuned, EvaluationError> {
        if self.options.level != Level::Backbone {
            return Err(EvaluationError::HeadFineTuned);
        }
        let optimizer = build::<dyn Optimizer>("adamw", Config::new(OPTIMIZER), &OptimizerContext)
            .map_err(|source| EvaluationError::Config { what: "optimizer", source })?;
        let seed = self.options.seed;
        let n_classes = self.train_images().class_names().len();
        let test = self.test_images().clone();
        let device = self.encoder.device().clone();
        let facts = self.facts(protocol.describe());
        let (backbone, precision) = self.encoder.into_backbone();
        let name = backbone.name;
        let mut model = FineTune::new(
            backbone.module,
            precision,
            &device,
            n_classes,
            optimizer,
            protocol.layer_decay,
            seed,
        )?;
        let mut on = LabeledImages {
            images: &self.splits.train,
            view,
            seed,
            n_workers: self.n_workers,
            unreadable: &self.unreadable,
        };
        let mut training = |n_images| watch(FineTuneStage::Training, n_images);
        let losses = train::fine_tune(&mut model, &device, &on, protocol, &mut training)?;
        on.images = &test;
        on.view = &self.view;
        let mut testing = |n_images| watch(FineTuneStage::Testing, n_images);
        let score = train::score(&mut model, &device, &on, protocol.batch, &mut testing)?;
        let kept = KeptClassifier { tensors: model.tensors(&name), facts };
        Ok(FineTuned { model, losses, score, kept })
    }
}
