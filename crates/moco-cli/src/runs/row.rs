//! A run in few words, and as JSON.

use moco::runs::{MetricCourse, RunReport, RunState};
use run_store::metrics::Best;
use serde_json::{Value, json};

use crate::json;
use crate::run::format_seconds;

/// What stands where nothing is known.
pub(super) const NOTHING: &str = "-";

/// `3 of 26`.
pub(super) fn epochs(report: &RunReport) -> String {
    match report.epochs {
        Some(epochs) => format!("{} of {epochs}", report.epochs_done),
        None => report.epochs_done.to_string(),
    }
}

/// `61.2 % (epoch 8)`.
pub(super) fn best(course: &MetricCourse) -> String {
    let shown = |best: Best| format!("{} (epoch {})", value_of(course, best.value), best.epoch);
    course.best.map_or_else(|| NOTHING.into(), shown)
}

pub(super) fn last(course: &MetricCourse) -> String {
    value_of(course, course.last)
}

/// Shares in per cent, as everywhere.
fn value_of(course: &MetricCourse, of: f64) -> String {
    if course.kind.is_share { format!("{:.1} %", 100.0 * of) } else { value(of) }
}

/// As `metrics.jsonl` has it, with fewer digits.
fn value(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:.2e}") } else { format!("{value:.3}") }
}

pub(super) fn loss(report: &RunReport) -> String {
    report.loss.map_or_else(|| NOTHING.into(), value)
}

pub(super) fn took(report: &RunReport) -> String {
    if report.took.is_zero() { NOTHING.into() } else { format_seconds(report.took.as_secs_f64()) }
}

/// `2026-11-29 11:44`, in UTC.
pub(super) fn started(report: &RunReport) -> String {
    let moment = report.started.map(json::moment).unwrap_or_else(|| NOTHING.into());
    moment.replace('T', " ").chars().take("2026-11-29 11:44".len()).collect()
}

fn metric(course: &MetricCourse) -> Value {
    json!({
        "name": course.name,
        "best": course.best.map(|best| best.value),
        "best_epoch": course.best.map(|best| best.epoch),
        "last": course.last,
        "is_share": course.kind.is_share,
        "more_is_better": course.kind.more_is_better,
    })
}

/// The fields that every list of runs has.
pub(super) fn as_json(report: &RunReport) -> Value {
    let (error, pid) = match &report.state {
        RunState::Failed { error } => (Some(error.clone()), None),
        RunState::EndedEarly(early_stop) => (Some(early_stop.to_string()), None),
        RunState::Training { pid } => (None, *pid),
        _ => (None, None),
    };
    json!({
        "name": report.name(),
        "path": report.folder.path().display().to_string(),
        "state": report.state.word(),
        "reason": error,
        "process": pid,
        "epochs_done": report.epochs_done,
        "epochs": report.epochs,
        "steps_done": report.steps_done,
        "loss": report.loss,
        "metrics": report.metrics.iter().map(metric).collect::<Vec<_>>(),
        "seconds": report.took.as_secs_f64(),
        "bytes": report.n_bytes,
        "started": report.started.map(json::moment),
        "started_from": report.origin,
        "unreadable_images": report.n_unreadable,
        "problems": report.problems,
    })
}
