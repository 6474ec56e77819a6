//! The table of a sweep: one row per combination of values, over all seeds.

use std::fmt::Write as _;
use std::path::Path;

use run_store::metrics::{MetricsLog, is_of_training};
use serde_json::{Map, Value, json};

use crate::layout::{csv_line, padded};
use crate::spread::Spread;
use crate::state::{MetricKind, RunState, SweepState};

/// A column: one number per run.
struct Column {
    /// Its name in `table.csv`.
    name: String,
    /// Its name in `table.md`.
    title: String,
    is_share: bool,
    n_decimals: usize,
    of: Box<Number>,
}

/// The number of a run, if it has it.
type Number = dyn Fn(&Record) -> Option<f64>;

/// The results of one run.
struct Record {
    lines: Vec<Map<String, Value>>,
    seconds: f64,
}

impl Record {
    fn last(&self, name: &str) -> Option<f64> {
        self.lines.iter().rev().find_map(|line| line.get(name)?.as_f64())
    }

    /// The best value after an epoch. Measurements before the first epoch do not count.
    fn best(&self, metric: &MetricKind) -> Option<f64> {
        let trained = self.lines.iter().filter(|line| line.get("epoch").and_then(Value::as_u64) != Some(0));
        let values = trained.filter_map(|line| line.get(&metric.name)?.as_f64());
        values.reduce(|a, b| if metric.more_is_better { a.max(b) } else { a.min(b) })
    }

    fn epochs(&self) -> u64 {
        self.lines.last().and_then(|line| line.get("epoch")?.as_u64()).unwrap_or(0)
    }
}

/// One row: the values of a combination, and its runs.
struct Row {
    values: Vec<String>,
    /// The completed runs.
    spreads: Vec<Option<Spread>>,
    n_completed: usize,
    n_diverged: usize,
    n_failed: usize,
    n_waiting: usize,
    /// The smallest and largest number of epochs of any started run.
    epochs: Option<(u64, u64)>,
}

/// The table of `sweep`, whose runs are in `folder`.
pub(crate) struct Table {
    paths: Vec<String>,
    n_seeds: usize,
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Runs without a result, each with its reason.
    lost: Vec<String>,
}

impl Table {
    /// Reads the results so far.
    pub(crate) fn of(sweep: &SweepState, folder: &Path) -> Self {
        let records: Vec<Record> = sweep
            .runs
            .iter()
            .map(|run| {
                // A run that has not started has no metrics.
                let metrics = folder.join(&run.folder).join("metrics.jsonl");
                Record { lines: MetricsLog::read(&metrics).unwrap_or_default(), seconds: run.seconds }
            })
            .collect();
        let columns = columns(sweep, &records);
        let mut combinations: Vec<&[usize]> = sweep.runs.iter().map(|run| &run.combination[..]).collect();
        combinations.sort_unstable(); // The order of the grid, in which its last axis changes fastest.
        combinations.dedup();
        let rows = combinations.into_iter().map(|combination| row(sweep, &records, &columns, combination));
        let lost = sweep.runs.iter().filter_map(|run| match &run.state {
            RunState::Diverged(reason) => Some(format!("`{}` diverged: {reason}", run.folder)),
            RunState::Failed(reason) => Some(format!("`{}` failed: {reason}", run.folder)),
            RunState::Waiting | RunState::Completed => None,
        });
        Self {
            paths: sweep.axes.iter().map(|axis| axis.path.clone()).collect(),
            n_seeds: sweep.n_seeds,
            rows: rows.collect(),
            lost: lost.collect(),
            columns,
        }
    }

