//! `mpirun` below this program, which `--ranks` starts: what a signal does to it, and its exit code.

use std::io;
use std::process::{Command, ExitCode};

/// Runs `mpirun` to its end.
///
/// The first Ctrl-C or SIGTERM reaches its processes as SIGUSR1, after which they finish their step and save. `mpirun` itself would
/// kill them a second after a Ctrl-C; and if it waited longer, it would also wait for those that a failed process leaves behind.
/// The second signal ends `mpirun` and them.
#[cfg(unix)]
pub(crate) fn run(mpirun: &mut Command) -> io::Result<ExitCode> {
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::Stdio;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use rustix::process::Pid;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    use crate::failure::STOPPED;

    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    // In a group of its own, it does not get the Ctrl-C of a terminal. Nor may it read from there.
    let mut child = mpirun.process_group(0).stdin(Stdio::null()).spawn()?;
    let pid = Pid::from_child(&child);
    let is_stopping = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_stopping);
    let (ask, when_asked) = mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            asked.store(true, Ordering::Relaxed);
            // After the second one, nobody listens.
            let _ = ask.send(());
        }
    })?;
    thread::Builder::new().name("stop".into()).spawn(move || stop(pid, &when_asked))?;
    let status = child.wait()?;
    if !status.success() && is_stopping.load(Ordering::Relaxed) {
        return Ok(ExitCode::from(STOPPED));
    }
    Ok(exit_code(status.code().or_else(|| status.signal().map(|signal| 128 + signal))))
}

/// Runs `mpirun` to its end.
#[cfg(not(unix))]
pub(crate) fn run(mpirun: &mut Command) -> io::Result<ExitCode> {
    Ok(exit_code(mpirun.status()?.code()))
}

/// Stops `mpirun` when asked: softly, and at once when asked again.
#[cfg(unix)]
fn stop(mpirun: rustix::process::Pid, asked: &std::sync::mpsc::Receiver<()>) {
    use std::sync::mpsc::RecvTimeoutError;
    use std::time::Duration;

    use rustix::process::{Signal, kill_process};

    if asked.recv().is_err() {
        return;
    }
    let mut pause = Duration::from_millis(500);
    loop {
        // It may have ended by itself.
        let _ = kill_process(mpirun, Signal::USR1);
        // A signal that comes before it has started its processes is lost.
        match asked.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => pause *= 2,
            Ok(()) => break,
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
    let _ = kill_process(mpirun, Signal::TERM);
}

fn exit_code(code: Option<i32>) -> ExitCode {
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
