//! `moco finetune`: evaluates an encoder by fine-tuning it.

mod settings;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use evaluate::linear::ClassifierScore;
use moco::KeptClassifier;
use moco::evaluation::finetune::{FineTuneProtocol, FineTuneRecipe, FineTuneStage, FineTuned};
use moco::evaluation::{Evaluation, EvaluationError, confusion_png, confusion_svg};
use serde_json::json;

use self::settings::SettingsArguments;
use crate::by_class::per_cent;
use crate::failure::Failure;
use crate::going_on::PlaceArguments;
use crate::progress::ImageLine;
use crate::run::format_seconds;
use crate::trained::{EncoderArguments, with_hint};
use crate::{by_class, compute, json, text};

/// Evaluate an encoder by fine-tuning it with labels.
///
/// Puts a linear classifier on the backbone, trains both, and reports accuracy on the test images. Uses AdamW (without
/// weight decay for biases, norms, positions and tokens), warm-up and cosine decay, label smoothing, random resized crops
/// and flips, and what the recipe adds to them. Layers that were frozen in pre-training are trained too.
///
/// `--recipe plain` is near the fine-tuning of DeiT and BEiT without their stronger augmentation; no paper reports results
/// with it. `--recipe v3-vit` is what MoCo v3 fine-tunes ViTs with.
///
/// Checkpoints of the run are not changed. The result is written to `RUN/evaluations`, and so is the fine-tuned encoder with
/// its classifier, which `moco predict` and `moco export` take. No file is overwritten.
///
/// Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2 stops after the current step, with a checkpoint in the folder of the evaluation; one
/// is saved after each epoch, too. `--resume` goes on from there, with the bits of a training that was never stopped.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: EncoderArguments,
    #[command(flatten)]
    settings: SettingsArguments,
    /// View of the pipeline to train on [default: a random resized crop of at least 8 %, a flip, what the recipe adds,
    /// and the normalization of `--view`]. It is used as it is: the crops, flips, RandAugment and random erasing of the recipe
    /// are switched off.
    #[arg(long, value_name = "VIEW", conflicts_with_all = ["rand_augment", "random_erasing"])]
    train_view: Option<String>,
    #[command(flatten)]
    place: PlaceArguments,
    /// Print one JSON object.
    ///
    /// Print one JSON object: what `result.json` has, and `folder`, where that is: `top1`, `top5`, `test_loss`, `train_loss` of each
    /// epoch, `per_class`, `confusion`, `seconds`, and the protocol: `checkpoint`, `view`, `train_view`, `train_images`,
    /// `test_images`, `dataset`, `labels`, `seed`, `recipe`, `departures`, `settings` and so on.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco finetune runs/mocov2-001
  moco finetune runs/mocov2-001 --labels 0.1         with 10 % of the labels
  moco finetune runs/mocov3-001 --recipe v3-vit      as MoCo v3 does, for 150 epochs
  moco finetune runs/mocov3-001 --recipe v3-vit --epochs 50 --ema 0.999
  moco finetune runs/mocov2-001 --resume runs/mocov2-001/evaluations/finetune-001
  moco finetune runs/mocov2-001 --layer-decay 1 --label-smoothing 0 --epochs 20";

