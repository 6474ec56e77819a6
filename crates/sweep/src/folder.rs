//! The folder of a sweep: `sweep.json`, a copy of the pipeline, and a folder for each run.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use run_store::{RunFolder, RunLock, write_whole};

use crate::SweepError;
use crate::state::SweepState;

/// The file by which a folder is a sweep.
pub const STATE_FILE: &str = "sweep.json";
/// Not `pipeline.ron`, because a folder with that file is a run.
const PIPELINE: &str = "base.ron";

/// The folder of one sweep.
#[derive(Debug)]
pub(crate) struct SweepFolder {
    path: PathBuf,
}

impl SweepFolder {
    /// Creates a folder: `out`, which must be empty, or else the next number in `root`.
    ///
    /// # Errors
    /// If `out` is not empty, or the folder cannot be created.
    pub(crate) fn create(
        sweep: &SweepState,
        pipeline: &str,
        root: &Path,
        out: Option<PathBuf>,
    ) -> Result<Self, SweepError> {
        let folder = RunFolder::create(root, &format!("sweep-{}", sweep.name), out)?;
        let folder = Self { path: folder.path().to_owned() };
        folder.write(PIPELINE, pipeline)?;
        // Written last, because a folder with this file is a sweep.
        folder.save(sweep)?;
        Ok(folder)
    }

    /// Opens the folder of an existing sweep.
    ///
    /// # Errors
    /// If there is no sweep at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, SweepError> {
        if !path.exists() {
            return Err(SweepError::Missing { path: path.into() });
        }
        if path.join(STATE_FILE).is_file() {
            return Ok(Self { path: path.into() });
        }
        let is_run = path.join("pipeline.ron").is_file();
        Err(SweepError::NotASweep { path: path.into(), state: STATE_FILE, is_run })
    }

    /// The most recently written sweep in `root`, or of the pipeline `name` if it is given.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn newest(root: &Path, name: Option<&str>) -> Result<Self, SweepError> {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let sweeps = entries.filter_map(|entry| Self::open(&entry.path()).ok());
        let of_name = sweeps.filter(|folder| match name {
            Some(name) => folder.load().is_ok_and(|sweep| sweep.name == name),
            None => true,
        });
        let found = of_name.max_by_key(|folder| (folder.last_written(), folder.path.clone()));
        found.ok_or_else(|| SweepError::None { root: root.into(), name: name.map(str::to_owned) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps other processes from training the same sweep.
    pub(crate) fn lock(&self) -> Result<RunLock, SweepError> {
        Ok(RunLock::take(&self.path)?)
    }

    /// The pipeline that every run is a variation of, as it was when the sweep started.
    pub(crate) fn pipeline(&self) -> Result<String, SweepError> {
        self.read(PIPELINE)
    }

    pub(crate) fn load(&self) -> Result<SweepState, SweepError> {
        serde_json::from_str(&self.read(STATE_FILE)?)
            .map_err(|source| SweepError::Damaged { path: self.path.join(STATE_FILE), source })
    }

    pub(crate) fn save(&self, sweep: &SweepState) -> Result<(), SweepError> {
        let text = serde_json::to_string_pretty(sweep).expect("a struct of texts and numbers is JSON");
        self.write(STATE_FILE, &(text + "\n"))
    }

    /// Writes a file of the sweep, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), SweepError> {
        let path = self.path.join(name);
        write_whole(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|error| failed("written", &path, error))
    }

    fn read(&self, name: &str) -> Result<String, SweepError> {
        let path = self.path.join(name);
        regular_files::read_text(&path, MAX_BYTES).map_err(|error| failed("read", &path, error))
    }

    fn last_written(&self) -> Option<SystemTime> {
        self.path.join(STATE_FILE).metadata().and_then(|metadata| metadata.modified()).ok()
    }
}

/// More than ten thousand runs need.
const MAX_BYTES: u64 = 64 << 20;

fn failed(action: &'static str, path: &Path, source: io::Error) -> SweepError {
    SweepError::Io { action, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axes::Axis;
    use crate::state::{Run, RunState, folder_name};

    fn sweep(name: &str) -> SweepState {
        let run = Run {
            folder: "001-seed=0".into(),
            combination: vec![1],
            seed: 0,
            n_images: 8,
            state: RunState::Failed("no \"space\"".into()),
            seconds: 1.5,
        };
        SweepState {
            name: name.into(),
            set: vec!["epochs=2".into()],
            axes: vec![Axis::parse("a.b=1,2").unwrap()],
            n_seeds: 1,
            best: None,
            metrics: vec![],
            runs: vec![run],
        }
    }

    #[test]
    fn a_sweep_is_read_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("a");
        let folder =
            SweepFolder::create(&sweep("moco"), "Pipeline(", root.path(), Some(out.clone())).unwrap();
        let opened = SweepFolder::open(&out).unwrap();
        assert_eq!(opened.pipeline().unwrap(), "Pipeline(");
        let loaded = opened.load().unwrap();
        assert!(loaded.is_as(&sweep("moco")) && !loaded.is_as(&sweep("other")));
        assert_eq!(loaded.runs[0].state, RunState::Failed("no \"space\"".into()));
        let lock = folder.lock().unwrap();
        assert!(opened.lock().unwrap_err().to_string().contains("is in use"));
        drop(lock);
        assert!(SweepFolder::create(&sweep("moco"), "", root.path(), Some(out)).is_err(), "it is not empty");
    }

    #[test]
    fn what_is_no_sweep_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let said = |path: &Path| SweepFolder::open(path).unwrap_err().to_string();
        assert!(said(&root.path().join("nothing")).ends_with("does not exist"));
        assert!(said(root.path()).ends_with("is not a sweep folder: it has no `sweep.json`"));
        fs::write(root.path().join(STATE_FILE), "{}").unwrap();
        let error = SweepFolder::open(root.path()).unwrap().load().unwrap_err().to_string();
        assert!(error.contains("is invalid"), "{error}");
    }

    #[test]
    fn a_folder_is_named_after_what_is_special_about_its_run() {
        let axes =
            ["data.batch=64,128", r#"modules.head=("mlp", (out: 8)),("linear", (out: 64, and: "more"))"#];
        let axes = axes.map(|axis| Axis::parse(axis).unwrap());
        assert_eq!(folder_name(7, &axes[..1], &[1], 3), "007-batch=128-seed=3");
        assert_eq!(folder_name(12, &axes, &[0, 0], 0), "012-batch=64-head=mlp_out_8-seed=0");
        assert_eq!(folder_name(1, &axes[1..], &[1], 0), "001-head=linear_out_64_and_more-seed=0");
        let many = vec![axes[0].clone(); 40];
        assert!(folder_name(1, &many, &[0; 40], u64::MAX).len() < 160);
    }
}
