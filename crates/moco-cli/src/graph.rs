//! `moco graph`: what a training step computes.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::{compute, pipeline_file};

/// Show what a training step of a pipeline computes.
///
/// Shows the graph of a pipeline: which modules run on which views, whose weights they use, which losses are minimized.
///
/// `dot` is for Graphviz, `mermaid` for Markdown pages that draw it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The pipeline, a RON file.
    file: PathBuf,
    /// How to write the graph.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Change a value of the pipeline first.
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
    /// A line a step.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
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