    /// For people: means with their spread, and the runs without a result.
    pub(crate) fn to_markdown(&self) -> String {
        let mut head = self.paths.clone();
        head.push("runs".into());
        head.extend(self.columns.iter().map(|column| column.title.clone()));
        head.extend(["epochs".into(), "note".into()]);
        let mut cells = vec![head];
        for row in &self.rows {
            let mut line: Vec<String> = row.values.iter().map(|value| value.replace('|', "\\|")).collect();
            line.push(format!("{} of {}", row.n_completed, self.n_seeds));
            line.extend(self.columns.iter().zip(&row.spreads).map(|(column, spread)| shown(column, *spread)));
            line.push(match row.epochs {
                None => "–".into(),
                Some((fewest, most)) if fewest == most => most.to_string(),
                Some((fewest, most)) => format!("{fewest}–{most}"),
            });
            line.push(row.note());
            cells.push(line);
        }
        let mut text = padded(&cells);
        if self.n_seeds > 1 {
            text += "\nMean ± sample standard deviation (least–most) over the completed runs.\n";
        }
        if !self.lost.is_empty() {
            text += "\nRuns without a result:\n\n";
            for line in &self.lost {
                let _ = writeln!(text, "- {line}");
            }
        }
        text
    }

    /// For programs: an object.
    pub(crate) fn to_json(&self) -> Value {
        let spread = |spread: &Option<Spread>| {
            spread.map(|Spread { mean, deviation, min, max }| {
                json!({ "mean": mean, "sd": deviation, "min": min, "max": max })
            })
        };
        let row = |row: &Row| {
            let values: Map<String, Value> =
                self.paths.iter().cloned().zip(row.values.iter().map(|value| value.clone().into())).collect();
            let columns = self.columns.iter().map(|column| column.name.clone());
            let results: Map<String, Value> =
                columns.zip(row.spreads.iter().map(|of| json!(spread(of)))).collect();
            json!({
                "values": values,
                "completed": row.n_completed,
                "diverged": row.n_diverged,
                "failed": row.n_failed,
                "waiting": row.n_waiting,
                "epochs_min": row.epochs.map(|(fewest, _)| fewest),
                "epochs_max": row.epochs.map(|(_, most)| most),
                "results": results,
            })
        };
        json!({
            "paths": self.paths,
            "seeds": self.n_seeds,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "lost": self.lost,
        })
    }

    /// For programs: one number per field; shares are from 0 to 1.
    pub(crate) fn to_csv(&self) -> String {
        let mut head = self.paths.clone();
        head.extend(["completed", "diverged", "failed", "waiting"].map(str::to_owned));
        for column in &self.columns {
            head.extend(["mean", "sd", "min", "max"].map(|what| format!("{}_{what}", column.name)));
        }
        head.extend(["epochs_min".into(), "epochs_max".into()]);
        let mut text = csv_line(&head);
        for row in &self.rows {
            let mut line = row.values.clone();
            let counts = [row.n_completed, row.n_diverged, row.n_failed, row.n_waiting];
            line.extend(counts.map(|count| count.to_string()));
            for spread in &row.spreads {
                let number = |of: fn(Spread) -> Option<f64>| {
                    spread.and_then(of).map(|value| value.to_string()).unwrap_or_default()
                };
                line.push(number(|spread| Some(spread.mean)));
                line.push(number(|spread| spread.deviation));
                line.push(number(|spread| Some(spread.min)));
                line.push(number(|spread| Some(spread.max)));
            }
            let epochs = row.epochs.map(|(fewest, most)| [fewest.to_string(), most.to_string()]);
            line.extend(epochs.unwrap_or_default());
            text += &csv_line(&line);
        }
        text
    }
}

