//! `moco check`: checks pipeline files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use moco::estimate::check_memory;
use pipeline::{Pipeline, PipelineError};
use plugin_api::{DatasetError, Splits};
use run_store::shown;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::run::split_sizes;
use crate::{compute, failure, json, notes, pipeline_file, text};

/// Check pipeline files without training.
///
/// Runs the same checks as `run` does before training: names, values, shapes and the graph. A few images are read, to
/// tell what is odd about them.
///
/// What is unusual is told in notes, which change no exit code: views of one encoder that are normalized differently, views much
/// smaller than the images, few steps in all, images that each epoch leaves out, a queue that is long for its dataset or its
/// momentum encoder, a momentum encoder that moves too fast for a queue, a learning rate that is of another order than those of
/// the papers.
///
/// Only the first error in each file is shown. A missing dataset is a note, not an error; one that is there and that `run` would
/// refuse is an error. The exit code is 1 if any file has an error.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Pipeline files (RON).
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Override a value in each pipeline, for instance `data.batch=64`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `files`, each with `file`, `ok` and `error`: `null`, or an object with `message`, `hint`, and
    /// `origin`, `line` and `column` (from 1) of the place, which are `null` if it is none in a text. A file that is right has `name`,
    /// `epochs`, `batch`, `modules`, `graph_steps`, `trainable_parameters`, `frozen_parameters`, `dataset`, and `train_images`,
    /// `test_images` and `classes`, which are `null` where the dataset is not there; and `notes`, a list of sentences.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  moco check pipelines/mocov2.ron
  moco check pipelines/*.ron pipelines/*/*.ron
  moco check pipelines/mocov2.ron --set modules.contrast.len=100
  moco check pipelines/*.ron --json";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let device = compute::start(None)?;
    let mut code = ExitCode::SUCCESS;
    let mut results = Vec::new();
    for file in &arguments.files {
        let read = pipeline_file::read(file, &arguments.set, &device).and_then(Checked::of);
        if read.is_err() {
            code = ExitCode::FAILURE;
        }
        match read {
            read if arguments.json => results.push(result(file, read.as_ref())),
            Ok(checked) => print_summary(out, file, &checked)?,
            Err(error) => {
                out.flush()?;
                print_error(&error);
            }
        }
    }
    if arguments.json {
        json::print(out, &json!({ "files": results }))?;
    }
    Ok(code)
}

/// A pipeline whose datasets are right, or are not there.
struct Checked {
    pipeline: Pipeline,
    opened: Result<Splits, DatasetError>,
    /// What the datasets of monitors have, by their names.
    own: Vec<(String, Result<String, DatasetError>)>,
}

impl Checked {
    /// # Errors
    /// If a dataset is there and cannot be opened: `run` would refuse it, too.
    fn of(pipeline: Pipeline) -> Result<Self, Failure> {
        let opened = unless_wrong(pipeline.dataset.open())?;
        let mut own = Vec::new();
        for (monitor, dataset) in pipeline_file::own_datasets(&pipeline) {
            let opened = unless_wrong(dataset.open())?;
            let told =
                opened.map(|splits| format!("{}: {}", shown(&dataset.describe()), split_sizes(&splits)));
            own.push((monitor.to_owned(), told));
        }
        Ok(Self { pipeline, opened, own })
    }
}

/// # Errors
/// If what was opened is there and wrong. A known dataset that was not unpacked where its folder should be is not there.
fn unless_wrong(opened: Result<Splits, DatasetError>) -> Result<Result<Splits, DatasetError>, Failure> {
    match opened {
        Err(error) if error.path.exists() && !error.reason.contains("neither here nor in") => {
            Err(error.into())
        }
        opened => Ok(opened),
    }
}

/// What `--json` has of a file.
fn result(file: &Path, read: Result<&Checked, &Failure>) -> Value {
    let file = file.display().to_string();
    let Checked { pipeline, opened, .. } = match read {
        Ok(checked) => checked,
        Err(failure) => return json!({ "file": file, "ok": false, "error": error_json(failure) }),
    };
    let splits = opened.as_ref().ok();
    let mut notes = notes_of(pipeline, opened);
    notes.extend(opened.as_ref().err().map(|error| format!("the dataset cannot be opened here: {error}")));
    let parameters = pipeline_file::count_parameters(&pipeline.network);
    json!({
        "file": file,
        "ok": true,
        "error": null,
        "name": pipeline.name,
        "epochs": pipeline.epochs,
        "batch": pipeline.batch,
        "modules": pipeline.network.modules.n_modules(),
        "graph_steps": pipeline.network.graph.steps.len(),
        "trainable_parameters": parameters.trained,
        "frozen_parameters": parameters.fixed,
        "dataset": pipeline.dataset.describe(),
        "train_images": splits.map(|splits| splits.train.len()),
        "test_images": splits.map(|splits| splits.test.as_ref().map_or(0, |test| test.len())),
        "classes": splits.map(|splits| splits.train.class_names().len()),
        "notes": notes,
    })
}

fn error_json(failure: &Failure) -> Value {
    match failure.cause() {
        Some(PipelineError::Fault(fault)) => {
            let (line, column) = fault.position();
            json!({
                "message": fault.message,
                "hint": fault.hint,
                "origin": fault.origin,
                "line": line,
                "column": column,
            })
        }
        _ => json!({
            "message": failure.to_string(),
            "hint": failure.hint(),
            "origin": null,
            "line": null,
            "column": null,
        }),
    }
}

/// What is to be told of a pipeline and its data, which may not be there.
fn notes_of(pipeline: &Pipeline, opened: &Result<Splits, DatasetError>) -> Vec<String> {
    let mut notes = match opened {
        Ok(splits) => notes::before_training(pipeline, splits),
        Err(_) => moco::advice::of(pipeline, 0),
    };
    if let Ok(splits) = opened
        && splits.train.len() < pipeline.batch
    {
        notes.push(format!(
            "{} {} not fill a batch of {}",
            text::count(splits.train.len(), "training image"),
            if splits.train.len() == 1 { "does" } else { "do" },
            pipeline.batch
        ));
    }
    if let Ok(splits) = opened
        && let Err(short) = check_memory(pipeline, splits.train.len())
    {
        notes.push(format!("`run` would refuse it here: {short}; {}", short.hint()));
    }
    notes
}

fn print_error(error: &Failure) {
    match error.cause() {
        Some(PipelineError::Fault(fault)) => failure::print_fault(fault),
        _ => {
            failure::report(error);
        }
    }
}

fn print_summary(out: &mut dyn Write, file: &Path, checked: &Checked) -> std::io::Result<()> {
    let Checked { pipeline, opened, own } = checked;
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
    print_data(out, pipeline, opened)?;
    for (monitor, own) in own {
        match own {
            Ok(told) => writeln!(out, "  data of {monitor}: {told}")?,
            Err(error) => writeln!(
                out,
                "  note: the dataset of {monitor} cannot be opened here: {error}\n  hint: {}",
                error.hint
            )?,
        }
    }
    Ok(())
}

fn print_data(
    out: &mut dyn Write,
    pipeline: &Pipeline,
    opened: &Result<Splits, DatasetError>,
) -> std::io::Result<()> {
    for note in notes_of(pipeline, opened) {
        writeln!(out, "  note: {note}")?;
    }
    match opened {
        Ok(splits) if splits.train.len() >= pipeline.batch => {
            writeln!(out, "  data: {}: {}", shown(&pipeline.dataset.describe()), split_sizes(splits))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            writeln!(out, "  note: the dataset cannot be opened here: {error}\n  hint: {}", error.hint)
        }
    }
}
