//! Removes runs.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use moco::runs::{Removed, RunReport, removable, remove};

use super::row;
use crate::failure::Failure;
use crate::text;

/// Remove runs: the files that they have written, and no others.
///
/// Asks first. A run that is in use, a link, a run of a sweep and a folder that is no run are refused, before anything is
/// removed. What else lies in the folder of a run stays there, and is named. Nothing can be brought back.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Run folders, or names of runs in `runs/`.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let paths: Vec<PathBuf> = arguments.runs.iter().map(|run| moco::find_run(run)).collect();
    for path in &paths {
        if !path.exists() {
            return Err(moco::RunError::Missing { path: path.clone() }.into());
        }
        let report = RunReport::of(removable(path)?);
        if !arguments.yes {
            let (epochs, size) = (row::epochs(&report), text::bytes(report.n_bytes));
            writeln!(out, "{}: {}, {epochs} epochs, {size}", path.display(), report.state.word())?;
        }
    }
    if !arguments.yes && !agreed(out, paths.len())? {
        writeln!(out, "nothing was removed")?;
        return Ok(ExitCode::FAILURE);
    }
    for path in &paths {
        let Removed { n_files, left, .. } = remove(path)?;
        writeln!(out, "{}: removed {}", path.display(), text::count(n_files, "file"))?;
        for path in left {
            writeln!(out, "  left: {}", path.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the user wants it.
fn agreed(out: &mut dyn Write, n: usize) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is nobody to ask: standard input is no terminal",
            "to remove runs without being asked, add `--yes`",
        ));
    }
    write!(out, "remove {}? [y/N] ", if n == 1 { "it".to_owned() } else { format!("these {n} runs") })?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