impl Row {
    fn note(&self) -> String {
        let counts = [(self.n_diverged, "diverged"), (self.n_failed, "failed"), (self.n_waiting, "pending")];
        let notes = counts.iter().filter(|(count, _)| *count > 0);
        notes.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}

fn row(sweep: &SweepState, records: &[Record], columns: &[Column], combination: &[usize]) -> Row {
    let runs: Vec<_> =
        sweep.runs.iter().zip(records).filter(|(run, _)| run.combination == combination).collect();
    let count = |is: fn(&RunState) -> bool| runs.iter().filter(|(run, _)| is(&run.state)).count();
    let completed: Vec<&Record> =
        runs.iter().filter(|(run, _)| run.state == RunState::Completed).map(|(_, record)| *record).collect();
    let spreads = columns.iter().map(|column| {
        let values: Vec<f64> = completed.iter().filter_map(|record| (column.of)(record)).collect();
        Spread::of(&values)
    });
    let started = runs.iter().filter(|(_, record)| !record.lines.is_empty());
    let epochs: Vec<u64> = started.map(|(_, record)| record.epochs()).collect();
    Row {
        values: sweep.axes.iter().zip(combination).map(|(axis, value)| axis.values[*value].clone()).collect(),
        spreads: spreads.collect(),
        n_completed: completed.len(),
        n_diverged: count(|state| matches!(state, RunState::Diverged(_))),
        n_failed: count(|state| matches!(state, RunState::Failed(_))),
        n_waiting: count(|state| *state == RunState::Waiting),
        epochs: epochs.iter().min().copied().zip(epochs.iter().max().copied()),
    }
}

/// The metrics that were measured, the best value of one of them, the loss and the time.
fn columns(sweep: &SweepState, records: &[Record]) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut names = measured(records);
    names.sort_by_key(|name| sweep.best.as_ref() != Some(name));
    for name in names {
        let metric = metric(sweep, &name);
        columns.push(column(&metric, &name, &name, {
            let name = name.clone();
            move |record| record.last(&name)
        }));
        if sweep.best.as_ref() == Some(&name) {
            let of = metric.clone();
            columns.push(column(&metric, &format!("{name}_best"), &format!("best {name}"), move |record| {
                record.best(&of)
            }));
        }
    }
    let number = |name: &str, n_decimals, of: fn(&Record) -> Option<f64>| Column {
        name: name.into(),
        title: name.into(),
        is_share: false,
        n_decimals,
        of: Box::new(of),
    };
    columns.push(number("loss", 3, |record| record.last("loss")));
    columns.push(number("seconds", 1, |record| Some(record.seconds)));
    columns
}

fn column(
    metric: &MetricKind,
    name: &str,
    title: &str,
    of: impl Fn(&Record) -> Option<f64> + 'static,
) -> Column {
    let (title, n_decimals) =
        if metric.is_share { (format!("{title} (%)"), 1) } else { (title.to_owned(), 3) };
    Column { name: name.into(), title, is_share: metric.is_share, n_decimals, of: Box::new(of) }
}

/// The names of the metrics of monitors.
fn measured(records: &[Record]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in records.iter().flat_map(|record| &record.lines) {
        let of_monitors = line
            .iter()
            .filter(|(name, value)| !is_of_training(name) && (value.is_number() || value.is_null()));
        names.extend(of_monitors.map(|(name, _)| name.clone()));
    }
    names.sort();
    names.dedup();
    names
}

/// The description of `name`. It is unknown if only runs without a result measured it.
fn metric(sweep: &SweepState, name: &str) -> MetricKind {
    let known = sweep.metrics.iter().find(|metric| metric.name == name);
    let unknown = || MetricKind { name: name.into(), is_share: false, more_is_better: true };
    known.cloned().unwrap_or_else(unknown)
}

