//! All that can be said of one run.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use moco::runs::{CheckpointKind, RunReport};
use serde_json::{Value, json};

use super::{opened, row};
use crate::failure::Failure;
use crate::{json, notes, text};

/// Show all that can be said of runs, with their checkpoints.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run folders, or names of runs in `runs/`.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `runs`, each with the fields that `moco runs --json` has, `pipeline` (its name), `seed`, `batch`,
    /// and `checkpoints`, each with `path`, `kind` (`step`, `epoch`, `best` or `superseded`), `number` (the steps or epochs after
    /// which it was written) and `bytes`.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reports = opened(&arguments.runs)?;
    if arguments.json {
        json::print(out, &json!({ "runs": reports.iter().map(as_json).collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for (i, report) in reports.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        print(out, report)?;
        notes::print(&report.problems);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut dyn Write, report: &RunReport) -> std::io::Result<()> {
    let folder = &report.folder;
    writeln!(out, "run       {}", run_store::shown(&folder.path().display().to_string()))?;
    writeln!(out, "state     {}", report.state)?;
    if let Some(config) = &report.config {
        writeln!(out, "pipeline  {}, seed {}, batch size {}", config.name, config.seed, config.data.batch)?;
    }
    if let Some(origin) = &report.origin {
        writeln!(out, "from      {origin}")?;
    }
    writeln!(out, "started   {} UTC", row::started(report))?;
    writeln!(
        out,
        "training  {} epochs, {}, loss {}, {}",
        row::epochs(report),
        text::count(report.steps_done as usize, "step"),
        row::loss(report),
        row::took(report)
    )?;
    if report.n_unreadable > 0 {
        let images = text::count(report.n_unreadable, "unreadable image");
        writeln!(out, "images    {images}, listed in {}", folder.unreadable().display())?;
    }
    writeln!(out, "size      {}", text::bytes(report.n_bytes))?;
    if !report.metrics.is_empty() {
        let head = ["metric", "best", "last"].map(str::to_owned).to_vec();
        let rows = report
            .metrics
            .iter()
            .map(|metric| vec![metric.name.clone(), row::best(metric), row::last(metric)]);
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        write!(out, "\n{}", text::table(&rows))?;
    }
    if !report.checkpoints.is_empty() {
        let head = ["checkpoint", "size"].map(str::to_owned).to_vec();
        let rows = report
            .checkpoints
            .iter()
            .map(|file| vec![file.path.display().to_string(), text::bytes(file.n_bytes)]);
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        write!(out, "\n{}", text::table(&rows))?;
    }
    Ok(())
}

fn as_json(report: &RunReport) -> Value {
    let checkpoints: Vec<Value> = report
        .checkpoints
        .iter()
        .map(|file| {
            let (kind, number) = match file.kind {
                CheckpointKind::Step(step) => ("step", Some(step)),
                CheckpointKind::Epoch(epoch) => ("epoch", Some(epoch)),
                CheckpointKind::Best => ("best", None),
                CheckpointKind::Superseded => ("superseded", None),
            };
            let path = file.path.display().to_string();
            json!({ "path": path, "kind": kind, "number": number, "bytes": file.n_bytes })
        })
        .collect();
    let mut object = row::as_json(report);
    object["pipeline"] = json!(report.config.as_ref().map(|config| &config.name));
    object["seed"] = json!(report.config.as_ref().map(|config| config.seed));
    object["batch"] = json!(report.config.as_ref().map(|config| config.data.batch));
    object["checkpoints"] = json!(checkpoints);
    object
}
