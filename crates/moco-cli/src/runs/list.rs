//! The table of the runs in a folder.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use moco::runs::{Listed, RunReport};
use run_store::{cell, path_cell};
use serde_json::json;

use super::{ROOT, row};
use crate::failure::Failure;
use crate::program::program;
use crate::{json, missing_path, notes, shell, text};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Folder with runs in it.
    #[arg(default_value = ROOT)]
    dir: PathBuf,
    /// Print the table as comma-separated values.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `runs`, a list in the order of the table, and `sweeps`, the folders of sweeps. Each run has
    /// `name`, `path`, `state`, `reason` (of a run that failed or ended early), `process` (of one that is training),
    /// `epochs_done`, `epochs`, `steps_done`, `loss`, `metrics` (each with `name`, `best`, `best_epoch` and `last`; the one that
    /// decides which checkpoint is best first), `seconds`, `bytes`, `started`, `started_from`, `unreadable_images` and `problems`.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let dir = &arguments.dir;
    if dir.as_os_str() != ROOT && !dir.is_dir() {
        return Err(match dir.exists() {
            true => {
                Failure::new(format!("`{}` is not a folder", dir.display()), "give a folder with runs in it")
            }
            false => Failure::new(format!("`{}` does not exist", dir.display()), missing_path::hint(dir)),
        });
    }
    let Listed { runs, sweeps } = moco::runs::list(dir)?;
    let mut reports: Vec<RunReport> = runs.into_iter().map(RunReport::of).collect();
    reports.sort_by_key(|report| (report.started, report.name()));
    for report in &reports {
        let problems =
            report.problems.iter().map(|problem| format!("{}: {problem}", run_store::shown(&report.name())));
        notes::print(&problems.collect::<Vec<_>>());
    }
    if arguments.json {
        let sweeps: Vec<String> = sweeps.iter().map(|path| path.display().to_string()).collect();
        let runs: Vec<_> = reports.iter().map(row::as_json).collect();
        json::print(out, &json!({ "runs": runs, "sweeps": sweeps }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.csv {
        out.write_all(&csv(&reports)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    match reports.is_empty() {
        true if moco::OpenRun::folder_of(dir).is_ok() => {
            writeln!(out, "`{}` is a run: {} runs show {}", dir.display(), program(), shell::path(dir))?;
        }
        true => writeln!(out, "there is no run in `{}`", dir.display())?,
        false => out.write_all(fitting(rows(&reports), text::room()).as_bytes())?,
    }
    for sweep in &sweeps {
        writeln!(out, "{} is a sweep: {} runs {}", sweep.display(), program(), shell::path(sweep))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The columns that a narrow terminal has no room for, the first to go first.
const LEFT_OUT: [&str; 4] = ["started (UTC)", "size", "loss", "last"];

/// `rows` as a table, in which columns are left out as long as it is wider than `width` letters.
fn fitting(mut rows: Vec<Vec<String>>, width: usize) -> String {
    for name in LEFT_OUT {
        let table = text::table(&rows);
        if table.lines().all(|line| line.chars().count() <= width) {
            return table;
        }
        if let Some(column) = rows[0].iter().position(|head| head == name) {
            rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }
    text::table(&rows)
}

fn rows(reports: &[RunReport]) -> Vec<Vec<String>> {
    // Most often, all runs have one metric.
    let mut names: Vec<Option<&str>> =
        reports.iter().map(|report| report.metrics.first().map(|course| course.name.as_str())).collect();
    names.retain(Option::is_some);
    names.dedup();
    let common = if let [Some(name)] = names[..] { Some(name) } else { None };
    let best = common.map_or("best".to_owned(), |name| format!("best {name}"));
    let head = ["run", "state", "epochs", &best, "last", "loss", "time", "size", "started (UTC)"];
    let row = |report: &RunReport| {
        let metric = report.metrics.first();
        let best = match metric {
            Some(metric) if common.is_none() => format!("{} {}", metric.name, row::best(metric)),
            Some(metric) => row::best(metric),
            None => row::NOTHING.into(),
        };
        vec![
            run_store::shown(&report.name()).into_owned(),
            report.state.word().to_owned(),
            row::epochs(report),
            best,
            metric.map_or_else(|| row::NOTHING.into(), row::last),
            row::loss(report),
            row::took(report),
            text::bytes(report.n_bytes),
            row::started(report),
        ]
    };
    std::iter::once(head.map(str::to_owned).to_vec()).chain(reports.iter().map(row)).collect()
}

fn csv(reports: &[RunReport]) -> Result<Vec<u8>, Failure> {
    let failed = |error: csv::Error| Failure::plain(format!("the table cannot be written: {error}"));
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record([
            "name",
            "path",
            "state",
            "epochs_done",
            "epochs",
            "steps_done",
            "metric",
            "best",
            "best_epoch",
            "last",
            "loss",
            "seconds",
            "bytes",
            "started",
        ])
        .map_err(failed)?;
    for report in reports {
        let metric = report.metrics.first();
        let best = metric.and_then(|metric| metric.best);
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        table
            .write_record([
                cell(&report.name()).into_owned(),
                path_cell(&report.folder.path().display().to_string()).into_owned(),
                report.state.word().to_owned(),
                report.epochs_done.to_string(),
                report.epochs.map(|epochs| epochs.to_string()).unwrap_or_default(),
                report.steps_done.to_string(),
                metric.map(|metric| cell(&metric.name).into_owned()).unwrap_or_default(),
                number(best.map(|best| best.value)),
                best.map(|best| best.epoch.to_string()).unwrap_or_default(),
                number(metric.map(|metric| metric.last)),
                number(report.loss),
                report.took.as_secs_f64().to_string(),
                report.n_bytes.to_string(),
                report.started.map(json::moment).unwrap_or_default(),
            ])
            .map_err(failed)?;
    }
    table.into_inner().map_err(|error| Failure::plain(format!("the table cannot be written: {error}")))
}
