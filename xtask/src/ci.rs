//! `cargo xtask ci`: checks a change.

use std::path::Path;
use std::process::{Command, ExitCode};

use moco_cli::Failure;

/// Check everything that must hold before a change lands.
///
/// Runs `.ci/run`: formatting, all tests with the fastest and with the portable kernels, clippy, the documentation, the
/// CUDA build on an emulated device, the examples, and every pipeline. It stops at the first failure.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask ci")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<ExitCode, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(".ci").join("run");
    let failed = |error| Failure::plain(format!("`{}` cannot be run: {error}", script.display()));
    let status = Command::new(&script).status().map_err(failed)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
