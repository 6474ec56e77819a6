//! Standard output: what cannot be written is told by its name, and what a name has in it does nothing to a terminal.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use run_store::shown;

/// Standard output, or what stands for it.
pub(crate) struct Output<W> {
    inner: W,
    is_terminal: bool,
}

/// Why standard output cannot be written.
#[derive(Debug)]
enum NotWritten {
    /// What the system says.
    Failed(io::Error),
    /// The terminal was closed.
    TerminalGone,
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "standard output cannot be written: {error}"),
            Self::TerminalGone => f.write_str("the terminal was closed"),
        }
    }
}

impl Error for NotWritten {}

/// Whether `error` says that the terminal of standard output was closed.
pub(crate) fn is_terminal_gone(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(NotWritten::TerminalGone))
}

/// Standard output.
pub(crate) fn stdout() -> Output<io::Stdout> {
    let inner = io::stdout();
    // Later, a terminal that was closed is none any more.
    let is_terminal = inner.is_terminal();
    Output { inner, is_terminal }
}

impl<W> Output<W> {
    fn told(&self, error: io::Error) -> io::Error {
        match error.kind() {
            // A reader that has seen enough, and a signal, are no failures.
            io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted => error,
            kind if self.is_terminal && is_hung_up(&error) => io::Error::new(kind, NotWritten::TerminalGone),
            kind => io::Error::new(kind, NotWritten::Failed(error)),
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.is_terminal {
            true => self.inner.write_all(shown(&String::from_utf8_lossy(bytes)).as_bytes()),
            false => return self.inner.write(bytes).map_err(|error| self.told(error)),
        };
        written.map(|()| bytes.len()).map_err(|error| self.told(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().map_err(|error| self.told(error))
    }
}

/// Whether a terminal answers so when it was closed.
#[cfg(unix)]
fn is_hung_up(error: &io::Error) -> bool {
    /// Input/output error.
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
}

#[cfg(not(unix))]
fn is_hung_up(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(i32);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(self.0))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn error(code: i32, is_terminal: bool) -> io::Error {
        writeln!(Output { inner: Failing(code), is_terminal }, "a line").unwrap_err()
    }

    #[cfg(unix)]
    #[test]
    fn a_full_disk_is_told_with_what_cannot_be_written() {
        let full = error(28, false);
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(full.to_string().starts_with("standard output cannot be written: No space left"), "{full}");
        assert_eq!(error(32, false).kind(), io::ErrorKind::BrokenPipe);
    }

    #[cfg(unix)]
    #[test]
    fn a_closed_terminal_is_told_from_a_broken_disk() {
        assert!(is_terminal_gone(&error(5, true)));
        assert!(!is_terminal_gone(&error(5, false)) && !is_terminal_gone(&error(28, true)));
    }

    #[test]
    fn names_do_nothing_to_a_terminal_and_files_get_them_as_they_are() {
        let written = |is_terminal| {
            let mut out = Output { inner: Vec::new(), is_terminal };
            writeln!(out, "a\x1b[2Jb\tc").unwrap();
            out.flush().unwrap();
            String::from_utf8(out.inner).unwrap()
        };
        assert_eq!(written(true), "a\\u{1b}[2Jb\tc\n");
        assert_eq!(written(false), "a\x1b[2Jb\tc\n");
    }
}
