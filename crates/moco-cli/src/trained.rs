//! A trained encoder and labeled images, as `knn`, `linear` and `finetune` measure it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use moco::evaluation::{Evaluation, EvaluationError, EvaluationOptions};
use moco::{LoadError, Which};
use plugin_api::{Embedding, Split};

use crate::choice::Layer;
use crate::compute;
use crate::failure::Failure;
use crate::progress::ImageLine;

/// Which encoder, what is looked at, and how the machine is used.
#[derive(clap::Args)]
pub(crate) struct EncoderArguments {
    /// The run's folder, or one checkpoint in it.
    run: PathBuf,
    /// Which layer gives the features.
    #[arg(long, value_enum, default_value_t = Layer::Backbone)]
    level: Layer,
    /// The view through which images are seen.
    #[arg(long, default_value = "eval")]
    pub(crate) view: String,
    /// The share of the training labels that is used, above 0 and up to 1: of each class, at least one image. Papers
    /// measure 0.01 and 0.1.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub(crate) labels: f64,
    /// What all draws follow from, such as which labels are used: the same for all runs that are compared.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The checkpoint with the best metric, and not the newest.
    #[arg(long)]
    best: bool,
    /// Threads that decode [default: one a core].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Threads that compute [default: one a core].
    #[arg(long, value_name = "N")]
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
    pub(crate) fn open(&self) -> anyhow::Result<Evaluation> {
        compute::start(self.threads)?;
        let options = EvaluationOptions {
            checkpoint: if self.best { Which::Best } else { Which::Latest },
            level: self.level.level(),
            view: self.view.clone(),
            labels: self.labels,
            seed: self.seed,
            workers: self.workers.map(usize::from),
        };
        Evaluation::open(&self.run, &options).map_err(in_words_of_the_command_line)
    }

    /// How messages call the features.
    pub(crate) fn level_name(&self) -> &'static str {
        self.level.name()
    }
}

/// Features of a split, with a line that counts images.
///
/// # Errors
/// If images cannot be loaded.
pub(crate) fn embed(evaluation: &mut Evaluation, split: Split) -> anyhow::Result<Embedding> {
    let (what, n) = match split {
        Split::Train => ("embedding training images:", evaluation.train_images().len()),
        Split::Test => ("embedding test images:", evaluation.test_images().len()),
    };
    let mut line = ImageLine::start(what, n);
    evaluation.features(split, &mut |n_done| line.show(n_done)).map_err(in_words_of_the_command_line)
}

/// The error with what the command line can do about it.
pub(crate) fn in_words_of_the_command_line(error: EvaluationError) -> anyhow::Error {
    let option = match &error {
        EvaluationError::Load(LoadError::NoView { known, .. }) => Some(("--view", known)),
        EvaluationError::NoTrainView { known, .. } => Some(("--train-view", known)),
        _ => None,
    };
    if let Some((option, known)) = option {
        let hint = format!("choose one with `{option}`: {}", known.join(", "));
        return Failure::new(error.to_string(), hint).into();
    }
    match error {
        EvaluationError::NotSquare { .. } => {
            Failure::new(error.to_string(), "name a random view of the pipeline with `--train-view`").into()
        }
        EvaluationError::HeadFineTuned => Failure::usage(error.to_string(), "leave out `--level`").into(),
        // These have hints, and a drawing of the source line, of their own.
        EvaluationError::Load(LoadError::Run(error)) => error.into(),
        EvaluationError::Load(LoadError::Pipeline(error)) => error.into(),
        EvaluationError::Load(error) => error.into(),
        error => match error.hint() {
            Some(hint) => Failure::new(error.to_string(), hint).into(),
            None => error.into(),
        },
    }
}
