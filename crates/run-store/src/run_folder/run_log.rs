//! The log of a run: what was told while it trained.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::own::check_own_file;
use super::shown::shown;
use super::{RunFolder, RunFolderError};

/// Appends to `run.log`, each line with the time in UTC. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct RunLog(Arc<Mutex<Lines>>);

#[derive(Debug)]
enum Lines {
    /// In the file.
    Written(File),
    /// Kept until there is something that they are about.
    Held { path: PathBuf, lines: String },
    /// The file could not be opened, which does not end a run.
    Lost,
}

impl RunLog {
    /// Opens the log of `run`, or creates it.
    ///
    /// # Errors
    /// If it cannot be opened for writing, or is a link.
    pub fn open(run: &RunFolder) -> Result<Self, RunFolderError> {
        let path = run.log();
        let file = opened(&path).map_err(RunFolderError::io("open", &path))?;
        Ok(Self(Arc::new(Mutex::new(Lines::Written(file)))))
    }

    /// The log of `run`, whose lines are kept until [`release`](Self::release): for a run that goes on, and has nothing to tell
    /// before its first new step is done.
    ///
    /// # Errors
    /// If it is a link.
    pub fn held(run: &RunFolder) -> Result<Self, RunFolderError> {
        let path = run.log();
        check_own_file(&path).map_err(RunFolderError::io("open", &path))?;
        Ok(Self(Arc::new(Mutex::new(Lines::Held { path, lines: String::new() }))))
    }

    /// Writes what was held, and from now on every line at once.
    pub fn release(&self) {
        let mut inner = self.lines();
        if let Lines::Held { path, lines } = &*inner {
            let written = opened(path).and_then(|mut file| {
                file.write_all(lines.as_bytes())?;
                Ok(file)
            });
            *inner = written.map_or(Lines::Lost, Lines::Written);
        }
    }

    /// Adds the lines of `text`. A full disk does not end a run for its log; what the run needs is checked where it is written.
    pub fn line(&self, text: &str) {
        let time = stamp(SystemTime::now());
        let text: String = text.lines().map(|line| format!("{time} {}\n", shown(line))).collect();
        match &mut *self.lines() {
            Lines::Written(file) => drop(file.write_all(text.as_bytes())),
            Lines::Held { lines, .. } => lines.push_str(&text),
            Lines::Lost => {}
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn opened(path: &Path) -> io::Result<File> {
    check_own_file(path)?;
    OpenOptions::new().append(true).create(true).open(path)
}

/// `time` as `2026-03-01T12:00:00Z`. A clock that is set before 1970 counts as 1970, and one after the year 9999 as its end.
pub fn stamp(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
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
    fn what_is_held_is_written_when_it_is_released_and_otherwise_never() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        let log = RunLog::held(&run).unwrap();
        log.line("resumed");
        log.clone().line("two\nlines");
        assert!(!run.log().exists());
        log.clone().release();
        log.line("a step");
        assert_eq!(lines(&run.log()), ["resumed", "two", "lines", "a step"]);
        RunLog::held(&run).unwrap().line("it failed");
        assert_eq!(lines(&run.log()).len(), 4);
    }

    #[test]
    fn a_clock_that_is_wrong_has_a_time_all_the_same() {
        let day = Duration::from_secs(86_400);
        assert_eq!(stamp(UNIX_EPOCH - day), "1970-01-01T00:00:00Z");
        assert_eq!(stamp(UNIX_EPOCH + day), "1970-01-02T00:00:00Z");
        assert_eq!(stamp(UNIX_EPOCH + day * 365 * 200_000), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_name_does_nothing_to_the_terminal_that_shows_the_log() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        RunLog::open(&run).unwrap().line("skipped: a\x1b[2Jb.jpg");
        assert_eq!(lines(&run.log()), ["skipped: a\\u{1b}[2Jb.jpg"]);
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
