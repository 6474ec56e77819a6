//! `moco export`: writes the encoder for other programs.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use moco::Which;
use moco::exchange::{ExchangeError, ExportOptions, Mismatch, Target, Unrecognized, export};

use crate::choice::Side;
use crate::failure::Failure;
use crate::interrupt::stop_without_a_result;
use crate::run::unwrapped;
use crate::{compute, new_file, text};

/// Export a trained encoder, or a classifier with its encoder, to another program.
///
/// Writes the encoder as a safetensors file with the target's names and layouts, or as an ONNX graph. By default, this
/// is the query encoder of the newest checkpoint, without its projection head. Prints the Python code that loads the
/// file with `strict=True`. The file's metadata contains this code, the run, the epoch, the backbone's config, the
/// normalization and the image size.
///
/// Of an evaluation that `moco linear` or `moco finetune` has written, the encoder is exported with the classifier on it, as
/// `fc`, `head` or `heads`, and the names of the classes are in the metadata and in the Python code. An ONNX graph gives
/// its logits.
///
/// If the target has no equivalent of this encoder, the error lists the targets that do.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run folder, a checkpoint in it, or the folder of an evaluation with a classifier.
    run: PathBuf,
    /// Program that will load the weights.
    #[arg(long, value_name = "TARGET", value_parser = target())]
    to: Target,
    /// Output file: `.safetensors`, or `.onnx` for the target `onnx`.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Encoder to export.
    #[arg(long, value_enum, default_value_t = Side::Query)]
    encoder: Side,
    /// Include the projection head.
    #[arg(long)]
    with_head: bool,
    /// Use the best checkpoint, not the newest.
    #[arg(long)]
    best: bool,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco export runs/mocov2-001 --to torchvision -o encoder.safetensors
  moco export runs/mocov3-001 --to timm --best -o vit.safetensors
  moco export runs/mocov3-001 --to onnx -o encoder.onnx
  moco export runs/mocov3-001/evaluations/finetune-001 --to timm -o classifier.safetensors
  moco export runs/mocov2-001 --to moco --with-head --encoder momentum -o key.safetensors";

fn target() -> impl clap::builder::TypedValueParser<Value = Target> {
    PossibleValuesParser::new(Target::ALL.map(Target::name)).map(|name| {
        Target::from_name(&name).unwrap_or_else(|| unreachable!("only names of targets are possible"))
    })
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    check_out(arguments)?;
    compute::start(None)?;
    let options = ExportOptions {
        target: arguments.to,
        checkpoint: if arguments.best { Which::Best } else { Which::Latest },
        weights: arguments.encoder.weights(),
        with_head: arguments.with_head,
    };
    stop_without_a_result()?;
    let exported = export(&arguments.run, &arguments.out, &options).map_err(with_options)?;
    writeln!(
        out,
        "wrote {}: {}, {}, for {}",
        arguments.out.display(),
        exported.architecture.describe(),
        text::count(exported.n_values, "value"),
        arguments.to,
    )?;
    let (epoch, step) = (&exported.metadata["epoch"], &exported.metadata["step"]);
    let from = exported.checkpoint.display();
    match exported.classes.len() {
        0 => writeln!(
            out,
            "{} encoder of {from}, after epoch {epoch} and step {step}\n",
            arguments.encoder.name()
        )?,
        n_classes => writeln!(
            out,
            "classifier of {n_classes} classes with its encoder, of {from}: {}, from epoch {epoch} and step {step}\n",
            exported.metadata["protocol"]
        )?,
    }
    write!(out, "{}", exported.python)?;
    Ok(ExitCode::SUCCESS)
}

/// The error with the options that help.
pub(crate) fn with_options(error: ExchangeError) -> Failure {
    let message = error.to_string();
    match error {
        ExchangeError::NoEncoder { .. } => Failure::new(
            message,
            "only a pipeline with a step of `weights: Momentum` has one; omit `--encoder` to export the query encoder",
        ),
        ExchangeError::OfClassifier { .. } => Failure::usage(
            message,
            "omit `--with-head` and `--encoder`, or give the run to export its encoder without the classifier",
        ),
        ExchangeError::NoHead => Failure::usage(message, "omit `--with-head`"),
        ExchangeError::ManyHeads { .. } => {
            Failure::new(message, "every target takes one at most: omit `--with-head`")
        }
        ExchangeError::ForeignHead { .. } => {
            Failure::new(message, "no target can load it: omit `--with-head`")
        }
        ExchangeError::Unfit { unfit, .. } if !unfit.fitting.is_empty() => {
            let fitting: Vec<&str> = unfit.fitting.iter().map(|target| target.name()).collect();
            Failure::new(message, format!("choose another target with `--to`: {}", fitting.join(", ")))
        }
        ExchangeError::OwnCheckpoint { .. } => Failure::new(
            message,
            "no import is needed: `moco run --resume`, `knn` and `export` use it directly",
        ),
        ExchangeError::Mismatch { part: "backbone", mismatch: Mismatch::Unexpected { name }, .. } => {
            // A pattern that can be typed, and does nothing to the terminal.
            let pattern = name.replace(char::is_control, "*");
            Failure::new(
                message,
                format!(
                    "if it is no part of the encoder, `--leave-out '{pattern}'`; `*` stands for any letters"
                ),
            )
        }
        ExchangeError::Unrecognized {
            reason: Unrecognized::NoPlace { .. } | Unrecognized::Several { .. },
            ..
        } => Failure::new(message, "choose one of these with `--key` and `--prefix`"),
        ExchangeError::Unrecognized { reason: Unrecognized::NoSide { .. }, .. } => {
            Failure::new(message, "omit `--encoder` to take the one that is there")
        }
        ExchangeError::Unrecognized { reason: Unrecognized::LeavesNothing { .. }, .. } => {
            Failure::new(message, "`--leave-out` takes a whole name, in which `*` stands for any letters")
        }
        ExchangeError::Mismatch { part, .. } if part != "backbone" => {
            Failure::new(message, "use `--backbone-only` to leave the heads at their random initial values")
        }
        ExchangeError::Run(error) => error.into(),
        ExchangeError::Pipeline(error) => error.into(),
        ExchangeError::Load(error) => error.into(),
        ExchangeError::Classifier(error) => error.into(),
        ExchangeError::Read(error) => error.into(),
        ExchangeError::Create(error) => unwrapped(*error),
        error => match error.hint() {
            Some(hint) => Failure::new(message, hint),
            None => Failure::plain(message),
        },
    }
}

fn check_out(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { out: path, to, force, .. } = arguments;
    let shown = path.display();
    if path.extension().is_none_or(|extension| extension != to.extension()) {
        return Err(Failure::usage(
            format!("`{shown}` does not end in `.{}`, the format of this target", to.extension()),
            match to {
                Target::Onnx => "rename the file",
                _ => "rename the file; if the target needs a `.pth`, the printed Python code makes one",
            },
        ));
    }
    new_file::check(path, (*force).into())
}
