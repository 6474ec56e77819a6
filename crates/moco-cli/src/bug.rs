//! Panics: bugs of this program, which say so.

use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::program::program;
use crate::shell;

/// The folder of the run that is trained.
static RUN: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Whether a panic was told: those that follow are of no use to the reader.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// Has panics tell in one message that they are bugs, where to report them, and what is not lost. With `RUST_BACKTRACE` there is
/// a backtrace as well.
pub(crate) fn tell() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        // The decoder of a damaged image, which is told as unreadable.
        if datasets::is_decoding() {
            return;
        }
        if !IS_TOLD.swap(true, Ordering::Relaxed) {
            let run = RUN.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // If even this cannot be written, the exit code still tells.
            let _ = io::stderr().write_all(message(&what(info), run.as_deref()).as_bytes());
        }
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            usual(info);
        }
    }));
}

/// Says which run is trained from now on.
pub(crate) fn trains(run: &Path) {
    *RUN.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.to_owned());
}

fn what(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message");
    let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("panicked{place}: {text}")
}

fn message(what: &str, run: Option<&Path>) -> String {
    let mut message = format!(
        "\nerror: this is a bug in {} {}: it {}\n\
         hint: please report it, with this message and the command, where you have the program from; `RUST_BACKTRACE=1` before \
         the command adds what the developers need\n",
        program(),
        env!("CARGO_PKG_VERSION"),
        run_store::shown(what)
    );
    if let Some(run) = run {
        let run = shell::path(run);
        message += &format!(
            "hint: the run is in {run}; its last checkpoint is good, and `{} run --resume {run}` goes on from there\n",
            program()
        );
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_says_what_to_report_and_what_is_not_lost() {
        let text = message("panicked at src/a.rs:3:5: no such row", Some(Path::new("runs/moco-001")));
        assert!(
            text.contains("this is a bug in ") && text.contains("it panicked at src/a.rs:3:5: no such row")
        );
        assert!(text.contains("run --resume runs/moco-001`"), "{text}");
        assert!(!message("panicked", None).contains("checkpoint"));
    }
}
