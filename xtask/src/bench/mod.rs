//! `cargo xtask bench`: how fast?

mod augmentation;
mod step;

use std::io::Write;
use std::process::ExitCode;

/// Measure speed.
///
/// Prints one JSON line, with the keys of the PyTorch scripts that it is compared with.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench step --arch resnet18 --width 64 --size 32 --batch 128
  cargo xtask bench augment data/imagenet --size 224 --threads 1";

#[derive(clap::Subcommand)]
enum What {
    Step(step::Arguments),
    Augment(augmentation::Arguments),
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match &arguments.what {
        What::Step(arguments) => step::run(arguments, out)?,
        What::Augment(arguments) => augmentation::run(arguments, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// How this program calls itself beside others.
fn system() -> String {
    format!("moco-rs {}", env!("CARGO_PKG_VERSION"))
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
