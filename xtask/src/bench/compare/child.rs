//! One run of one of the two programs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use moco_cli::Failure;

/// The command, before the arguments of a row.
pub(super) struct Program {
    executable: PathBuf,
    first: Vec<OsString>,
}

/// The result that a run prints; other keys are ignored.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Measured {
    /// Name and version.
    pub(super) system: String,
    /// Images per second.
    pub(super) images_per_s: f64,
    /// The peak memory of the process; `None` if the system does not report it.
    pub(super) peak_mib: Option<f64>,
}

impl Program {
    /// `executable` with `first` as its first arguments.
    pub(super) fn new(executable: impl Into<PathBuf>, first: impl IntoIterator<Item = OsString>) -> Self {
        Self { executable: executable.into(), first: first.into_iter().collect() }
    }

    /// Runs a process of its own to the end, so that its memory is its own.
    ///
    /// # Errors
    /// If it does not start, fails, or prints no measurement.
    pub(super) fn measure(&self, arguments: &[String]) -> Result<Measured, Failure> {
        let executable = self.executable.display();
        let output =
            Command::new(&self.executable).args(&self.first).args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            Failure::new(
                format!("`{executable}` cannot be started: {error}"),
                "`--python` names a Python with PyTorch, such as `bin/python` of a virtual environment",
            )
        })?;
        if !output.status.success() {
            let reason = reason(&String::from_utf8_lossy(&output.stderr));
            let reason = reason.unwrap_or_else(|| output.status.to_string());
            return Err(failed(format!("{executable} {}", arguments.join(" ")), &reason));
        }
        last_measured(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
            Failure::new(
                format!("`{executable}` printed no measurement"),
                "the last line of its output must be a JSON object with `system`, `images_per_s` and `peak_mib`",
            )
        })
    }
}

fn failed(command: String, reason: &str) -> Failure {
    let message = format!("`{command}` failed: {reason}");
    if reason.starts_with("ModuleNotFoundError") {
        return Failure::new(
            message,
            "install the module into this Python, or use another one with `--python`",
        );
    }
    Failure::new(message, "run the command by itself to see its full output")
}

/// The start of our own errors, or else the last line, where Python prints the exception.
fn reason(stderr: &str) -> Option<String> {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let ours = lines().find_map(|line| line.strip_prefix("error: "));
    ours.or_else(|| lines().next_back()).map(str::to_owned)
}

/// Libraries print too, so the last line that is a measurement counts.
fn last_measured(stdout: &str) -> Option<Measured> {
    let measured = stdout.lines().rev().find_map(|line| serde_json::from_str::<Measured>(line).ok())?;
    (measured.images_per_s.is_finite() && measured.images_per_s > 0.0).then_some(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measurement_is_found_among_other_lines() {
        let said = "\
            compiling\n\
            {\"images_per_s\": 1}\n\
            {\"system\": \"pytorch 2\", \"arch\": \"vit\", \"images_per_s\": 12.5, \"peak_mib\": 900}\n\
            done\n";
        let expected = Measured { system: "pytorch 2".into(), images_per_s: 12.5, peak_mib: Some(900.0) };
        assert_eq!(last_measured(said), Some(expected));
    }

    #[test]
    fn no_measurement_is_made_of_nonsense() {
        for said in ["", "12.5", "{}", "{\"system\": \"a\", \"images_per_s\": 0, \"peak_mib\": 1}"] {
            assert_eq!(last_measured(said), None, "{said}");
        }
    }

    #[test]
    fn memory_may_be_unknown() {
        let said = "{\"system\": \"moco-rs\", \"images_per_s\": 3, \"peak_mib\": null}";
        assert_eq!(last_measured(said).and_then(|measured| measured.peak_mib), None);
    }

    #[test]
    fn the_reason_is_the_exception_or_our_error() {
        let python =
            "Traceback (most recent call last):\n  File \"a.py\", line 1\nModuleNotFoundError: No module\n\n";
        assert_eq!(reason(python).as_deref(), Some("ModuleNotFoundError: No module"));
        assert_eq!(reason("error: too wide\nhint: be narrow\n").as_deref(), Some("too wide"));
        assert_eq!(reason("\n"), None);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Program::new("no/such/python", []).measure(&[]).unwrap_err().to_string();
        assert!(error.starts_with("`no/such/python` cannot be started: "), "{error}");
    }
}
