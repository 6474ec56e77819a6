//! Removes a run, and nothing that is not of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{
    CHECKPOINTS, ENVIRONMENT, EVENTS, FAILURE, LOG, METRICS, MOVED, ORIGIN, PIPELINE, UNREADABLE,
};
use super::lock::LOCK;
use super::whole_file::is_partial;
use super::{RunFolder, RunFolderError, RunLock};
use crate::checkpoint::CheckpointKind;
use crate::metrics::micros_of;

/// The page of a run.
const REPORT: &str = "report.html";

/// The folder with the encoder that a run which has ended hands over, and the files in it.
const ENCODER: &str = "encoder";
const OF_AN_ENCODER: [&str; 5] = ["model.safetensors", "config.json", "load.py", "encoder.onnx", "README.md"];

/// What has become of a run that was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files that are gone.
    pub n_files: usize,
    /// Files, folders and links that no run writes, and that are still there. With one of them, the folder is too.
    pub left: Vec<PathBuf>,
}

impl RunFolder {
    /// Removes the run: the files that runs and evaluations write, and the folders that are empty then. What else lies there
    /// stays, and no link is followed.
    ///
    /// The pipeline goes last, so that what is left of a removal that was interrupted is still a run, and can be removed.
    ///
    /// # Errors
    /// If the folder is a link or in use, or a file cannot be removed.
    pub fn remove(&self) -> Result<Removed, RunFolderError> {
        // Without the slash at its end, which would lead through a link.
        let path = &self.path().components().collect::<PathBuf>();
        let metadata = path.symlink_metadata().map_err(RunFolderError::io("remove", path))?;
        if metadata.is_symlink() {
            return Err(RunFolderError::Link { path: path.into() });
        }
        if !self.pipeline().is_file() {
            return Err(RunFolderError::NotARun { path: path.into() });
        }
        let lock = self.lock()?;
        let mut locks = vec![lock];
        for folder in folders_in(&self.evaluations())? {
            // That of an evaluation under way; others have none, and are not to get one.
            if folder.join(LOCK).is_file() {
                locks.push(RunLock::take(&folder)?);
            }
        }
        let mut removed = Removed::default();
        removed.clear(&self.path().join(CHECKPOINTS), |name| CheckpointKind::of(name).is_some())?;
        removed.clear(&self.path().join(EVENTS), |name| micros_of(name).is_some())?;
        for folder in folders_in(&self.evaluations())? {
            if is_evaluation(&folder) {
                removed.clear(&folder, is_of_an_evaluation)?;
            }
        }
        removed.clear(&self.evaluations(), |_| false)?;
        removed.clear(&path.join(ENCODER), |name| OF_AN_ENCODER.contains(&name))?;
        let is_ours = |name: &str| {
            [METRICS, UNREADABLE, MOVED, ORIGIN, FAILURE, LOG, ENVIRONMENT, REPORT].contains(&name)
        };
        removed.remove_files(path, is_ours)?;
        removed.remove_files(path, |name| name == PIPELINE)?;
        // Some systems remove no file that is open.
        drop(locks);
        removed.clear(path, |name| name == LOCK)?;
        removed.left = left_in(path)?;
        Ok(removed)
    }
}

impl Removed {
    /// Removes the files of `folder` whose names are ours, and the folder if it is empty then.
    fn clear(&mut self, folder: &Path, is_ours: impl Fn(&str) -> bool) -> Result<(), RunFolderError> {
        if !is_folder(folder) {
            return Ok(());
        }
        self.remove_files(folder, is_ours)?;
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(RunFolderError::io("remove", folder)(error))
            }
            _ => Ok(()),
        }
    }

    fn remove_files(&mut self, folder: &Path, is_ours: impl Fn(&str) -> bool) -> Result<(), RunFolderError> {
        for path in entries(folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
            if is_file && name.is_some_and(|name| is_ours(name) || is_partial(name)) {
                fs::remove_file(&path).map_err(RunFolderError::io("remove", &path))?;
                self.n_files += 1;
            }
        }
        Ok(())
    }
}

