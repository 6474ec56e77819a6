//! `moco linear`: evaluates an encoder with a linear probe.

mod published;
mod report;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use evaluate::linear::{ProbeError, ProbeProtocol, PublishedProbe, TrainedProbe, train_cached};
use moco::KeptClassifier;
use moco::evaluation::Evaluation;
use pipeline::View;
use plugin_api::{Embedding, Split};

use self::published::RecipeName;
use self::report::Report;
use crate::choice::positive;
use crate::encoding::stopped;
use crate::failure::Failure;
use crate::going_on::{PlaceArguments, UnderWay};
use crate::interrupt::stop_without_a_result;
use crate::json;
use crate::progress::ImageLine;
use crate::trained::{EncoderArguments, embed, with_hint};

/// Evaluate an encoder with a linear probe.
///
/// Trains a linear classifier on the features of the frozen encoder (in eval mode), on random resized crops and flips
/// of the labeled training images, with the schedule from the paper of the run's pipeline. Then reports accuracy on the
/// test images, and verifies that the encoder is still bit-for-bit equal to the checkpoint.
///
/// `--cached` computes the features once, without augmentation, and trains with many learning rates at once. It takes
/// seconds instead of hours, but its accuracy is not the one that papers report.
///
/// The result, with accuracy per class and a confusion matrix, is written to `RUN/evaluations`, and so is the best
/// classifier with its encoder, which `moco predict` and `moco export` take. No file is overwritten.
///
/// Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2 stops after the current step, with a checkpoint in the folder of the evaluation; one
/// is saved after each epoch, too. `--resume` goes on from there, with the bits of a probe that was never stopped. With
/// `--cached`, which is short, Ctrl-C writes nothing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: EncoderArguments,
    /// Compute the features once, without augmentation, and try many learning rates.
    #[arg(long)]
    cached: bool,
    /// Published settings to use [default: those of the paper that the pipeline follows].
    #[arg(long, value_enum)]
    recipe: Option<RecipeName>,
    /// Base learning rate; the learning rate is this x batch size / 256. Several values train one classifier each on
    /// the same features [default: the recipe's; with `--cached` also 0.03, 0.1, ... 30].
    #[arg(long, value_name = "RATE", value_delimiter = ',', value_parser = positive)]
    lr: Vec<f64>,
    /// Batch size [default: the recipe's].
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Epochs to train [default: the recipe's].
    #[arg(long, value_name = "N")]
    epochs: Option<NonZeroUsize>,
    /// View of the pipeline to train on [default: a random resized crop of at least 8 %, a flip, and the normalization
    /// of `--view`].
    #[arg(long, value_name = "VIEW", conflicts_with = "cached")]
    train_view: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print one JSON object.
    ///
    /// Print one JSON object: what `result.json` has, and `folder`, where that is. `classifiers` has one for each learning rate, with
    /// `base_lr`, `lr`, `diverged`, `top1`, `top5`, `test_loss` and `train_loss`; `best` has the number of the `classifier`,
    /// `per_class` and `confusion`; the rest is the protocol: `checkpoint`, `features`, `n_features`, `view`, `train_images`,
    /// `test_images`, `dataset`, `labels`, `seed`, `recipe`, `departures`, `batch`, `epochs` and so on.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco linear runs/mocov2-001 --cached         a first estimate, in seconds
  moco linear runs/mocov2-001                  the paper's protocol
  moco linear runs/mocov2-001 --cached --labels 0.01    with 1 % of the labels
  moco linear runs/mocov2-001 --epochs 20 --lr 3,30
  moco linear runs/mocov2-001 --resume runs/mocov2-001/evaluations/linear-001
  moco linear runs/mocov2-001 --best --cached --level head";

/// The base learning rates that `--cached` tries in addition to the recipe's.
const CACHED_RATES: [f64; 7] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut evaluation = arguments.encoder.open()?;
    let recipe = match arguments.recipe {
        Some(name) => name.recipe(),
        None => published::of_pipeline(evaluation.plugins()),
    };
    let protocol = arguments.protocol(&recipe);
    let view = match arguments.cached {
        true => None,
        false => Some(evaluation.training_view(arguments.train_view.as_deref()).map_err(with_hint)?),
    };
    let run = &evaluation.run().folder;
    // The classifier is kept with its encoder, and where it is trained on random views, so is each state on its way.
    arguments.place.check_room(run, 2 * evaluation.encoder_bytes())?;
    let mut folder = match arguments.cached {
        true if arguments.place.resume.is_some() => {
            return Err(Failure::usage(
                "`--cached` cannot be resumed: it saves nothing on its way",
                "omit `--resume`",
            ));
        }
        true => arguments.place.folder(run, "linear-cached")?,
        false => arguments.place.open(run, "linear")?,
    };
    let mut departures = protocol.departures(&recipe);
    departures.extend(arguments.train_view.iter().map(|view| format!("trained on the view `{view}`")));
    departures.extend(evaluation.size_note());
    for departure in &departures {
        let _ = writeln!(io::stderr(), "warning: differs from the recipe of {}: {departure}", recipe.name);
    }
    match arguments.cached {
        true => stop_without_a_result()?,
        false => folder.stop_on_signals()?,
    }
    let started = Instant::now();
    // The small split first: problems with the dataset show up sooner.
    let Some(test) = embed(&mut evaluation, Split::Test, folder.stop())? else { return stopped(out) };
    let train = match view.is_none() {
        true => match embed(&mut evaluation, Split::Train, folder.stop())? {
            None => return stopped(out),
            train => train,
        },
        false => None,
    };
    let seconds_embedding = started.elapsed().as_secs_f64();
    let training = match (&train, &view) {
        (Some(train), _) => Some(arguments.train_cached(train, &protocol)?),
        (None, Some(view)) => arguments.train_augmented(&mut evaluation, view, &protocol, &mut folder)?,
        (None, None) => unreachable!("features are cached where there is no random view"),
    };
    let Some(training) = training else { return folder.say_stopped(out) };
    let seconds_training = started.elapsed().as_secs_f64() - seconds_embedding;
    let scores = training.probe.score(&test).map_err(refused)?;
    let report = Report {
        arguments,
        recipe: &recipe,
        protocol: &protocol,
        departures: &departures,
        n_train: train.as_ref().map_or(evaluation.train_images().len(), |train| train.n),
        n_test: test.n,
        n_features: test.d,
        classes: evaluation.train_images().class_names().to_vec(),
        n_tensors_unchanged: evaluation.check_unchanged().map_err(with_hint)?,
        training: &training,
        scores: &scores,
        seconds_embedding,
        seconds_training,
        checkpoint: evaluation.run().checkpoint.display().to_string(),
        dataset: evaluation.dataset().to_owned(),
        n_unreadable: evaluation.unreadable().len(),
    };
    let best = report.best();
    let [png, svg] = report.pictures()?;
    let mut result = report.json();
    let mut files =
        vec![("result.json", json::file(&result)?), ("confusion.png", png), ("confusion.svg", svg)];
    // One that has diverged can classify nothing.
    if scores[best].is_finite {
        let kept = evaluation.keep_probe(&training.probe, best, report.describe(best));
        files.push((KeptClassifier::FILE, kept.to_bytes()));
    }
    let path = folder.finish(&files)?;
    if arguments.json {
        result["folder"] = path.display().to_string().into();
        json::print(out, &result)?;
        return Ok(ExitCode::SUCCESS);
    }
    report.print(out)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    writeln!(out, "written to {}: {}", path.display(), names.join(", "))?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn protocol(&self, recipe: &PublishedProbe) -> ProbeProtocol {
        let mut base_lrs = self.lr.clone();
        if base_lrs.is_empty() {
            base_lrs.push(recipe.base_lr);
            if self.cached {
                base_lrs.extend(CACHED_RATES);
            }
        }
        base_lrs.sort_by(f64::total_cmp);
        base_lrs.dedup();
        ProbeProtocol {
            base_lrs,
            batch: self.batch.map_or(recipe.batch, NonZeroUsize::get),
            epochs: self.epochs.map_or(recipe.epochs, NonZeroUsize::get),
            decay: recipe.decay,
        }
    }

    fn train_cached(&self, train: &Embedding, protocol: &ProbeProtocol) -> Result<TrainedProbe, Failure> {
        let mut line = ImageLine::start("training:", protocol.epochs * train.n);
        train_cached(train, protocol, self.encoder.seed, &mut |epochs| line.show(epochs * train.n))
            .map_err(refused)
    }

    fn train_augmented(
        &self,
        evaluation: &mut Evaluation,
        view: &View,
        protocol: &ProbeProtocol,
        folder: &mut UnderWay,
    ) -> Result<Option<TrainedProbe>, Failure> {
        let mut line = ImageLine::start("training:", protocol.epochs * evaluation.train_images().len());
        let mut watch = |n_done| line.show(n_done);
        folder.run(|course| evaluation.probe_until(view, protocol, course, &mut watch)).map_err(with_hint)
    }
}

fn refused(error: ProbeError) -> Failure {
    with_hint(error.into())
}
