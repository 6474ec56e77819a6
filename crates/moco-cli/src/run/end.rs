//! What is told when a run has ended.

use std::io::{self, Write};

use moco::Summary;
use run_store::RunFolder;

use crate::program::program;
use crate::text;

/// What the run has reached, and what to do with it.
pub(super) fn print_summary(
    out: &mut dyn Write,
    run: &RunFolder,
    summary: &Summary,
    started_as: &str,
    has_labels: bool,
) -> io::Result<()> {
    if summary.n_steps == 0 {
        let (program, run) = (program(), run.path().display());
        writeln!(
            out,
            "this run is already complete: {run}\n  go on with: {program} run --from {run} --epochs N"
        )?;
    } else {
        writeln!(out, "done in {}: {}", format_seconds(summary.took.as_secs_f64()), run.path().display())?;
    }
    if let Some(early_stop) = &summary.early_stop {
        writeln!(out, "  ended early: {early_stop}")?;
    }
    if summary.after.is_empty() && summary.before.is_empty() {
        let (program, run) = (program(), run.path().display());
        match has_labels {
            true => writeln!(out, "  evaluate with: {program} knn {run}")?,
            false => writeln!(
                out,
                "  look at its neighbors: {program} neighbors {run} --split train -o neighbors.html"
            )?,
        }
    }
    for metric in &summary.after {
        let before = summary.before.iter().find(|before| before.name == metric.name);
        let before =
            before.map(|before| format!(", {started_as} {}", before.shown_value())).unwrap_or_default();
        writeln!(out, "  {} {}{before} ({})", metric.name, metric.shown_value(), metric.protocol)?;
    }
    if summary.n_unreadable > 0 {
        let images = text::count(summary.n_unreadable, "unreadable image");
        writeln!(out, "  {images}, listed in {}", run.unreadable().display())?;
    }
    Ok(())
}

pub(crate) fn format_seconds(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    if seconds < 1.5 * MINUTE {
        format!("{seconds:.0} s")
    } else if seconds < 3.0 * HOUR {
        format!("{:.1} min", seconds / MINUTE)
    } else {
        format!("{:.1} h", seconds / HOUR)
    }
}
