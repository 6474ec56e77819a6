//! Output that may lose its reader.

use std::io::{self, Write};

use crate::output::is_terminal_gone;

/// Standard output while it has a reader: a run does not end when `head` does.
pub(crate) struct WhileRead<'a>(pub(crate) &'a mut dyn Write);

impl Write for WhileRead<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if is_reader_gone(&error) => Ok(bytes.len()),
            outcome => outcome,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if is_reader_gone(&error) => Ok(()),
            outcome => outcome,
        }
    }
}

fn is_reader_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe || is_terminal_gone(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_run_goes_on_when_nobody_reads_what_it_says() {
        let mut closed = Closed;
        let mut out = WhileRead(&mut closed);
        writeln!(out, "data").unwrap();
        out.flush().unwrap();
    }
}
