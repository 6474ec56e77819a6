//! Scalars read back from TensorBoard's event files.

use std::path::{Path, PathBuf};

use prost::Message as _;

use super::MetricsError;
use super::event::{Event, SessionStatus};
use super::record::split_record;
use crate::run_folder::read_own;

/// The scalars of a run's event files that still count, by tag.
#[derive(Clone, Debug, Default)]
pub struct Scalars {
    /// In the order in which the tags appear first.
    tags: Vec<(String, Vec<(u64, f64)>)>,
}

impl Scalars {
    /// Reads those in `folder` whose tag `wants` asks for. A run may be writing to it: a record that is not whole ends its file.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(folder: &Path, wants: impl Fn(&str) -> bool) -> Result<Self, MetricsError> {
        let mut found = Self::default();
        for path in event_files(folder)? {
            let bytes = read_own(&path).map_err(MetricsError::io("read", &path))?;
            let mut rest = &bytes[..];
            while let Some(payload) = split_record(&mut rest) {
                match Event::decode(payload) {
                    Ok(event) => found.add(event, &wants),
                    Err(_) => break,
                }
            }
        }
        Ok(found)
    }

    /// The steps and values of `tag`, in the order in which they were written.
    pub fn of(&self, tag: &str) -> &[(u64, f64)] {
        self.tags.iter().find(|(known, _)| known == tag).map(|(_, values)| &values[..]).unwrap_or_default()
    }

    fn add(&mut self, event: Event, wants: &impl Fn(&str) -> bool) {
        let Ok(step) = u64::try_from(event.step) else { return };
        if event.session_log.is_some_and(|log| log.status == i32::from(SessionStatus::Start)) {
            for (_, values) in &mut self.tags {
                values.retain(|(of, _)| *of < step);
            }
        }
        for value in event.summary.into_iter().flat_map(|summary| summary.value) {
            let Some(number) = value.simple_value.filter(|_| wants(&value.tag)) else { continue };
            let place = self.tags.iter().position(|(tag, _)| *tag == value.tag).unwrap_or_else(|| {
                self.tags.push((value.tag, Vec::new()));
                self.tags.len() - 1
            });
            self.tags[place].1.push((step, f64::from(number)));
        }
    }
}

/// By name, which is the order in which they were written.
fn event_files(folder: &Path) -> Result<Vec<PathBuf>, MetricsError> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(MetricsError::io("list", folder))? {
        let path = entry.map_err(MetricsError::io("list", folder))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().contains("tfevents")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::super::EventLog;
    use super::*;

    #[test]
    fn what_was_written_is_read_but_for_what_a_resume_has_voided() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(folder.path(), 0).unwrap();
        for step in [10, 20, 30] {
            log.scalars(step, [("train/loss", step as f64), ("train/lr", 0.5), ("gradient/a", 9.0)]).unwrap();
        }
        let mut log = EventLog::create(folder.path(), 20).unwrap();
        log.scalars(30, [("train/loss", 31.0)]).unwrap();
        let read = Scalars::read(folder.path(), |tag| tag.starts_with("train/")).unwrap();
        assert_eq!(read.of("train/loss"), [(10, 10.0), (20, 20.0), (30, 31.0)]);
        assert_eq!(read.of("train/lr"), [(10, 0.5), (20, 0.5)]);
        assert!(read.of("gradient/a").is_empty() && read.of("?").is_empty());
    }

    #[test]
    fn half_a_record_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(folder.path(), 0).unwrap();
        log.scalars(1, [("a", 1.0)]).unwrap();
        log.scalars(2, [("a", 2.0)]).unwrap();
        let path = event_files(folder.path()).unwrap().remove(0);
        let bytes = std::fs::read(&path).unwrap();
        for cut in 1..30 {
            std::fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            assert_eq!(Scalars::read(folder.path(), |_| true).unwrap().of("a"), [(1, 1.0)], "{cut}");
        }
        let mut damaged = bytes.clone();
        let n = damaged.len();
        damaged[n - 6] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(Scalars::read(folder.path(), |_| true).unwrap().of("a"), [(1, 1.0)]);
        assert!(Scalars::read(&folder.path().join("none"), |_| true).is_err());
    }
}
