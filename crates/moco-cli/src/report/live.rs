//! A page in a browser of this machine, which shows itself anew after each epoch.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use pages::LIVE_CHECK;
use run_store::RunFolder;

use super::Arguments;
use super::http::{Answer, Asked, Server};
use super::watch::{Seen, wait};
use crate::failure::Failure;
use crate::run::WhileRead;

/// A page, and which one it is.
struct Version {
    number: u64,
    page: String,
}

impl Version {
    /// The time is another number after a start of the server anew, too.
    fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let number = NonZeroU64::new(millis).unwrap_or(NonZeroU64::MIN);
        Ok(Self { number: number.get(), page: arguments.page(Some(number))? })
    }
}

/// Serves the page on this machine alone, until `stop` is set.
pub(super) fn serve(
    arguments: &Arguments,
    folders: &[RunFolder],
    port: u16,
    stop: &AtomicBool,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let out = &mut WhileRead(out);
    let server = Server::start(port).map_err(|error| {
        Failure::new(
            format!("the port {port} of this machine cannot be used: {error}"),
            "choose another one with `--serve PORT`; 0 is any free port",
        )
    })?;
    let address = server.address();
    let mut seen = Seen::now(folders);
    let version = Arc::new(Mutex::new(Version::new(arguments)?));
    writeln!(out, "http://{address}/ shows {}; stop with Ctrl-C", crate::text::count(folders.len(), "run"))?;
    out.flush()?;
    let served = Arc::clone(&version);
    let answering = || server.serve(stop, move |asked: &Asked| answer(asked, address, &served));
    thread::scope(|scope| {
        scope.spawn(answering);
        while let Some(now) = wait(folders, &seen, stop) {
            seen = now;
            match Version::new(arguments) {
                Ok(newer) => *version.lock().unwrap_or_else(PoisonError::into_inner) = newer,
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn answer(asked: &Asked, address: SocketAddr, version: &Mutex<Version>) -> Answer {
    const TEXT: &str = "text/plain";
    let is_from_here = asked.host.as_deref().is_some_and(|host| is_this_machine(host, address.port()));
    let version = version.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, content_type, body) = match (asked.method.as_str(), asked.path.as_str()) {
        // A page of another site could have its own name lead here.
        _ if !is_from_here => ("403 Forbidden", TEXT, "this page is for this machine alone\n".into()),
        ("GET", "/") => ("200 OK", "text/html", version.page.clone()),
        ("GET", LIVE_CHECK) => ("200 OK", TEXT, version.number.to_string()),
        _ => ("404 Not Found", TEXT, "there is one page here, /\n".into()),
    };
    Answer { status, content_type, body }
}

fn is_this_machine(host: &str, port: u16) -> bool {
    ["127.0.0.1", "localhost"]
        .iter()
        .any(|name| host == format!("{name}:{port}") || (port == 80 && host == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        assert!(is_this_machine("127.0.0.1:6010", 6010) && is_this_machine("localhost:6010", 6010));
        assert!(is_this_machine("localhost", 80));
        for host in ["example.org:6010", "localhost", "localhost:6011", "localhost.example.org:6010", ""] {
            assert!(!is_this_machine(host, 6010), "{host}");
        }
    }
}
