//! `cargo xtask parity`: compares training steps with the reference implementation.

mod augmentations;
mod golden;
mod losses;
mod measure;
mod model;
mod names;
mod report;
mod settings;

use moco_cli::Failure;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use self::golden::{Golden, Kind};
use self::report::Line;
use moco_cli::compute;

/// Compare training steps with the reference implementation.
///
/// Compares with golden files: results of the reference implementation (safetensors, with settings in the metadata).
/// The model that a file describes is built from the same plugins as a user's pipeline, gets the file's weights, and
/// runs on the file's inputs.
///
/// Prints one line per group: logits (with one loss) and loss of each step, the first gradient, the final state
/// (weights, momentum weights, statistics, queue), and an evaluation. The error is |ours - theirs| / |theirs| over all
/// values of the group; for the final state, it is relative to the distance moved. The limit is 1e-4, or 10 times the
/// error of PyTorch's float32 if that is larger. Counts must be equal. For augmentations, the mean difference is at
/// most 0.5 of 255, and 99 % of values are within 2. For losses on given embeddings, the limit is 1e-5 for the loss and
/// what is kept from step to step, and 1e-4 for all gradients of a step.
///
/// The exit code is 1 if any group is over its limit.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Golden files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask parity golden/moco_v2_resnet18_w8.safetensors
  cargo xtask parity golden/moco_v[12]*.safetensors golden/augment.safetensors --json
  cargo xtask parity golden/losses/*.safetensors";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let device = compute::start_exact()?;
    let mut code = ExitCode::SUCCESS;
    for file in &arguments.files {
        let golden = Golden::read(file)?;
        let lines: Vec<Line> = match golden.kind()? {
            kind @ (Kind::Moco | Kind::MocoV3) => model::compare(&golden, kind, &device)?,
            Kind::Augmentations => augmentations::compare(&golden)?,
            Kind::Loss => losses::compare(&golden, &device)?,
        };
        if lines.iter().any(|line| !line.is_ok()) {
            code = ExitCode::FAILURE;
        }
        if arguments.json {
            for line in &lines {
                writeln!(out, "{}", line.to_json(golden.name()))?;
            }
        } else {
            writeln!(out, "{}", golden.name())?;
            out.write_all(report::table(&lines).as_bytes())?;
        }
        out.flush()?;
    }
    Ok(code)
}
