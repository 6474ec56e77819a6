//! Writing a page again while its runs train.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use run_store::RunFolder;

use super::Arguments;
use crate::failure::{Failure, STOPPED};
use crate::run::WhileRead;

/// Between two looks at a run.
const PAUSE: Duration = Duration::from_millis(500);

/// What of a run a page follows from: the length of its log, its checkpoints, and whether it is trained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen(Vec<(u64, BTreeSet<OsString>, bool)>);

impl Seen {
    pub(super) fn now(folders: &[RunFolder]) -> Self {
        let of = |folder: &RunFolder| {
            let length = folder.metrics().metadata().map_or(0, |metadata| metadata.len());
            let entries = std::fs::read_dir(folder.checkpoints()).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            // Files on their way have a point before their name.
            let names = names.filter(|name| name.to_string_lossy().starts_with("step-")).collect();
            (length, names, folder.is_in_use())
        };
        Self(folders.iter().map(of).collect())
    }

    fn is_under_way(&self) -> bool {
        self.0.iter().any(|(_, _, is_under_way)| *is_under_way)
    }
}

/// Waits for another state than `before`, or for `stop`. A line of the log comes shortly before its checkpoint, so a change counts
/// once nothing more has changed for a moment.
pub(super) fn wait(folders: &[RunFolder], before: &Seen, stop: &AtomicBool) -> Option<Seen> {
    let mut last = before.clone();
    loop {
        thread::sleep(PAUSE);
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let now = Seen::now(folders);
        if now == last && now != *before {
            return Some(now);
        }
        last = now;
    }
}

/// Writes the page now and after each epoch, until no run is trained any more.
pub(super) fn watch(
    arguments: &Arguments,
    folders: &[RunFolder],
    path: &Path,
    stop: &AtomicBool,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let out = &mut WhileRead(out);
    let mut seen = Seen::now(folders);
    loop {
        let n_bytes = arguments.write(path)?;
        writeln!(out, "{}: {}", path.display(), crate::text::bytes(n_bytes as u64))?;
        out.flush()?;
        if !seen.is_under_way() {
            writeln!(out, "no process trains this run now")?;
            return Ok(ExitCode::SUCCESS);
        }
        match wait(folders, &seen, stop) {
            Some(now) => seen = now,
            None => return Ok(ExitCode::from(STOPPED)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_line_and_a_new_checkpoint_are_seen_and_a_file_on_its_way_is_not() {
        let root = tempfile::tempdir().unwrap();
        let folders = [RunFolder::create(root.path(), "moco", None).unwrap()];
        let empty = Seen::now(&folders);
        std::fs::create_dir(folders[0].checkpoints()).unwrap();
        std::fs::write(folders[0].checkpoints().join(".step-1.tmp"), "").unwrap();
        assert_eq!(Seen::now(&folders), empty);
        std::fs::write(folders[0].metrics(), "{}\n").unwrap();
        let line = Seen::now(&folders);
        assert_ne!(line, empty);
        std::fs::write(folders[0].checkpoints().join("step-00000001.safetensors"), "").unwrap();
        let checkpoint = Seen::now(&folders);
        assert!(checkpoint != line && !checkpoint.is_under_way());
        let lock = folders[0].lock().unwrap();
        assert!(Seen::now(&folders).is_under_way());
        drop(lock);
        assert_eq!(wait(&folders, &line, &AtomicBool::new(false)), Some(checkpoint.clone()));
        assert_eq!(wait(&folders, &checkpoint, &AtomicBool::new(true)), None);
    }
}
