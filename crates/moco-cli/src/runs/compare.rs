//! How runs differ, and what came of it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use moco::runs::{Difference, RunReport, differences};
use run_store::cell;
use serde_json::json;

use super::{opened, row};
use crate::failure::Failure;
use crate::{json, text};

/// Compare runs: the values that differ in their pipelines, and their metrics side by side.
///
/// Values are those that the files say: one that is left out, so that a default holds, is shown as `-`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run folders, or names of runs in `runs/`.
    #[arg(required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Print the table as comma-separated values.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print one JSON object.
    ///
    /// Print one JSON object: `runs`, each with the fields that `moco runs --json` has, and `differences`, each with its `path` and
    /// the `values` of the runs, in their order, as text; `null` where a pipeline does not say.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let reports = opened(&arguments.runs)?;
    let texts = reports
        .iter()
        .map(|report| Ok((report.folder.pipeline().display().to_string(), report.folder.read_pipeline()?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (&**name, &**text)).collect();
    let differences = differences(&texts).map_err(pipeline::PipelineError::from)?;
    if arguments.json {
        let shown = |Difference { path, values }: &Difference| json!({ "path": path, "values": values });
        json::print(
            out,
            &json!({
                "runs": reports.iter().map(row::as_json).collect::<Vec<_>>(),
                "differences": differences.iter().map(shown).collect::<Vec<_>>(),
            }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.csv {
        let failed = |error: csv::Error| Failure::plain(format!("the table cannot be written: {error}"));
        let mut table = csv::Writer::from_writer(&mut *out);
        let head = std::iter::once(String::new()).chain(reports.iter().map(RunReport::name));
        let cells = |texts: Vec<String>| -> Vec<String> {
            texts.iter().map(|text| cell(text).into_owned()).collect()
        };
        table.write_record(cells(head.collect())).map_err(failed)?;
        for Difference { path, values } in differences {
            let values = values.into_iter().map(Option::unwrap_or_default);
            table.write_record(cells(std::iter::once(path).chain(values).collect())).map_err(failed)?;
        }
        for row in results(&reports) {
            table.write_record(cells(row)).map_err(failed)?;
        }
        table.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    match differences.is_empty() {
        true => writeln!(out, "the pipelines have the same values")?,
        false => {
            for Difference { path, values } in differences {
                let values = values.into_iter().map(|value| value.unwrap_or_else(|| row::NOTHING.into()));
                writeln!(out, "{path}: {}", values.collect::<Vec<_>>().join(" | "))?;
            }
        }
    }
    let head = std::iter::once(String::new())
        .chain(reports.iter().map(|report| run_store::shown(&report.name()).into_owned()))
        .collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(results(&reports)).collect();
    write!(out, "\n{}", text::table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// What came of the runs: a row for each result, a column for each run.
fn results(reports: &[RunReport]) -> Vec<Vec<String>> {
    let row = |name: &str, of: &dyn Fn(&RunReport) -> String| {
        std::iter::once(name.to_owned()).chain(reports.iter().map(of)).collect::<Vec<_>>()
    };
    let mut rows = vec![
        row("state", &|report| report.state.word().to_owned()),
        row("epochs", &row::epochs),
        row("loss", &row::loss),
        row("time", &row::took),
    ];
    let mut names: Vec<&str> = Vec::new();
    for course in reports.iter().flat_map(|report| &report.metrics) {
        if !names.contains(&course.name.as_str()) {
            names.push(&course.name);
        }
    }
    for name in names {
        let found = |report: &RunReport| report.metrics.iter().find(|course| course.name == name).cloned();
        let shown = |of: fn(&moco::runs::MetricCourse) -> String| {
            move |report: &RunReport| found(report).map_or_else(|| row::NOTHING.into(), |course| of(&course))
        };
        rows.push(row(&format!("{name}, best"), &shown(row::best)));
        rows.push(row(&format!("{name}, last"), &shown(row::last)));
    }
    rows
}
