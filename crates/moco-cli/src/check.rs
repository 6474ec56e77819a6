//! `moco check`: checks pipeline files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pipeline::{Pipeline, PipelineError};

use crate::failure::Failure;
use crate::run::split_sizes;
use crate::{compute, failure, notes, pipeline_file, text};

/// Check pipeline files without training.
///
/// Runs the same checks as `run` does before training: names, values, shapes and the graph. A few images are read, to
/// tell what is odd about them.
///
/// Only the first error in each file is shown. A missing dataset is a note, not an error. The exit code is 1 if any
/// file has an error.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Pipeline files (RON).
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Override a value in each pipeline, for instance `data.batch=64`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco check pipelines/mocov2.ron
  moco check pipelines/*.ron pipelines/*/*.ron
  moco check pipelines/mocov2.ron --set modules.contrast.len=100";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let device = compute::start(None)?;
    let mut code = ExitCode::SUCCESS;
    for file in &arguments.files {
        match pipeline_file::read(file, &arguments.set, &device) {
            Ok(pipeline) => print_summary(out, file, pipeline)?,
            Err(error) => {
                out.flush()?;
                print_error(&error);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn print_error(error: &Failure) {
    match error.cause() {
        Some(PipelineError::Fault(fault)) => failure::print_fault(fault),
        _ => {
            failure::report(error);
        }
    }
}

fn print_summary(out: &mut dyn Write, file: &Path, pipeline: Pipeline) -> std::io::Result<()> {
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
    print_data(out, &pipeline)?;
    for (monitor, own) in pipeline_file::own_datasets(&pipeline) {
        match own.open() {
            Ok(splits) => writeln!(out, "  data of {monitor}: {}: {}", own.describe(), split_sizes(&splits))?,
            Err(error) => writeln!(
                out,
                "  note: the dataset of {monitor} cannot be opened here: {error}\n  hint: {}",
                error.hint
            )?,
        }
    }
    Ok(())
}

fn print_data(out: &mut dyn Write, pipeline: &Pipeline) -> std::io::Result<()> {
    let opened = pipeline.dataset.open();
    for note in opened.iter().flat_map(notes::of) {
        writeln!(out, "  note: {note}")?;
    }
    match opened {
        Ok(splits) if splits.train.len() < pipeline.batch => writeln!(
            out,
            "  note: {} {} not fill a batch of {}",
            text::count(splits.train.len(), "training image"),
            if splits.train.len() == 1 { "does" } else { "do" },
            pipeline.batch
        ),
        Ok(splits) => writeln!(out, "  data: {}: {}", pipeline.dataset.describe(), split_sizes(&splits)),
        Err(error) => {
            writeln!(out, "  note: the dataset cannot be opened here: {error}\n  hint: {}", error.hint)
        }
    }
}