/// What fine-tuning writes beside what is there, about: the encoder with two averages of its gradients, twice while one takes the
/// place of the one before, and the classifier.
fn bytes_of(evaluation: &Evaluation, protocol: &FineTuneProtocol, goes_on: bool) -> u64 {
    let n_copies = if protocol.average.is_some() { 4 } else { 3 };
    let n_new = if goes_on { n_copies } else { 2 * n_copies };
    evaluation.encoder_bytes() * (n_new + 1)
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let evaluation = arguments.encoder.open()?;
    if arguments.encoder.level_name() != "backbone" {
        return Err(with_hint(EvaluationError::HeadFineTuned));
    }
    let recipe = arguments.settings.recipe();
    let protocol = arguments.settings.protocol(&recipe, arguments.train_view.is_some());
    let train_view =
        evaluation.fine_tuning_view(arguments.train_view.as_deref(), &protocol).map_err(with_hint)?;
    let n_bytes = bytes_of(&evaluation, &protocol, arguments.place.resume.is_some());
    arguments.place.check_room(&evaluation.run().folder, n_bytes)?;
    let mut folder = arguments.place.open(&evaluation.run().folder, "finetune")?;
    let departures = arguments.departures(&recipe, &protocol, train_view.channels);
    for departure in &departures {
        let _ = writeln!(io::stderr(), "warning: differs from the recipe of {}: {departure}", recipe.name);
    }
    folder.stop_on_signals()?;
    let started = Instant::now();
    let size_note = evaluation.size_note();
    let checkpoint = evaluation.run().checkpoint.display().to_string();
    let dataset = evaluation.dataset().to_owned();
    let classes = evaluation.train_images().class_names().to_vec();
    let (n_train, n_test) = (evaluation.train_images().len(), evaluation.test_images().len());
    let unreadable = evaluation.unreadable_log();
    let seed = arguments.encoder.seed;
    let mut line = ImageLine::start("training:", protocol.epochs * n_train);
    let mut stage = FineTuneStage::Training;
    let mut watch = |of: FineTuneStage, n_images: usize| {
        if of != stage {
            stage = of;
            line = ImageLine::start("testing:", n_test);
        }
        line.show(n_images);
    };
    let tuned = folder
        .run(|course| evaluation.fine_tune_until(&train_view, &protocol, course, &mut watch))
        .map_err(with_hint)?;
    drop(line);
    let Some(FineTuned { losses, score, kept, .. }) = tuned else { return folder.say_stopped(out) };
    let seconds = started.elapsed().as_secs_f64();
    let mut result = json!({
        "protocol": "fine-tuning",
        "checkpoint": checkpoint,
        "view": arguments.encoder.view,
        "size_note": size_note,
        "train_view": arguments.described_view(&protocol, train_view.channels),
        "train_images": n_train,
        "test_images": score.n(),
        "dataset": dataset,
        "unreadable_images": unreadable.len(),
        "labels": arguments.encoder.labels,
        "seed": seed,
        "recipe": recipe.name,
        "departures": departures,
        "optimizer": "AdamW, no weight decay for biases, norms, positions and tokens",
        "settings": settings::json(&protocol),
        "train_loss": losses,
        "top1": score.top1(),
        "top5": score.top5(),
        "test_loss": score.loss(),
        "per_class": by_class::json(&score, &classes),
        "confusion": score.confusion.chunks_exact(score.n_classes).collect::<Vec<_>>(),
        "device": compute::describe(),
        "seconds": seconds,
    });
    let path = folder.finish(&[
        ("result.json", json::file(&result)?),
        ("confusion.png", confusion_png(&score, &classes)?),
        ("confusion.svg", confusion_svg(&score, &classes)),
        (KeptClassifier::FILE, kept.to_bytes()),
    ])?;
    if arguments.json {
        result["folder"] = path.display().to_string().into();
        json::print(out, &result)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{checkpoint}")?;
    if let Some(note) = &size_note {
        writeln!(out, "{note}")?;
    }
    if let Some(line) = arguments.encoder.data_line(&dataset) {
        writeln!(out, "{line}")?;
    }
    print(arguments, (&recipe, &protocol), n_train, &score, out)?;
    by_class::print(out, &score, &classes)?;
    if !unreadable.is_empty() {
        writeln!(out, "{} skipped or replaced", text::count(unreadable.len(), "unreadable image"))?;
    }
    writeln!(
        out,
        "took {}; written to {}: result.json, confusion.png, confusion.svg, {}",
        format_seconds(seconds),
        path.display(),
        KeptClassifier::FILE
    )?;
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    /// How this differs from `recipe`, in words.
    fn departures(
        &self,
        recipe: &FineTuneRecipe,
        protocol: &FineTuneProtocol,
        channels: usize,
    ) -> Vec<String> {
        let mut departures = recipe.departures(protocol);
        departures.extend(recipe.always_otherwise.iter().map(|&what| what.to_owned()));
        match &self.train_view {
            Some(view) => {
                departures.push(format!(
                    "trained on the view `{view}` as it is, without the recipe's crops and flips"
                ));
            }
            None if protocol.rand_augment.is_some() && channels != 3 => {
                departures.push(format!("no RandAugment, which is for colors, on {channels} channels"));
            }
            None => {}
        }
        departures
    }

    /// The view that is trained on, by its name in the pipeline or else in words.
    fn described_view(&self, protocol: &FineTuneProtocol, channels: usize) -> String {
        if let Some(view) = &self.train_view {
            return view.clone();
        }
        let filter = if protocol.bicubic_crops { "bicubic" } else { "bilinear" };
        let mut view = format!("random resized crops of at least 8 % ({filter}), flips");
        if let Some(magnitude) = protocol.rand_augment.filter(|_| channels == 3) {
            view += &format!(", RandAugment {magnitude}");
        }
        view += &format!(", normalized as `{}`", self.encoder.view);
        if protocol.random_erasing > 0.0 {
            view += &format!(", random erasing {}", protocol.random_erasing);
        }
        view
    }
}

fn print(
    arguments: &Arguments,
    (recipe, protocol): (&FineTuneRecipe, &FineTuneProtocol),
    n_train: usize,
    score: &ClassifierScore,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let trained_on = arguments.train_view.as_ref().map(|view| format!("training view `{view}`, "));
    writeln!(
        out,
        "fine-tuned: all layers, {}test view `{}`; recipe: {}; {}, AdamW with weight decay {}; {} against {}",
        trained_on.unwrap_or_default(),
        arguments.encoder.view,
        recipe.name,
        protocol.describe(),
        protocol.weight_decay,
        text::count(score.n() as usize, "test image"),
        text::count(n_train, "training image"),
    )?;
    if arguments.encoder.labels < 1.0 {
        let EncoderArguments { labels, seed, .. } = &arguments.encoder;
        writeln!(out, "{} % of the labels of each class, drawn from seed {seed}", 100.0 * labels)?;
    }
    let top5 = score.top5().map(|share| format!(", top-5 {}", per_cent(share))).unwrap_or_default();
    writeln!(out, "top-1 {}{top5}", per_cent(score.top1()))
}
