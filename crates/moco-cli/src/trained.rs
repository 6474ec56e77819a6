//! A trained encoder and labeled images, for `knn`, `linear` and `finetune`.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use evaluate::KnnError;
use moco::data::{DataError, DatasetSource};
use moco::evaluation::{Evaluation, EvaluationError, EvaluationOptions};
use moco::{LoadError, Which};
use plugin_api::{Embedding, Split};

use crate::choice::Layer;
use crate::failure::Failure;
use crate::moved::{self, MovedArguments};
use crate::progress::ImageLine;
use crate::{compute, cores, notes};

/// Options of the encoder, the images, and the resources to use.
#[derive(clap::Args)]
pub(crate) struct EncoderArguments {
    /// Run folder, or a checkpoint in it.
    run: PathBuf,
    /// Where in the encoder to take features.
    #[arg(long, value_enum, default_value_t = Layer::Backbone)]
    level: Layer,
    /// View of the pipeline that images are passed through.
    #[arg(long, default_value = "eval")]
    pub(crate) view: String,
    /// Share of the training labels to use, above 0 and up to 1, with at least one image per class. Papers report 0.01
    /// and 0.1.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub(crate) labels: f64,
    /// Random seed, for instance for the choice of labels. Use the same seed for all runs that you compare.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Use the best checkpoint, not the newest.
    #[arg(long)]
    best: bool,
    /// Labeled images to use in place of the run's dataset: a folder with class folders in `train` and `val` or `test`, a
    /// pack, a pipeline file (RON), which means its dataset, or a dataset plugin with its fields:
    /// `class-folders(root: "labeled")`, or as in a pipeline.
    #[arg(long, value_name = "SOURCE")]
    data: Option<String>,
    #[command(flatten)]
    moved: MovedArguments,
    /// Data loader workers [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    workers: Option<NonZeroUsize>,
    /// Compute threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = cores::count)]
    threads: Option<NonZeroUsize>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("it must be a number above 0 and up to 1".into()),
    }
}

impl EncoderArguments {
    /// Opens the run, its encoder and its dataset. No image is read yet.
    ///
    /// # Errors
    /// If one of them cannot be opened, the pipeline has no such view, or the dataset lacks labels or a test split.
    pub(crate) fn open(&self) -> Result<Evaluation, Failure> {
        compute::start(self.threads)?;
        let dataset = self.data.as_deref().map(DatasetSource::parse).transpose();
        let options = EvaluationOptions {
            dataset: dataset.map_err(|error| with_hint(error.into()))?,
            checkpoint: if self.best { Which::Best } else { Which::Latest },
            level: self.level.level(),
            view: self.view.clone(),
            labels: self.labels,
            seed: self.seed,
            moved: self.moved.moved(),
            workers: self.workers.map(usize::from),
        };
        let evaluation = Evaluation::open(&self.run, &options).map_err(|error| match error {
            // The run's images are not asked for, so it does not matter whether they have moved.
            EvaluationError::Dataset(error) if self.data.is_some() => error.into(),
            error => with_hint(error),
        })?;
        notes::print(evaluation.notes());
        Ok(evaluation)
    }

    /// What the protocol of a figure must say of its images: `images and labels of class folders of labeled`. `None` where
    /// they are the run's own.
    pub(crate) fn data_line(&self, dataset: &str) -> Option<String> {
        self.data.as_ref().map(|_| format!("images and labels of {dataset}"))
    }

    /// The name of the features in messages.
    pub(crate) fn level_name(&self) -> &'static str {
        self.level.name()
    }
}

/// Computes the features of a split, with a progress line; `None` if `stop` was set meanwhile.
///
/// # Errors
/// If images cannot be loaded.
pub(crate) fn embed(
    evaluation: &mut Evaluation,
    split: Split,
    stop: &AtomicBool,
) -> Result<Option<Embedding>, Failure> {
    let (what, n) = match split {
        Split::Train => ("embedding training images:", evaluation.train_images().len()),
        Split::Test => ("embedding test images:", evaluation.test_images().len()),
    };
    let mut line = ImageLine::start(what, n);
    let mut watch = |n_done| {
        line.show(n_done);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    match evaluation.features(split, &mut watch) {
        Err(EvaluationError::Stopped { .. }) => Ok(None),
        outcome => outcome.map(Some).map_err(with_hint),
    }
}

/// Adds the command line's own hint to an error.
pub(crate) fn with_hint(error: EvaluationError) -> Failure {
    let option = match &error {
        EvaluationError::Load(LoadError::NoView { known, .. }) => Some(("--view", known)),
        EvaluationError::NoTrainView { known, .. } => Some(("--train-view", known)),
        _ => None,
    };
    if let Some((option, known)) = option {
        let hint = format!("choose one with `{option}`: {}", known.join(", "));
        return Failure::new(error.to_string(), hint);
    }
    match error {
        EvaluationError::NoLabels { .. } | EvaluationError::Knn(KnnError::NoLabels) => Failure::new(
            error.to_string(),
            "use a dataset with labels, for instance `--data 'class-folders(root: \"FOLDER\")'`",
        ),
        EvaluationError::NoSplit { .. } => Failure::new(
            error.to_string(),
            "configure both splits, `moco plugins` shows the fields of the dataset; or name another one with `--data`",
        ),
        EvaluationError::Data(DataError::Pipeline(error)) => error.into(),
        EvaluationError::Data(error) => error.into(),
        EvaluationError::Dataset(error) => moved::with_way_out(&error),
        EvaluationError::DropPath(_) => Failure::new(error.to_string(), "turn it off with `--drop-path 0`"),
        EvaluationError::FineTuningDiverged { base_lr, .. } => {
            let hint = format!("lower the base learning rate, which is {base_lr:?}, with `--lr`");
            Failure::new(error.to_string(), hint)
        }
        EvaluationError::HeadFineTuned => Failure::usage(error.to_string(), "omit `--level`"),
        // These errors have their own hints, and show the source line.
        EvaluationError::Load(LoadError::Run(error)) => error.into(),
        EvaluationError::Load(LoadError::Pipeline(error)) => error.into(),
        EvaluationError::Load(error) => error.into(),
        error => match error.hint() {
            Some(hint) => Failure::new(error.to_string(), hint),
            None => error.into(),
        },
    }
}
