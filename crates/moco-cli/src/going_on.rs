//! Trainings of classifiers that stop and go on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use moco::evaluation::{Course, EvaluationError};
use run_store::checkpoint::Snapshot;
use run_store::{ResultFolder, RunFolder, UnfinishedFolder};

use crate::failure::{Failure, STOPPED};
use crate::new_file;
use crate::program::program;
use crate::run::stop_on_signal;
use crate::shell::{self, quoted};

/// Where a training writes, and what it goes on from.
#[derive(clap::Args)]
pub(crate) struct PlaceArguments {
    /// Output folder, which must not exist [default: the next number in RUN/evaluations].
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Go on with a training that was stopped, given by its folder. Repeat the options that it was started with; workers and
    /// threads may be others.
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
}

/// A training under way.
pub(crate) struct UnderWay {
    folder: UnfinishedFolder,
    from: Option<Snapshot>,
}

static STOP: AtomicBool = AtomicBool::new(false);

impl PlaceArguments {
    /// The folder for results that are written at the end only.
    ///
    /// # Errors
    /// If it exists or cannot be written.
    pub(crate) fn folder(&self, run: &RunFolder, name: &'static str) -> Result<UnderWay, Failure> {
        let folder = ResultFolder::new(run, name, self.out.as_deref())?;
        Ok(UnderWay { folder: UnfinishedFolder::new(folder), from: None })
    }

    /// Fails if the disk of the results has no room for about `n_bytes`.
    ///
    /// # Errors
    /// If less is free.
    pub(crate) fn check_room(&self, run: &RunFolder, n_bytes: u64) -> Result<(), Failure> {
        let given = self.out.as_deref().or(self.resume.as_deref());
        // The folder of evaluations may not be there yet.
        new_file::check_room(given.unwrap_or(&run.path().join("evaluations")), n_bytes)
    }

    /// The folder of a training that begins, or goes on.
    ///
    /// # Errors
    /// If it exists or cannot be written; or if there is nothing in it to go on from.
    pub(crate) fn open(&self, run: &RunFolder, name: &'static str) -> Result<UnderWay, Failure> {
        match &self.resume {
            None => self.folder(run, name),
            Some(path) => {
                let (folder, snapshot) = UnfinishedFolder::open(&moco::find_run(path))?;
                Ok(UnderWay { folder, from: Some(snapshot) })
            }
        }
    }
}

impl UnderWay {
    /// Runs `train`, which Ctrl-C stops; `None` if it was stopped, and all that is needed to go on is saved.
    ///
    /// # Errors
    /// Those of `train`, and if signals cannot be handled.
    pub(crate) fn run<T>(
        &mut self,
        train: impl FnOnce(&mut Course<'_>) -> Result<Option<T>, EvaluationError>,
    ) -> Result<Option<T>, EvaluationError> {
        let Self { folder, from } = self;
        let mut course =
            Course { from: from.as_ref(), stop: &STOP, save: &mut |snapshot| Ok(folder.save(snapshot)?) };
        train(&mut course)
    }

    /// Ctrl-C, SIGTERM and the signals of schedulers stop the training after its step.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub(crate) fn stop_on_signals(&self) -> Result<(), Failure> {
        stop_on_signal(&STOP)
    }

    /// Set by a signal, once [`stop_on_signals`](Self::stop_on_signals) was called.
    pub(crate) fn stop(&self) -> &'static AtomicBool {
        &STOP
    }

    /// Writes the results, by name; the first comes last.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn finish(self, files: &[(&str, Vec<u8>)]) -> Result<PathBuf, Failure> {
        Ok(self.folder.finish(files)?)
    }

    /// Says how to go on with what was stopped.
    ///
    /// # Errors
    /// If nobody reads it.
    pub(crate) fn say_stopped(&self, out: &mut dyn Write) -> Result<ExitCode, Failure> {
        let path = self.folder.path().unwrap_or(Path::new("."));
        writeln!(out, "stopped; {} has what is needed to go on", path.display())?;
        let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
        writeln!(out, "resume with: {} {}", program(), to_go_on(arguments, path))?;
        Ok(ExitCode::from(STOPPED))
    }
}

/// The arguments of the command that goes on with what `arguments` have started.
fn to_go_on(arguments: impl Iterator<Item = String>, path: &Path) -> String {
    let mut parts = Vec::new();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--out" | "--resume" => drop(arguments.next()),
            other if other.starts_with("--out=") || other.starts_with("--resume=") => {}
            _ => parts.push(quoted(&argument)),
        }
    }
    parts.push("--resume".into());
    parts.push(shell::path(path));
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_has_the_same_options_and_the_folder() {
        let command = |text: &str| {
            to_go_on(text.split(' ').map(str::to_owned), Path::new("runs/a b/evaluations/linear-001"))
        };
        let expected = "linear runs/a --epochs 5 --resume 'runs/a b/evaluations/linear-001'";
        assert_eq!(command("linear runs/a --epochs 5"), expected);
        assert_eq!(command("linear runs/a --out x --epochs 5"), expected);
        assert_eq!(command("linear runs/a --resume=x --epochs 5"), expected);
    }
}
