//! `moco runs`: what runs there are, what they are worth, and how they differ.

mod compare;
mod list;
mod newest;
mod remove;
mod row;
mod show;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use moco::RUNS as ROOT;

pub(crate) use self::newest::{newest, newest_of};
use crate::failure::Failure;

/// List runs, show one, compare several, or remove some.
///
/// Without a subcommand, prints a table of the runs in DIR, those that were started last at the end: how each stands, epochs
/// done, the best value of the metric that decides which checkpoint is kept as the best, loss, the time that its epochs took,
/// and the room that its files take.
///
/// A run is `training` while a process has its lock, `complete` when all epochs are done, `ended early` when its metric got no
/// better, `stopped` or `interrupted` (killed) when it can be resumed, and `failed` when training ended with an error.
///
/// Wherever a command takes a run, its name is enough if it is in `runs/`: `moco knn mocov2-001`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: list::Arguments,
}

#[derive(clap::Subcommand)]
enum Command {
    Show(show::Arguments),
    Compare(compare::Arguments),
    Rm(remove::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  moco runs
  moco runs runs/sweep-mocov2-001                the runs of a sweep
  moco runs --csv > runs.csv
  moco runs show mocov2-001                      all metrics, and the checkpoints
  moco runs compare mocov2-001 mocov2-002        what differs in their pipelines, and what came of it
  moco runs rm mocov2-001 mocov2-002";

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    match &arguments.command {
        None => list::run(&arguments.list, out),
        Some(Command::Show(arguments)) => show::run(arguments, out),
        Some(Command::Compare(arguments)) => compare::run(arguments, out),
        Some(Command::Rm(arguments)) => remove::run(arguments, out),
    }
}

/// Run folders, or the names of runs in `runs/`.
fn opened(runs: &[PathBuf]) -> Result<Vec<moco::runs::RunReport>, Failure> {
    runs.iter().map(|run| Ok(moco::runs::RunReport::of(moco::OpenRun::folder_of(run)?))).collect()
}
