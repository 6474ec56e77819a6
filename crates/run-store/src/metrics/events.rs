//! TensorBoard's event files.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::MetricsError;
use super::event::Event;
use super::record::append_record;
use crate::run_folder::check_own_folder;

/// How the name of an event file begins, for TensorBoard; then come the time and the process.
const EVENTS: &str = "events.out.tfevents.";

/// When the event file called `name` was created, in microseconds since 1970; `None` if a run gives no file this name.
pub(crate) fn micros_of(name: &str) -> Option<u64> {
    let (micros, process) = name.strip_prefix(EVENTS)?.split_once('.')?;
    process.parse::<u32>().ok()?;
    micros.parse().ok()
}

/// Writes scalars, texts and pictures to a new event file; TensorBoard joins the files of a folder.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    /// Creates a file in `folder`, for steps after `step`. Events of these steps in earlier files no longer count.
    ///
    /// # Errors
    /// If the file cannot be created, or the folder is a link. Then there is no such file.
    pub fn create(folder: &Path, step: u64) -> Result<Self, MetricsError> {
        check_own_folder(folder).map_err(MetricsError::io("write in", folder))?;
        std::fs::create_dir_all(folder).map_err(MetricsError::io("create", folder))?;
        // TensorBoard reads the files of a folder in the order of their names.
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let path = folder.join(format!("{EVENTS}{micros:016}.{}", std::process::id()));
        let file = File::create_new(&path).map_err(MetricsError::io("create", &path))?;
        let mut log = Self { path, file };
        let restart = (step > 0).then(|| Event::restart_after(step));
        match log.append(std::iter::once(Event::version()).chain(restart)) {
            Ok(()) => Ok(log),
            Err(error) => {
                log.discard();
                Err(error)
            }
        }
    }

    /// Removes the file, because the run did not go on after all.
    pub(crate) fn discard(&mut self) {
        // What led here is told; a file that stays only has no events.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Adds scalars of one step.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn scalars<T: AsRef<str>>(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (T, f64)>,
    ) -> Result<(), MetricsError> {
        self.append(scalars.into_iter().map(|(tag, value)| Event::scalar(step, tag.as_ref(), value as f32)))
    }

    /// Adds a text in Markdown.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn text(&mut self, step: u64, tag: &str, text: &str) -> Result<(), MetricsError> {
        self.append([Event::text(step, tag, text)])
    }

    /// Adds a picture in RGB, of `(width, height)` pixels, as a PNG file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn picture(
        &mut self,
        step: u64,
        tag: &str,
        png: &[u8],
        size: (u32, u32),
    ) -> Result<(), MetricsError> {
        self.append([Event::picture(step, tag, png, size)])
    }

    /// Says which charts show several scalars, each by its title and its tags, on TensorBoard's page for that.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn charts<'a>(
        &mut self,
        charts: impl IntoIterator<Item = (&'a str, &'a [&'a str])>,
    ) -> Result<(), MetricsError> {
        self.append([Event::charts(charts)])
    }

    /// Discards the events of steps after `step`, because a run trains them again.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn roll_back_to(&mut self, step: u64) -> Result<(), MetricsError> {
        self.append([Event::restart_after(step)])
    }

    fn append(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), MetricsError> {
        let mut bytes = vec![];
        for event in events {
            append_record(&mut bytes, &event.encode_to_vec());
        }
        // In one write, so that a reader never sees half a record.
        self.file.write_all(&bytes).map_err(MetricsError::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::SessionStatus;
    use super::super::record::masked_crc;
    use super::*;

    /// The events of each file, by the files' names.
    fn events(folder: &Path) -> Vec<Vec<Event>> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| read(&std::fs::read(path).unwrap())).collect()
    }

    fn read(mut bytes: &[u8]) -> Vec<Event> {
        fn checked<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
            let content = bytes.split_off(..length).unwrap();
            assert_eq!(bytes.split_off(..4).unwrap(), masked_crc(content).to_le_bytes());
            content
        }
        let mut events = vec![];
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(checked(&mut bytes, 8).try_into().unwrap());
            events.push(Event::decode(checked(&mut bytes, length as usize)).unwrap());
        }
        events
    }

    /// Step, tag and value of a scalar; the step of a restart.
    fn told(event: &Event) -> (i64, &str, Option<f32>) {
        match (&event.summary, &event.session_log) {
            (Some(summary), None) => (event.step, &summary.value[0].tag, summary.value[0].simple_value),
            (None, Some(log)) if log.status() == SessionStatus::Start => (event.step, "start", None),
            _ => panic!("{event:?}"),
        }
    }

    #[test]
    fn scalars_lie_in_the_event_file_as_soon_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(folder.path(), 0).unwrap();
        log.scalars(7, [("loss", 1.5), ("lr", 0.0)]).unwrap();
        let files = events(folder.path());
        assert_eq!(files.len(), 1);
        assert_eq!(files[0][0].file_version.as_deref(), Some("brain.Event:2"));
        let told: Vec<_> = files[0][1..].iter().map(told).collect();
        assert_eq!(told, [(7, "loss", Some(1.5)), (7, "lr", Some(0.0))]);
    }

    #[test]
    fn a_resumed_run_starts_a_later_file_that_voids_the_steps_after_its_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        EventLog::create(folder.path(), 0).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        EventLog::create(folder.path(), 40).unwrap();
        let files = events(folder.path());
        assert_eq!((files[0].len(), files[1].len()), (1, 2));
        assert_eq!(told(&files[1][1]), (41, "start", None));
    }

    #[test]
    fn a_run_that_rolls_back_voids_the_steps_after_its_checkpoint_in_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(folder.path(), 0).unwrap();
        log.scalars(41, [("loss", 9.0)]).unwrap();
        log.roll_back_to(40).unwrap();
        log.scalars(41, [("loss", 2.0)]).unwrap();
        let files = events(folder.path());
        let told: Vec<_> = files[0][1..].iter().map(told).collect();
        assert_eq!(told, [(41, "loss", Some(9.0)), (41, "start", None), (41, "loss", Some(2.0))]);
    }

    #[test]
    fn a_roll_back_to_the_start_of_a_run_voids_all() {
        let folder = tempfile::tempdir().unwrap();
        EventLog::create(folder.path(), 0).unwrap().roll_back_to(0).unwrap();
        assert_eq!(told(&events(folder.path())[0][1]), (1, "start", None));
    }
}
