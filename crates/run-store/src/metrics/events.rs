//! TensorBoard's event files.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tfrecord::protobuf::SessionLog;
use tfrecord::protobuf::event::What;
use tfrecord::protobuf::session_log::SessionStatus;
use tfrecord::{EventMeta, EventWriter, EventWriterConfig};

use super::MetricsError;

/// Writes scalars to an event file of its own; TensorBoard joins the files of a folder.
pub struct EventLog {
    path: PathBuf,
    writer: EventWriter<BufWriter<File>>,
}

impl EventLog {
    /// Starts a file in `folder`, for steps after `step`. What earlier files say of these steps no longer counts.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(folder: &Path, step: u64) -> Result<Self, MetricsError> {
        std::fs::create_dir_all(folder).map_err(MetricsError::io("create", folder))?;
        // TensorBoard reads the files of a folder in the order of their names.
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let path = folder.join(format!("events.out.tfevents.{micros:016}.{}", std::process::id()));
        let start = || {
            let mut writer = EventWriter::create(&path, EventWriterConfig { auto_flush: false })?;
            let mut version = EventMeta::with_step(0).build_empty();
            version.what = Some(What::FileVersion("brain.Event:2".into()));
            writer.write_event(version)?;
            if step > 0 {
                let mut restart = EventMeta::with_step(step as i64 + 1).build_empty();
                let status = SessionStatus::Start.into();
                restart.what = Some(What::SessionLog(SessionLog { status, ..SessionLog::default() }));
                writer.write_event(restart)?;
            }
            writer.flush()?;
            Ok(writer)
        };
        let writer = start().map_err(failed("create", &path))?;
        Ok(Self { path, writer })
    }

    /// Adds scalars of one step.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), MetricsError> {
        let write = || {
            for (tag, value) in scalars {
                self.writer.write_scalar(tag, step as i64, value as f32)?;
            }
            self.writer.flush()
        };
        write().map_err(failed("write", &self.path))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(tfrecord::Error) -> MetricsError {
    move |error| {
        let source = match error {
            tfrecord::Error::IoError(error) => error,
            other => io::Error::other(other.to_string()),
        };
        MetricsError::io(action, path)(source)
    }
}

#[cfg(test)]
mod tests {
    use tfrecord::protobuf::summary::value::Value;
    use tfrecord::{Event, RecordIter, RecordReaderConfig};

    use super::*;

    fn events(folder: &Path) -> Vec<Vec<Event>> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = |path| {
            let config = RecordReaderConfig { check_integrity: true };
            RecordIter::<Event, _>::open(path, config).unwrap().map(|event| event.unwrap()).collect()
        };
        paths.into_iter().map(read).collect()
    }

    #[test]
    fn scalars_lie_in_the_event_file_as_soon_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(folder.path(), 0).unwrap();
        log.scalars(7, [("loss", 1.5), ("lr", 0.25)]).unwrap();
        let files = events(folder.path());
        assert_eq!(files.len(), 1);
        assert!(matches!(&files[0][0].what, Some(What::FileVersion(version)) if version == "brain.Event:2"));
        let scalars: Vec<(i64, String, f32)> = files[0][1..]
            .iter()
            .map(|event| {
                let Some(What::Summary(summary)) = &event.what else { panic!("{event:?}") };
                let Some(Value::SimpleValue(value)) = summary.value[0].value else { panic!("{event:?}") };
                (event.step, summary.value[0].tag.clone(), value)
            })
            .collect();
        assert_eq!(scalars, [(7, "loss".into(), 1.5), (7, "lr".into(), 0.25)]);
    }

    #[test]
    fn a_resumed_run_starts_a_later_file_that_voids_the_steps_after_its_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        EventLog::create(folder.path(), 0).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        EventLog::create(folder.path(), 40).unwrap();
        let files = events(folder.path());
        assert_eq!((files[0].len(), files[1].len()), (1, 2));
        let restart = &files[1][1];
        assert_eq!(restart.step, 41);
        assert!(matches!(&restart.what, Some(What::SessionLog(log)) if log.status() == SessionStatus::Start));
    }
}
