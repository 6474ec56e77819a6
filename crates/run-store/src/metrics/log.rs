//! `metrics.jsonl`: one JSON object per line, each with the step at which it was measured.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::MetricsError;
use crate::run_folder::{check_own_file, read_own, write_whole};

/// One line: `step`, then fields in the order in which they were added.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsLine {
    step: u64,
    fields: Vec<(String, Value)>,
}

impl MetricsLine {
    /// A line for `step`, the number of steps done in the whole run.
    pub fn new(step: u64) -> Self {
        Self { step, fields: Vec::new() }
    }

    /// Adds a field. A float that is not finite becomes `null`, because JSON has no such numbers.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The step.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The fields that are numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        self.fields.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?)))
    }
}

impl Serialize for MetricsLine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.fields.len()))?;
        map.serialize_entry("step", &self.step)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Appends to `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the file at `path`, or creates it. An incomplete last line is removed.
    ///
    /// # Errors
    /// If the file cannot be opened, or is a link.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, MetricsError> {
        let path = path.into();
        check_own_file(&path).map_err(MetricsError::io("open", &path))?;
        let file = open_at_a_line_end(&path).map_err(MetricsError::io("open", &path))?;
        Ok(Self { path, file })
    }

    /// Appends a line, and passes it to the system before returning.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, line: &MetricsLine) -> Result<(), MetricsError> {
        let mut text = serde_json::to_vec(line).expect("a map with text keys is JSON");
        text.push(b'\n');
        // In one write, so that a reader never sees half a line.
        self.file.write_all(&text).map_err(MetricsError::io("write", &self.path))
    }

    /// Removes the lines of steps after `step`, because a run resumes from there. The file is replaced as a whole.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn truncate_after(&mut self, step: u64) -> Result<(), MetricsError> {
        if let Some(kept) = Self::without_later(&self.path, step)? {
            write_whole(&self.path, |file| file.write_all(&kept))
                .map_err(MetricsError::io("write", &self.path))?;
            self.file = open_at_a_line_end(&self.path).map_err(MetricsError::io("open", &self.path))?;
        }
        Ok(())
    }

    /// The file at `path` without the lines of steps after `step`; `None` if it has none of these.
    pub(crate) fn without_later(path: &Path, step: u64) -> Result<Option<Vec<u8>>, MetricsError> {
        let bytes = read_own(path).map_err(MetricsError::io("read", path))?;
        // Lines that are not objects with a step were not written here; they stay.
        let stays = |line: &[u8]| step_of(line).is_none_or(|of_line| of_line <= step);
        let kept: Vec<u8> = bytes
            .split_inclusive(|&byte| byte == b'\n')
            .filter(|line| stays(line))
            .collect::<Vec<_>>()
            .concat();
        Ok((kept.len() < bytes.len()).then_some(kept))
    }

    /// The lines of the file at `path` that are JSON objects. A run may be writing to it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(path: &Path) -> Result<Vec<serde_json::Map<String, Value>>, MetricsError> {
        let bytes = read_own(path).map_err(MetricsError::io("read", path))?;
        let lines = bytes.split(|&byte| byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

fn step_of(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(line).ok()?.get("step")?.as_u64()
}

fn open_at_a_line_end(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    // Search backwards for the end of the last whole line.
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut chunk = [0; 4096];
    while end > 0 {
        let len = end.min(chunk.len() as u64);
        file.seek(SeekFrom::Start(end - len))?;
        file.read_exact(&mut chunk[..len as usize])?;
        if let Some(place) = chunk[..len as usize].iter().rposition(|&byte| byte == b'\n') {
            end = end - len + place as u64 + 1;
            break;
        }
        end -= len;
    }
    if end < file.metadata()?.len() {
        file.set_len(end)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(steps: &[u64]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path).unwrap();
        for &step in steps {
            log.append(&MetricsLine::new(step).with("loss", step as f64 / 2.0)).unwrap();
        }
        (folder, path)
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn fields_keep_their_order_and_what_is_not_finite_is_null() {
        let (_folder, path) = log_of(&[]);
        let line =
            MetricsLine::new(3).with("z", 0.5).with("a", f64::NAN).with("epoch", 1).with("note", "x\ny");
        MetricsLog::open(&path).unwrap().append(&line).unwrap();
        assert_eq!(text(&path), "{\"step\":3,\"z\":0.5,\"a\":null,\"epoch\":1,\"note\":\"x\\ny\"}\n");
        assert_eq!(line.numbers().collect::<Vec<_>>(), [("z", 0.5), ("epoch", 1.0)]);
    }

    #[test]
    fn lines_after_the_checkpoint_are_dropped_and_the_log_goes_on() {
        let (_folder, path) = log_of(&[1, 2, 3, 4]);
        let mut log = MetricsLog::open(&path).unwrap();
        log.truncate_after(2).unwrap();
        log.append(&MetricsLine::new(3).with("loss", 9.0)).unwrap();
        assert_eq!(
            text(&path),
            "{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"loss\":1.0}\n{\"step\":3,\"loss\":9.0}\n"
        );
        log.truncate_after(7).unwrap();
        assert_eq!(MetricsLog::read(&path).unwrap().len(), 3);
        log.truncate_after(0).unwrap();
        assert_eq!(text(&path), "");
    }

    #[test]
    fn a_half_written_last_line_is_cut_off_however_long_it_is() {
        for n_bytes in [1, 20, 4096, 10_000] {
            let (_folder, path) = log_of(&[1, 2]);
            let whole = text(&path);
            let half = format!("{{\"step\":3,\"x\":\"{}", "y".repeat(n_bytes));
            std::fs::write(&path, whole.clone() + &half).unwrap();
            assert_eq!(MetricsLog::read(&path).unwrap().len(), 2);
            let mut log = MetricsLog::open(&path).unwrap();
            assert_eq!(text(&path), whole);
            log.append(&MetricsLine::new(3)).unwrap();
            assert_eq!(text(&path), whole + "{\"step\":3}\n");
        }
    }

    #[test]
    fn a_file_that_is_only_half_a_line_starts_anew() {
        let (_folder, path) = log_of(&[]);
        std::fs::write(&path, "{\"ste").unwrap();
        MetricsLog::open(&path).unwrap();
        assert_eq!(text(&path), "");
    }

    #[test]
    fn lines_that_are_not_ours_stay() {
        let (_folder, path) = log_of(&[1, 2]);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"# a note\n{\"at\":\"night\"}\n").unwrap();
        MetricsLog::open(&path).unwrap().truncate_after(1).unwrap();
        assert_eq!(text(&path), "{\"step\":1,\"loss\":0.5}\n# a note\n{\"at\":\"night\"}\n");
    }
}