/// Whether `folder` is one of the numbered folders that evaluations get: `linear-001`.
fn is_evaluation(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["linear-", "linear-cached-", "finetune-", "attend-"].iter().any(|kind| {
        name.strip_prefix(kind)
            .is_some_and(|number| number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// Whether evaluations give a file this name.
fn is_of_an_evaluation(name: &str) -> bool {
    let is_picture = |name: &str| {
        name.strip_suffix(".png")
            .and_then(|stem| stem.split_once('-'))
            .is_some_and(|(number, _)| number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    [
        "result.json",
        "confusion.png",
        "confusion.svg",
        "classifier.safetensors",
        "checkpoint.safetensors",
        "attention.html",
        LOCK,
    ]
    .contains(&name)
        || is_picture(name)
}

/// A folder itself, and no link to one.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, RunFolderError> {
    let failed = || RunFolderError::io("list", folder);
    let entries = fs::read_dir(folder).map_err(failed())?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed())?;
    paths.sort();
    Ok(paths)
}

/// The folders directly in `folder`, which need not exist and may be a link, which is not followed.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, RunFolderError> {
    if !is_folder(folder) {
        return Ok(Vec::new());
    }
    Ok(entries(folder)?.into_iter().filter(|path| is_folder(path)).collect())
}

/// Everything at and under `folder` that is no folder with something in it.
fn left_in(folder: &Path) -> Result<Vec<PathBuf>, RunFolderError> {
    if !is_folder(folder) {
        return Ok(Vec::new());
    }
    let mut left = Vec::new();
    for path in entries(folder)? {
        if is_folder(&path) && !entries(&path)?.is_empty() {
            left.extend(left_in(&path)?);
        } else {
            left.push(path);
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{CheckpointFolder, Score, Snapshot};
    use crate::metrics::EventLog;
    use crate::{ResultFolder, UnfinishedFolder};

    /// A run with all that a run may have.
    fn run(root: &Path) -> RunFolder {
        let run = RunFolder::create(root, "moco", None).unwrap();
        run.write_pipeline("()").unwrap();
        run.write_origin("weights").unwrap();
        run.write_moved(&[]).unwrap();
        run.write_failure("it failed").unwrap();
        run.write_unreadable(&["a.png"]).unwrap();
        drop(run.lock().unwrap());
        fs::write(run.log(), "").unwrap();
        fs::write(run.path().join(REPORT), "").unwrap();
        run.add_environment(serde_json::Value::Null).unwrap();
        fs::create_dir(run.path().join(ENCODER)).unwrap();
        for name in OF_AN_ENCODER {
            fs::write(run.path().join(ENCODER).join(name), "").unwrap();
        }
        fs::write(run.metrics(), "").unwrap();
        EventLog::create(&run.events(), 0).unwrap();
        let mut checkpoints = CheckpointFolder::new(run.checkpoints(), 1);
        let path = checkpoints.save(1, &Snapshot::default()).unwrap();
        checkpoints.keep(&path, 1).unwrap();
        let score = Score { metric: "top1".into(), value: 0.5, stands_in: 0 };
        checkpoints.save_best(score, &Snapshot::default()).unwrap();
        checkpoints.set_aside(0, |_| false).unwrap();
        fs::write(run.checkpoints().join(".abc.partial"), "half").unwrap();
        for name in ["linear", "linear-cached", "finetune", "attend"] {
            let folder = ResultFolder::new(&run, name, None).unwrap();
            let pictures = ["001-image.png", "1000-head-2.png"].map(|name| (name, Vec::new()));
            let files = [("result.json", Vec::new()), ("confusion.png", Vec::new())];
            folder.write(&[&files[..], &pictures].concat()).unwrap();
        }
        run
    }

    #[test]
    fn a_run_is_removed_whole() {
        let root = tempfile::tempdir().unwrap();
        let run = run(root.path());
        let removed = run.remove().unwrap();
        assert_eq!(removed.left, Vec::<PathBuf>::new());
        assert!(!run.path().exists() && root.path().exists());
        // In the folder; events; checkpoints; in four evaluations; of the encoder.
        assert_eq!(removed.n_files, 10 + 1 + 4 + 4 * 4 + 5);
    }

    #[test]
    fn what_a_run_does_not_write_stays_and_is_named() {
        let root = tempfile::tempdir().unwrap();
        let run = run(root.path());
        let own = [
            "notes.txt",
            "checkpoints/mine.safetensors",
            "evaluations/linear-001/plot.svg",
            "evaluations/mine/result.json",
        ]
        .map(|name| run.path().join(name));
        fs::create_dir(run.path().join("evaluations/mine")).unwrap();
        fs::create_dir(run.path().join("empty")).unwrap();
        for path in &own {
            fs::write(path, "mine").unwrap();
        }
        let mut left = run.remove().unwrap().left;
        left.sort();
        let mut expected = [&own[..], &[run.path().join("empty")]].concat();
        expected.sort();
        assert_eq!(left, expected);
        assert!(own.iter().all(|path| fs::read(path).unwrap() == b"mine"));
        assert!(!run.pipeline().exists() && !run.events().exists());
        assert!(matches!(run.remove(), Err(RunFolderError::NotARun { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let kept = elsewhere.path().join("step-00000001.safetensors");
        fs::write(&kept, "weights").unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        run.write_pipeline("()").unwrap();
        symlink(elsewhere.path(), run.checkpoints()).unwrap();
        symlink(&kept, run.metrics()).unwrap();
        let link = root.path().join("link");
        symlink(run.path(), &link).unwrap();
        let error = RunFolder::open(&link).unwrap().remove().unwrap_err();
        assert!(matches!(error, RunFolderError::Link { .. }) && error.hint().is_some(), "{error}");
        assert!(run.pipeline().is_file());
        assert_eq!(run.remove().unwrap().left, [run.checkpoints(), run.metrics()]);
        assert_eq!(fs::read(&kept).unwrap(), b"weights");
    }

    #[test]
    fn a_run_in_use_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let run = run(root.path());
        let lock = run.lock().unwrap();
        assert!(matches!(run.remove(), Err(RunFolderError::InUse { .. })));
        drop(lock);
        let mut evaluation = UnfinishedFolder::new(ResultFolder::new(&run, "linear", None).unwrap());
        evaluation.save(&Snapshot::default()).unwrap();
        assert!(matches!(run.remove(), Err(RunFolderError::InUse { .. })));
        assert!(run.metrics().is_file() && evaluation.path().unwrap().is_dir());
        drop(evaluation);
        assert_eq!(run.remove().unwrap().left, Vec::<PathBuf>::new());
    }
}
