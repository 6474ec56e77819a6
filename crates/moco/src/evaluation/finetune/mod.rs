//! Fine-tuning: a linear classifier and the whole encoder under it, trained on labels.
//!
//! Start at [`Evaluation::fine_tune`]; [`FineTuneProtocol`] has the settings. Fine-tuning works on a copy of the
//! encoder, so no checkpoint changes.

mod average;
mod classifier;
mod mixing;
mod protocol;
mod recipe;
mod targets;
mod train;

use std::sync::atomic::AtomicBool;

use evaluate::linear::{ClassifierScore, ProbeError};
use pipeline::View;
use plugin_api::{Config, Level, Optimizer, OptimizerContext, build};

pub use self::classifier::FineTune;
pub use self::mixing::Mixing;
pub use self::protocol::{CosineFrom, FineTuneProtocol};
pub use self::recipe::FineTuneRecipe;
pub use self::targets::Targets;
use super::course::Course;
use super::labeled_images::LabeledImages;
use super::training_view::{self, Strengthened};
use super::{Evaluation, EvaluationError};
use crate::KeptClassifier;

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
    /// The encoder with its classifier, as it was evaluated: with the averaged weights, if an average was kept.
    pub model: FineTune,
    /// The mean loss of each epoch, in nats.
    pub losses: Vec<f64>,
    /// The accuracy on the test images.
    pub score: ClassifierScore,
    /// The model as it is kept in a file.
    pub kept: KeptClassifier,
}

impl Evaluation {
    /// The training view of `protocol`: the pipeline's view `asked`; or else random resized crops of at least 8 %, flips, what
    /// the protocol asks for beside them, and the normalization of the test view.
    ///
    /// # Errors
    /// If the pipeline has no such view, its size differs from the test view's, there are fewer than two classes, or a setting
    /// is invalid. A view of the pipeline is used as it is, so `protocol` must have no augmentation beside it: see
    /// [`without_augmentation`](FineTuneProtocol::without_augmentation).
    pub fn fine_tuning_view(
        &self,
        asked: Option<&str>,
        protocol: &FineTuneProtocol,
    ) -> Result<View, EvaluationError> {
        self.check_fine_tuning(protocol)?;
        if asked.is_some() {
            protocol.check_no_augmentation()?;
        }
        let more = Strengthened {
            bicubic_crops: protocol.bicubic_crops,
            rand_augment: protocol.rand_augment,
            random_erasing: protocol.random_erasing,
        };
        training_view::of(&self.views, &self.view, asked, &more)
    }

    fn check_fine_tuning(&self, protocol: &FineTuneProtocol) -> Result<(), ProbeError> {
        protocol.check()?;
        match self.train_images().class_names().len() {
            n_classes @ ..2 => Err(ProbeError::Classes(n_classes)),
            _ => Ok(()),
        }
    }

    /// Puts a linear classifier on a copy of the backbone, trains both with AdamW on the random view `view` of the
    /// training images, as [`fine_tuning_view`](Self::fine_tuning_view) gives it, and evaluates on the test images. `watch` gets the number of images processed so far.
    ///
    /// # Errors
    /// If the evaluation uses features of a head, if images cannot be loaded, or if a setting is invalid.
    pub fn fine_tune(
        self,
        view: &View,
        protocol: &FineTuneProtocol,
        watch: &mut dyn FnMut(FineTuneStage, usize),
    ) -> Result<FineTuned, EvaluationError> {
        let never = AtomicBool::new(false);
        let mut course = Course { from: None, stop: &never, save: &mut |_| Ok(()) };
        let tuned = self.fine_tune_until(view, protocol, &mut course, watch)?;
        Ok(tuned.expect("nothing stops it"))
    }

    /// As [`fine_tune`](Self::fine_tune), which can be stopped and gone on with; `None` if it was stopped. The result has the
    /// same bits, however often that happened.
    ///
    /// # Errors
    /// As [`fine_tune`](Self::fine_tune); and if what `course` goes on from does not fit, or cannot be saved.
    pub fn fine_tune_until(
        self,
        view: &View,
        protocol: &FineTuneProtocol,
        course: &mut Course<'_>,
        watch: &mut dyn FnMut(FineTuneStage, usize),
    ) -> Result<Option<FineTuned>, EvaluationError> {
        if self.options.level != Level::Backbone {
            return Err(EvaluationError::HeadFineTuned);
        }
        self.check_fine_tuning(protocol)?;
        let optimizer = format!("(weight_decay: {:?})", protocol.weight_decay);
        let optimizer = build::<dyn Optimizer>("adamw", Config::new(&optimizer), &OptimizerContext)
            .map_err(|source| EvaluationError::Config { what: "optimizer", source })?;
        let seed = self.options.seed;
        let n_classes = self.train_images().class_names().len();
        let test = self.test_images().clone();
        let device = self.encoder.device().clone();
        let is_own_view = self.views.iter().any(|own| own.name == view.name);
        let trained_on =
            if is_own_view { format!(", on the view `{}` as it is", view.name) } else { String::new() };
        let facts = self.facts(protocol.describe() + &trained_on);
        let mut settings = self.training_settings("fine-tuning", protocol.describe(), view);
        settings.insert("the whole of its settings".into(), format!("{protocol:?}"));
        let (mut backbone, precision) = self.encoder.into_backbone();
        let name = backbone.name;
        backbone.module.set_drop_path(protocol.drop_path).map_err(EvaluationError::DropPath)?;
        let mut model = FineTune::new(
            backbone.module,
            precision,
            &device,
            n_classes,
            optimizer,
            protocol.layer_decay,
            seed,
        )?;
        if let Some(decay) = protocol.average {
            model.start_average(decay);
        }
        let mut on = LabeledImages {
            images: &self.splits.train,
            view,
            seed,
            n_workers: self.n_workers,
            unreadable: &self.unreadable,
        };
        let mut training = |n_images| watch(FineTuneStage::Training, n_images);
        let trained = train::fine_tune(&mut model, &device, &on, protocol, course, settings, &mut training)?;
        let Some(losses) = trained else { return Ok(None) };
        model.take_average()?;
        on.images = &test;
        on.view = &self.view;
        let mut testing = |n_images| watch(FineTuneStage::Testing, n_images);
        let is_stopped: &dyn Fn() -> bool = &|| course.is_stopped();
        let score = train::score(&mut model, &device, &on, protocol.batch, (is_stopped, &mut testing))?;
        let Some(score) = score else { return Ok(None) };
        let kept = KeptClassifier { tensors: model.tensors(&name), facts };
        Ok(Some(FineTuned { model, losses, score, kept }))
    }
}