fn shown(column: &Column, spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return "–".into() };
    let number = |value: f64| {
        let value = if column.is_share { 100.0 * value } else { value };
        format!("{value:.*}", column.n_decimals)
    };
    let Spread { mean, deviation, min, max } = spread;
    match deviation {
        None => number(mean),
        Some(deviation) => {
            format!("{} ± {} ({}–{})", number(mean), number(deviation), number(min), number(max))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::axes::Axis;
    use crate::state::Run;

    fn run(number: usize, combination: usize, seed: u64, state: RunState) -> Run {
        let folder = format!("{number:03}");
        Run {
            folder,
            combination: vec![combination],
            seed,
            n_images: 8,
            state,
            seconds: 10.0 * number as f64,
        }
    }

    fn sweep() -> SweepState {
        let share = MetricKind { name: "knn_top1".into(), is_share: true, more_is_better: true };
        SweepState {
            name: "moco".into(),
            set: vec![],
            axes: vec![Axis::parse(r#"head=("a", ()),("b", (x: 1))"#).unwrap()],
            n_seeds: 2,
            best: Some("knn_top1".into()),
            metrics: vec![share],
            runs: vec![
                run(1, 0, 0, RunState::Completed),
                run(2, 1, 0, RunState::Diverged("the loss is NaN".into())),
                run(3, 0, 1, RunState::Completed),
                run(4, 1, 1, RunState::Waiting),
            ],
        }
    }

    /// `sweep`, with the metrics of its first three runs.
    fn written(sweep: &SweepState) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (run, lines) in [
            (
                0,
                "{\"step\":0,\"epoch\":0,\"knn_top1\":0.9,\"rank\":7.5}\n{\"epoch\":1,\"loss\":3.0,\"knn_top1\":0.5}\n{\"epoch\":2,\"loss\":2.0,\"knn_top1\":0.4,\"rank\":9.0}\n",
            ),
            (1, "{\"step\":0,\"epoch\":0,\"knn_top1\":0.2,\"rank\":7.0,\"shares\":[\"knn_top1\"]}\n"),
            (
                2,
                "{\"step\":0,\"epoch\":0,\"knn_top1\":0.1,\"rank\":8.5}\n{\"epoch\":1,\"loss\":3.5,\"knn_top1\":0.3}\n{\"epoch\":2,\"loss\":2.5,\"knn_top1\":0.6,\"rank\":10.0}\n",
            ),
        ] {
            let path = folder.path().join(&sweep.runs[run].folder);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("metrics.jsonl"), lines).unwrap();
        }
        folder
    }

    #[test]
    fn a_row_tells_of_the_completed_runs_and_marks_the_others() {
        let sweep = sweep();
        let folder = written(&sweep);
        let text = Table::of(&sweep, folder.path()).to_markdown();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
        assert_eq!(
            rows[0],
            [
                "head",
                "runs",
                "knn_top1 (%)",
                "best knn_top1 (%)",
                "rank",
                "loss",
                "seconds",
                "epochs",
                "note"
            ]
        );
        assert_eq!(
            rows[2],
            [
                r#"("a", ())"#,
                "2 of 2",
                "50.0 ± 14.1 (40.0–60.0)",
                "55.0 ± 7.1 (50.0–60.0)",
                "9.500 ± 0.707 (9.000–10.000)",
                "2.250 ± 0.354 (2.000–2.500)",
                "20.0 ± 14.1 (10.0–30.0)",
                "2",
                ""
            ]
        );
        assert_eq!(rows[3][1..], ["0 of 2", "–", "–", "–", "–", "–", "0", "1 diverged, 1 pending"]);
        assert!(text.ends_with("Runs without a result:\n\n- `002` diverged: the loss is NaN\n"), "{text}");
    }

    #[test]
    fn the_file_for_programs_has_a_number_a_field() {
        let sweep = sweep();
        let folder = written(&sweep);
        let text = Table::of(&sweep, folder.path()).to_csv();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("head,completed,diverged,failed,waiting,knn_top1_mean,knn_top1_sd,"),
            "{text}"
        );
        assert!(lines[0].ends_with("seconds_max,epochs_min,epochs_max"), "{text}");
        assert!(lines[1].starts_with(r#""(""a"", ())",2,0,0,0,0.5,0.1414"#), "{text}");
        assert!(lines[1].ends_with(",10,30,2,2"), "{text}");
        assert_eq!(lines[2], format!(r#""(""b"", (x: 1))",0,1,0,1{},0,0"#, ",".repeat(20)));
        let object = Table::of(&sweep, folder.path()).to_json();
        let [first, second] = &object["rows"].as_array().unwrap()[..] else { panic!("{object}") };
        assert_eq!(first["values"], json!({ "head": "(\"a\", ())" }));
        assert_eq!((&first["completed"], &first["results"]["knn_top1"]["mean"]), (&json!(2), &json!(0.5)));
        assert_eq!((&second["diverged"], &second["results"]["loss"]), (&json!(1), &Value::Null));
        assert_eq!(object["lost"][0], "`002` diverged: the loss is NaN");
    }
}
