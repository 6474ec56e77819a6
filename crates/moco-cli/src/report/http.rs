//! As much of HTTP as it takes to show pages to a browser of this machine.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long the server waits before it looks whether it is to stop, or whether somebody has come.
const PAUSE: Duration = Duration::from_millis(50);
/// A request is read within this time, and its answer is taken within as much again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes and headers of a request, at the most.
const MOST_BYTES: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// Connections at a time. A browser opens six.
const MOST_CONNECTIONS: usize = 32;

/// What a browser asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// `GET` for `HEAD`, which asks for the same without its body.
    pub(super) method: String,
    is_head: bool,
    pub(super) path: String,
    /// The name by which it has found this server.
    pub(super) host: Option<String>,
}

/// What it is given.
pub(super) struct Answer {
    /// As `200 OK`.
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

/// A server on this machine, which no other can reach.
pub(super) struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens to `port`, or to a free one if it is 0.
    pub(super) fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is set. Each connection has a thread of its own, so that one that waits keeps nobody else waiting; it
    /// is for one request, and ends with the program at the latest. Beyond the most connections, more are closed.
    pub(super) fn serve(
        &self,
        stop: &AtomicBool,
        answer: impl Fn(&Asked) -> Answer + Clone + Send + 'static,
    ) {
        let open = Arc::new(AtomicUsize::new(0));
        while !stop.load(Ordering::Relaxed) {
            let Ok((stream, _)) = self.listener.accept() else {
                thread::sleep(PAUSE);
                continue;
            };
            if open.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
                continue;
            }
            let counted = Counted::new(&open);
            let answer = answer.clone();
            let talk = move || {
                let _counted = counted;
                // A connection that breaks is the browser's business.
                let _ = talk(stream, answer);
            };
            // Without a thread, the browser asks again.
            let _ = thread::Builder::new().name("page".into()).spawn(talk);
        }
    }
}

/// One of the connections that are open.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn talk(mut stream: TcpStream, answer: impl Fn(&Asked) -> Answer) -> io::Result<()> {
    // On some systems it is as its listener is.
    stream.set_nonblocking(false)?;
    let asked = read(&mut stream)?;
    let is_head = asked.as_ref().is_some_and(|asked| asked.is_head);
    let answer = match asked {
        Some(asked) => answer(&asked),
        None => Answer {
            status: "400 Bad Request",
            content_type: "text/plain",
            body: "this is no request that is answered here\n".into(),
        },
    };
    let Answer { status, content_type, body } = answer;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = if is_head { "" } else { &*body };
    write(&mut stream, &[head.as_bytes(), body.as_bytes()].concat())
}

fn write(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let started = Instant::now();
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left_since(started)?))?;
        match stream.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => bytes = &bytes[n..],
        }
    }
    Ok(())
}

/// What is left of the time that somebody has.
fn left_since(started: Instant) -> io::Result<Duration> {
    match PATIENCE.saturating_sub(started.elapsed()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// The request; `None` for what is none, or too long.
fn read(stream: &mut TcpStream) -> io::Result<Option<Asked>> {
    let started = Instant::now();
    let mut bytes = Vec::new();
    let mut chunk = [0; 2048];
    while bytes.len() <= MOST_BYTES {
        stream.set_read_timeout(Some(left_since(started)?))?;
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk[..n]);
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(_)) => {
                let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
                let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
                let is_head = request.method == Some("HEAD");
                return Ok(Some(Asked {
                    method: if is_head { "GET".into() } else { text(request.method) },
                    is_head,
                    path: text(request.path),
                    host: host.map(|host| String::from_utf8_lossy(host.value).into_owned()),
                }));
            }
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server that repeats the path says to what is `sent`, while another client has asked for much and reads nothing.
    fn told(sent: &[u8]) -> String {
        let server = Server::start(0).unwrap();
        let stop = AtomicBool::new(false);
        let body = |asked: &Asked| match asked.path.as_str() {
            "/large" => "x".repeat(64 << 20),
            path => format!("{} {path} {}", asked.method, asked.host.as_deref().unwrap_or("nobody")),
        };
        let answer =
            move |asked: &Asked| Answer { status: "200 OK", content_type: "text/plain", body: body(asked) };
        let mut told = String::new();
        thread::scope(|scope| {
            scope.spawn(|| server.serve(&stop, answer));
            // A panic here ends the scope as well.
            let _stops = Stops(&stop);
            let mut idle = TcpStream::connect(server.address()).unwrap();
            idle.write_all(b"GET /large HTTP/1.1\r\n\r\n").unwrap();
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // It may have been answered before all is sent.
            let _ = stream.write_all(sent);
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            told = String::from_utf8(bytes).unwrap();
        });
        told
    }

    struct Stops<'a>(&'a AtomicBool);

    impl Drop for Stops<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_request_is_answered_while_another_waits() {
        let told = told(b"GET /page HTTP/1.1\r\nhost: localhost:80\r\n\r\n");
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
        assert!(told.ends_with("\r\n\r\nGET /page localhost:80"), "{told}");
    }

    #[test]
    fn of_what_only_the_head_is_asked_for_only_that_is_sent() {
        let told = told(b"HEAD /page HTTP/1.1\r\n\r\n");
        assert!(told.contains("Content-Length: 16\r\n") && told.ends_with("\r\n\r\n"), "{told}");
    }

    #[test]
    fn what_is_no_request_is_refused_and_so_is_one_without_an_end() {
        assert!(told(b"hello\r\n\r\n").starts_with("HTTP/1.1 400 "));
        let mut endless = b"GET / HTTP/1.1\r\nname: ".to_vec();
        endless.resize(MOST_BYTES + 1, b'x');
        let told = told(&endless);
        assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    }
}
