//! `moco graph`: shows the computation graph of a pipeline.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::failure::Failure;
use crate::{compute, pipeline_file};

/// Show the computation graph of a pipeline.
///
/// Shows what a training step computes: which modules run on which views, with whose weights, and which losses are
/// minimized.
///
/// Use `dot` for Graphviz, and `mermaid` for Markdown pages.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Pipeline file (RON).
    file: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Override a value in the pipeline.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  moco graph pipelines/mocov2.ron
  moco graph pipelines/mocov2.ron --format dot | dot -Tsvg > mocov2.svg
  moco graph pipelines/mocov2.ron --format mermaid";

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Plain text, one line per step.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let device = compute::start(None)?;
    let pipeline = pipeline_file::read(&arguments.file, &arguments.set, &device)?;
    let graph = &pipeline.network.graph;
    let text = match arguments.format {
        Format::Text => graph.to_text(),
        Format::Dot => graph.to_dot(),
        Format::Mermaid => graph.to_mermaid(),
    };
    out.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
