//! Ctrl-C.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use run_store::let_writes_end;
#[cfg(unix)]
use signal_hook::{
    consts::{SIGUSR1, SIGUSR2},
    iterator::Signals,
};

use crate::failure::{Failure, STOPPED};

/// How long a stop waits for what is being written.
const WRITES_TAKE: Duration = Duration::from_secs(5);

/// Whether nothing would be lost if the program ended now, so that a signal need not wait.
static NOTHING_TO_LOSE: AtomicBool = AtomicBool::new(false);

/// Says whether nothing would be lost if the program ended now: then [`stop_softly`] ends it at once.
pub(crate) fn nothing_to_lose(is_so: bool) {
    NOTHING_TO_LOSE.store(is_so, Ordering::Relaxed);
}

/// The first Ctrl-C sets `stop` and prints `message`, if there is one; the second one ends the program at once.
///
/// SIGUSR1 and SIGUSR2 do what the first one does, however often they come. Schedulers send them before a time limit. A launcher
/// of several processes passes them on to all, and does not end them itself, as it does after Ctrl-C.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn stop_softly(stop: &'static AtomicBool, message: Option<&'static str>) -> Result<(), Failure> {
    let is_first = move || {
        let is_first = !stop.swap(true, Ordering::Relaxed);
        if let (true, Some(message)) = (is_first, message) {
            let _ = writeln!(io::stderr(), "\n{message}");
        }
        is_first
    };
    #[cfg(unix)]
    handle_passed_on(move || {
        is_first();
    })?;
    handle(move || {
        if NOTHING_TO_LOSE.load(Ordering::Relaxed) {
            end();
        }
        if !is_first() {
            std::process::exit(i32::from(STOPPED));
        }
    })
}

/// Sets `stop` and `is_over` when `limit` is over, and says so.
///
/// # Errors
/// If the system has no thread to wait.
pub(crate) fn stop_after(
    limit: Duration,
    stop: &'static AtomicBool,
    is_over: &'static AtomicBool,
) -> Result<(), Failure> {
    let wait = move || {
        thread::sleep(limit);
        // A run that is stopping already was not stopped by its time.
        if !stop.swap(true, Ordering::Relaxed) {
            is_over.store(true, Ordering::Relaxed);
            let _ =
                writeln!(io::stderr(), "\nthe time is up; stopping after this step and saving a checkpoint");
        }
    };
    let started = thread::Builder::new().name("time limit".into()).spawn(wait);
    started.map_err(|error| Failure::plain(format!("the time cannot be limited: {error}")))?;
    Ok(())
}

/// Ctrl-C, SIGUSR1 and SIGUSR2 end the program at once: for a command that writes nothing before its end. What it is writing then
/// is whole or not there, if that takes no longer than [`WRITES_TAKE`].
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn stop_without_a_result() -> Result<(), Failure> {
    #[cfg(unix)]
    handle_passed_on(|| end())?;
    handle(|| end())
}

/// Ends the program between two files that it writes.
fn end() -> ! {
    let _ = writeln!(io::stderr(), "\nstopped");
    let _quiet = let_writes_end(WRITES_TAKE);
    std::process::exit(i32::from(STOPPED));
}

/// A file that gets larger than the system lets it (`ulimit -f`) is an error of the write, as on a full disk; without this it ends
/// the program without a word.
pub(crate) fn let_full_files_be_errors() {
    #[cfg(unix)]
    {
        use std::sync::Arc;

        use signal_hook::consts::SIGXFSZ;

        // Where it cannot be handled, it is as it was.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    }
}

#[cfg(unix)]
fn handle_passed_on(handler: impl Fn() + Send + 'static) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::plain(format!("SIGUSR1 and SIGUSR2 cannot be handled: {error}"));
    let mut signals = Signals::new([SIGUSR1, SIGUSR2]).map_err(failed)?;
    let wait = move || signals.forever().for_each(|_| handler());
    thread::Builder::new().name("sigusr".into()).spawn(wait).map_err(failed)?;
    Ok(())
}

fn handle(handler: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(handler).map_err(|error| Failure::plain(format!("Ctrl-C cannot be handled: {error}")))
}
