//! `moco check`: is anything wrong with a pipeline file?

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pipeline::{Pipeline, PipelineError};

use crate::run::split_sizes;
use crate::{compute, failure, pipeline_file, text};

/// Find what is wrong with pipeline files, without training.
///
/// Checks pipeline files as `run` does before it trains: names, values, shapes, the graph. No image is read.
///
/// A dataset that is not there yet is a note and no fault. Of each file the first fault is shown; the exit code is 1 if any
/// file has one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The pipelines, RON files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change a value of each pipeline first, for instance `data.batch=64`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco check pipelines/mocov2.ron
  moco check pipelines/*.ron pipelines/*/*.ron
  moco check pipelines/mocov2.ron --set modules.contrast.len=100";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let device = compute::start(None)?;
    let mut code = ExitCode::SUCCESS;
    for file in &arguments.files {
        match pipeline_file::read(file, &arguments.set, &device) {
            Ok(pipeline) => tell(out, file, pipeline)?,
            Err(error) => {
                out.flush()?;
                tell_fault(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn tell_fault(error: &anyhow::Error) {
    match error.downcast_ref::<PipelineError>() {
        Some(PipelineError::Fault(fault)) => failure::print_fault(fault),
        _ => {
            failure::report(error);
        }
    }
}

fn tell(out: &mut dyn Write, file: &Path, pipeline: Pipeline) -> std::io::Result<()> {
    let parameters = pipeline_file::count_parameters(&pipeline.network);
    writeln!(
        out,
        "{}: ok: {}, {}, {} in the graph, {} with a batch of {}",
        file.display(),
        text::count(pipeline.network.modules.n_modules(), "module"),
        parameters,
        text::count(pipeline.network.graph.steps.len(), "step"),
        text::count(pipeline.epochs, "epoch"),
        pipeline.batch,
    )?;
    match pipeline.dataset.open() {
        Ok(splits) if splits.train.len() < pipeline.batch => writeln!(
            out,
            "  note: {} do not fill a batch of {}",
            text::count(splits.train.len(), "training image"),
            pipeline.batch
        ),
        Ok(splits) => writeln!(out, "  data: {}: {}", pipeline.dataset.describe(), split_sizes(&splits)),
        Err(error) => {
            writeln!(out, "  note: the dataset cannot be opened here: {error}\n  hint: {}", error.hint)
        }
    }
}
