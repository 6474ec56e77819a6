//! Running the program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Map, Value};

/// How the program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The outcome, which must be a success.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// What standard error says, of a program that must have failed with exit code 1 and without a panic.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self.stderr
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Runs the program in `folder`, to its end.
pub(crate) fn xtask<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Outcome {
    start(folder, arguments).wait_with_output().unwrap().into()
}

/// Starts the program in `folder`.
pub(crate) fn start<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Child {
    command(folder, arguments).spawn().unwrap()
}

/// The program, to be run in `folder`.
pub(crate) fn command<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_program-under-test"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The root of the repository.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of this folder.
pub(crate) fn here(name: &str) -> String {
    workspace().join("tests").join(name).display().to_string()
}

/// The steps that have a checkpoint in the run at `run`, oldest first.
pub(crate) fn checkpoint_steps(run: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    let mut steps: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
        })
        .collect();
    steps.sort_unstable();
    steps
}

/// The checkpoint of `step` in the run at `run`.
pub(crate) fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join(format!("checkpoints/step-{step:08}.safetensors"))
}

/// The lines of a run's `metrics.jsonl`, each of which must be a JSON object.
pub(crate) fn metrics(run: &Path) -> Vec<Map<String, Value>> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether two files have the same bytes. (`assert_eq` would print both.)
pub(crate) fn same_bytes(a: &Path, b: &Path) -> bool {
    std::fs::read(a).unwrap() == std::fs::read(b).unwrap()
}

/// Checks that two runs have ended with the same bits: last and best checkpoint, and all metrics but those of the clock.
#[track_caller]
pub(crate) fn assert_same_runs(run: &Path, other: &Path) {
    let (last, other_last) = (checkpoint_steps(run).last().copied(), checkpoint_steps(other).last().copied());
    assert_eq!(last, other_last, "{}", run.display());
    let last = last.expect("a run has checkpoints");
    assert!(same_bytes(&checkpoint(run, last), &checkpoint(other, last)), "the last steps differ");
    let best = |run: &Path| run.join("checkpoints/best.safetensors");
    assert!(same_bytes(&best(run), &best(other)), "the best checkpoints differ");
    assert_eq!(results(run), results(other));
}

/// The metrics, without what depends on the clock.
fn results(run: &Path) -> Vec<Map<String, Value>> {
    let mut lines = metrics(run);
    for line in &mut lines {
        line.retain(|name, _| !["seconds", "images_per_s", "data_wait_share"].contains(&name.as_str()));
    }
    lines
}
