//! When a run was started.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::RunFolder;
use crate::metrics::micros_of;

impl RunFolder {
    /// When training first started, by the name of the first event file; for a run that has none, when its pipeline was
    /// written. `None` if neither can be told.
    pub fn started(&self) -> Option<SystemTime> {
        let files = std::fs::read_dir(self.events()).into_iter().flatten().flatten();
        let first = files.filter_map(|file| micros_of(&file.file_name().to_string_lossy())).min();
        match first {
            Some(micros) => UNIX_EPOCH.checked_add(Duration::from_micros(micros)),
            None => self.pipeline().metadata().and_then(|metadata| metadata.modified()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::EventLog;

    #[test]
    fn a_run_was_started_when_its_first_event_file_was() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        assert_eq!(run.started(), None);
        run.write_pipeline("()").unwrap();
        let before = SystemTime::now() - Duration::from_secs(1);
        assert!(run.started().unwrap() > before);
        std::fs::create_dir(run.events()).unwrap();
        EventLog::create(&run.events(), 0).unwrap();
        let started = run.started().unwrap();
        assert!(started > before && started < SystemTime::now() + Duration::from_secs(1));
        std::fs::write(run.events().join("events.out.tfevents.0000000005000000.17"), "").unwrap();
        std::fs::write(run.events().join("notes"), "").unwrap();
        assert_eq!(run.started(), Some(UNIX_EPOCH + Duration::from_secs(5)));
    }
}
