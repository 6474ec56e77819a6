//! `cargo xtask bench`: benchmarks.

mod augmentation;
mod compare;
mod driver_calls;
mod median;
mod ops;
mod precision;
mod step;

use moco_cli::Failure;
use std::io::Write;
use std::process::ExitCode;

use self::median::median;
use self::precision::Precision;

/// Run benchmarks.
///
/// `step` and `augment` print one JSON line, with the same keys as the PyTorch scripts that they are compared with.
/// `compare` runs such a script in turn with `step`, and prints a table. `ops` times each kernel by itself.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench step --arch resnet18 --width 64 --size 32 --batch 128
  cargo xtask bench augment data/imagenet --size 224 --threads 1
  cargo xtask bench compare --python venv/bin/python --peer torch_moco.py --only v2-resnet18
  cargo xtask bench ops --only conv3x3";

#[derive(clap::Subcommand)]
enum What {
    Step(step::Arguments),
    Augment(augmentation::Arguments),
    Compare(compare::Arguments),
    Ops(ops::Arguments),
}

impl Arguments {
    /// Whether it times steps.
    pub(crate) fn is_step(&self) -> bool {
        matches!(self.what, What::Step(_))
    }
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match &arguments.what {
        What::Step(arguments) => return step::run(arguments, out),
        What::Augment(arguments) => augmentation::run(arguments, out)?,
        What::Compare(arguments) => compare::run(arguments, out)?,
        What::Ops(arguments) => ops::run(arguments, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of this program in comparisons.
fn system() -> String {
    format!("moco-rs {}", env!("CARGO_PKG_VERSION"))
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// A duration to measure.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 86_400.0 => Ok(value),
        _ => Err("it must be a number of seconds above 0".into()),
    }
}
