//! The log of a run: what was told while it trained.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::{RunFolder, RunFolderError};

/// Appends to `run.log`, each line with the time in UTC. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct RunLog(Arc<Mutex<File>>);

impl RunLog {
    /// Opens the log of `run`, or creates it.
    ///
    /// # Errors
    /// If it cannot be opened for writing.
    pub fn open(run: &RunFolder) -> Result<Self, RunFolderError> {
        let path = run.log();
        let file = OpenOptions::new().append(true).create(true).open(&path);
        Ok(Self(Arc::new(Mutex::new(file.map_err(RunFolderError::io("open", &path))?))))
    }

    /// Adds the lines of `text`. A full disk does not end a run for its log; what the run needs is checked where it is written.
    pub fn line(&self, text: &str) {
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        let lines: String = text.lines().map(|line| format!("{time} {line}\n")).collect();
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = file.write_all(lines.as_bytes());
    }
}

/// Writes to two places: to `out`, and whole lines to the log of a run.
pub struct Logged<'a> {
    out: &'a mut dyn Write,
    log: RunLog,
    /// The start of a line.
    begun: Vec<u8>,
}

impl<'a> Logged<'a> {
    /// What is written goes to `out`, and to `log` as well.
    pub fn new(out: &'a mut dyn Write, log: RunLog) -> Self {
        Self { out, log, begun: Vec::new() }
    }
}

impl Write for Logged<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.begun.extend(&bytes[..n]);
        if let Some(end) = self.begun.iter().rposition(|&byte| byte == b'\n') {
            let lines: Vec<u8> = self.begun.drain(..=end).collect();
            self.log.line(&String::from_utf8_lossy(&lines));
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The lines of a log without their times, each of which must be one.
    fn lines(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        let line = |line: &str| {
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(humantime::parse_rfc3339(time).is_ok(), "{line}");
            rest.to_owned()
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn each_line_has_its_time_and_earlier_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        RunLog::open(&run).unwrap().line("epoch 1: knn_top1 20.0 %\nnote: two lines");
        let log = RunLog::open(&run).unwrap();
        log.clone().line("later");
        assert_eq!(lines(&run.log()), ["epoch 1: knn_top1 20.0 %", "note: two lines", "later"]);
    }

    #[test]
    fn what_is_written_in_pieces_is_logged_in_lines() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        let mut out = Vec::new();
        let mut logged = Logged::new(&mut out, RunLog::open(&run).unwrap());
        write!(logged, "run  ").unwrap();
        assert_eq!(lines(&run.log()), [""; 0]);
        write!(logged, "{}\ndata", 7).unwrap();
        assert_eq!(lines(&run.log()), ["run  7"]);
        assert_eq!(out, b"run  7\ndata");
    }
}
