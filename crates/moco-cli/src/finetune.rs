//! `moco finetune`: evaluates an encoder by fine-tuning it.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use evaluate::linear::ClassifierScore;
use moco::KeptClassifier;
use moco::evaluation::finetune::{FineTuneProtocol, FineTuneStage, FineTuned};
use moco::evaluation::{EvaluationError, confusion_png};
use run_store::ResultFolder;
use serde_json::json;

use crate::by_class::per_cent;
use crate::failure::Failure;
use crate::interrupt::stop_without_a_result;
use crate::progress::ImageLine;
use crate::run::format_seconds;
use crate::trained::{EncoderArguments, with_hint};
use crate::{by_class, compute, text};

/// Evaluate an encoder by fine-tuning it with labels.
///
/// Puts a linear classifier on the backbone, trains both, and reports accuracy on the test images. Uses AdamW with
/// weight decay 0.05 (none for biases and norms), warm-up and cosine decay, layer-wise learning rate decay, label
/// smoothing, random resized crops and flips. Layers that were frozen in pre-training are trained too.
///
/// The defaults follow the fine-tuning of DeiT and BEiT without their stronger augmentation; the MoCo papers publish no
/// such settings. Checkpoints of the run are not changed. The result is written to `RUN/evaluations`, and so is the
/// fine-tuned encoder with its classifier, which `moco predict` and `moco export` take. No file is overwritten. Ctrl-C
/// writes nothing.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: EncoderArguments,
    /// Base learning rate of the classifier; the learning rate is this x batch size / 256.
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    lr: f64,
    /// Learning rate of each layer relative to the layer above it, above 0 and up to 1; 1 turns the decay off.
    #[arg(long, value_name = "RATIO", default_value_t = 0.75)]
    layer_decay: f64,
    /// Label smoothing: the share of a label that is spread over all classes, from 0 to below 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    label_smoothing: f64,
    /// Batch size.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(128).expect("128 is not 0"))]
    batch: NonZeroUsize,
    /// Epochs to train.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::new(50).expect("50 is not 0"))]
    epochs: NonZeroUsize,
    /// Epochs of linear warm-up from 0.
    #[arg(long, value_name = "N", default_value_t = 5)]
    warmup_epochs: usize,
    /// View of the pipeline to train on [default: a random resized crop of at least 8 %, a flip, and the normalization
    /// of `--view`].
    #[arg(long, value_name = "VIEW")]
    train_view: Option<String>,
    /// Output folder, which must not exist [default: the next number in RUN/evaluations].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  moco finetune runs/mocov2-001
  moco finetune runs/mocov2-001 --labels 0.1         with 10 % of the labels
  moco finetune runs/mocov2-001 --layer-decay 1 --label-smoothing 0 --epochs 20";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let evaluation = arguments.encoder.open()?;
    if arguments.encoder.level_name() != "backbone" {
        return Err(with_hint(EvaluationError::HeadFineTuned));
    }
    let train_view = evaluation.training_view(arguments.train_view.as_deref()).map_err(with_hint)?;
    let folder = ResultFolder::new(&evaluation.run().folder, "finetune", arguments.out.as_deref())?;
    let protocol = FineTuneProtocol {
        base_lr: arguments.lr,
        layer_decay: arguments.layer_decay,
        label_smoothing: arguments.label_smoothing,
        batch: arguments.batch.get(),
        epochs: arguments.epochs.get(),
        warmup_epochs: arguments.warmup_epochs,
    };
    stop_without_a_result()?;
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
    let FineTuned { losses, score, kept, .. } =
        evaluation.fine_tune(&train_view, &protocol, &mut watch).map_err(with_hint)?;
    drop(line);
    let seconds = started.elapsed().as_secs_f64();
    let result = json!({
        "protocol": "fine-tuning, random crops and flips",
        "checkpoint": checkpoint,
        "view": arguments.encoder.view,
        "size_note": size_note,
        "train_view": train_view.name,
        "train_images": n_train,
        "test_images": score.n(),
        "dataset": dataset,
        "unreadable_images": unreadable.len(),
        "labels": arguments.encoder.labels,
        "seed": seed,
        "optimizer": "AdamW, weight decay 0.05, none for biases and norms",
        "base_lr": protocol.base_lr,
        "layer_decay": protocol.layer_decay,
        "label_smoothing": protocol.label_smoothing,
        "batch": protocol.batch,
        "epochs": protocol.epochs,
        "warmup_epochs": protocol.warmup_epochs,
        "train_loss": losses,
        "top1": score.top1(),
        "top5": score.top5(),
        "test_loss": score.loss(),
        "per_class": by_class::json(&score, &classes),
        "confusion": score.confusion.chunks_exact(score.n_classes).collect::<Vec<_>>(),
        "device": compute::describe(),
        "seconds": seconds,
    });
    let mut json = serde_json::to_vec_pretty(&result)?;
    json.push(b'\n');
    let path = folder.write(&[
        ("result.json", json),
        ("confusion.png", confusion_png(&score, &classes)?),
        (KeptClassifier::FILE, kept.to_bytes()),
    ])?;
    writeln!(out, "{checkpoint}")?;
    if let Some(note) = &size_note {
        writeln!(out, "{note}")?;
    }
    print(arguments, &protocol, n_train, &score, out)?;
    by_class::print(out, &score, &classes)?;
    if !unreadable.is_empty() {
        writeln!(out, "{} skipped or replaced", text::count(unreadable.len(), "unreadable image"))?;
    }
    writeln!(
        out,
        "took {}; written to {}: result.json, confusion.png, {}",
        format_seconds(seconds),
        path.display(),
        KeptClassifier::FILE
    )?;
    Ok(ExitCode::SUCCESS)
}

fn print(
    arguments: &Arguments,
    protocol: &FineTuneProtocol,
    n_train: usize,
    score: &ClassifierScore,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(
        out,
        "fine-tuned: all layers, test view `{}`; AdamW, base rate {}, layer decay {}, label smoothing {}, batch {}, {}; {} \
         against {}",
        arguments.encoder.view,
        protocol.base_lr,
        protocol.layer_decay,
        protocol.label_smoothing,
        protocol.batch,
        text::count(protocol.epochs, "epoch"),
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
