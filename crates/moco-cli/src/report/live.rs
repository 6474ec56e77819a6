//! A page in a browser of this machine, which shows itself anew after each epoch.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pages::LIVE_CHECK;
use run_store::RunFolder;
use tiny_http::{Header, Method, Request, Response, Server};

use super::Arguments;
use super::watch::{Seen, wait};
use crate::failure::Failure;
use crate::run::WhileRead;

/// How long the server waits before it looks whether it is to stop.
const PAUSE: Duration = Duration::from_millis(300);

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
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Server::http(address).map_err(|error| {
        Failure::new(
            format!("the port {port} of this machine cannot be used: {error}"),
            "choose another one with `--serve PORT`; 0 is any free port",
        )
    })?;
    let address = server.server_addr().to_ip().unwrap_or(address);
    let mut seen = Seen::now(folders);
    let version = Mutex::new(Version::new(arguments)?);
    writeln!(out, "http://{address}/ shows {}; stop with Ctrl-C", crate::text::count(folders.len(), "run"))?;
    out.flush()?;
    let answering = || {
        while !stop.load(Ordering::Relaxed) {
            // A connection that breaks is the browser's business.
            if let Ok(Some(request)) = server.recv_timeout(PAUSE) {
                answer(request, address, &version);
            }
        }
    };
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

fn answer(request: Request, address: SocketAddr, version: &Mutex<Version>) {
    let is_from_here = host(&request).is_some_and(|host| is_this_machine(host, address.port()));
    let header =
        |name: &str, value: &str| Header::from_bytes(name, value).expect("names and values are ASCII");
    let response = {
        let version = version.lock().unwrap_or_else(PoisonError::into_inner);
        match (request.method(), request.url()) {
            // A page of another site could have its own name lead here.
            _ if !is_from_here => {
                Response::from_string("this page is for this machine alone\n").with_status_code(403)
            }
            (Method::Get, "/") => Response::from_string(version.page.clone())
                .with_header(header("Content-Type", "text/html; charset=utf-8")),
            (Method::Get, LIVE_CHECK) => Response::from_string(version.number.to_string()),
            _ => Response::from_string("there is one page here, /\n").with_status_code(404),
        }
    };
    let _ = request.respond(response.with_header(header("Cache-Control", "no-store")));
}

fn host(request: &Request) -> Option<&str> {
    let mut headers = request.headers().iter();
    headers.find(|header| header.field.equiv("Host")).map(|header| header.value.as_str())
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
