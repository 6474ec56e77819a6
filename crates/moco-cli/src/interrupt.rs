//! Ctrl-C.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::{Failure, STOPPED};

/// The first Ctrl-C sets `stop` and prints `message`, if there is one; the second one ends the program at once.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn stop_softly(stop: &'static AtomicBool, message: Option<&'static str>) -> Result<(), Failure> {
    handle(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(STOPPED));
        }
        if let Some(message) = message {
            let _ = writeln!(io::stderr(), "\n{message}");
        }
    })
}

/// Ctrl-C ends the program at once: for a command that writes nothing before its end.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn stop_without_a_result() -> Result<(), Failure> {
    handle(|| {
        let _ = writeln!(io::stderr(), "\nstopped; nothing was written");
        std::process::exit(i32::from(STOPPED));
    })
}

fn handle(handler: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(handler).map_err(|error| Failure::plain(format!("Ctrl-C cannot be handled: {error}")))
}
