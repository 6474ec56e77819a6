//! Folders of evaluations that are not finished, with what is needed to go on.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Fill, NotWritten, ResultFolder, RunFolderError, RunLock, write_together};
use crate::checkpoint::{self, CheckpointError, Snapshot};

/// The file with what is needed to go on.
const CHECKPOINT: &str = "checkpoint.safetensors";

/// The folder of an evaluation under way: there from the first checkpoint on, and locked by the process that works on it.
pub struct UnfinishedFolder {
    place: Place,
}

enum Place {
    /// Nothing was saved yet.
    New(Option<ResultFolder>),
    /// With a checkpoint.
    Begun { path: PathBuf, _lock: RunLock },
}

/// An evaluation that cannot be saved, finished, or gone on with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnfinishedError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is nothing to go on with.
    #[error("`{}` has no `{CHECKPOINT}` to go on from", path.display())]
    NothingToGoOn {
        /// The folder.
        path: PathBuf,
    },
}

impl UnfinishedError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Checkpoint(error) => error.hint(),
            Self::NothingToGoOn { .. } => Some(
                "give the folder of an evaluation that was stopped; one that is finished has none".into(),
            ),
        }
    }
}

impl UnfinishedFolder {
    /// The folder of an evaluation that begins.
    pub fn new(folder: ResultFolder) -> Self {
        Self { place: Place::New(Some(folder)) }
    }

    /// The folder of an evaluation that was stopped, and what it saved last.
    ///
    /// # Errors
    /// If there is no checkpoint in it, it is damaged, or another process works on it.
    pub fn open(path: &Path) -> Result<(Self, Snapshot), UnfinishedError> {
        let file = path.join(CHECKPOINT);
        if !file.is_file() {
            return Err(UnfinishedError::NothingToGoOn { path: path.into() });
        }
        let lock = RunLock::take(path)?;
        let snapshot = checkpoint::read(&file)?;
        Ok((Self { place: Place::Begun { path: path.into(), _lock: lock } }, snapshot))
    }

    /// Saves what is needed to go on, in place of what was saved before.
    ///
    /// # Errors
    /// If it cannot be written. What was saved before is then unchanged.
    pub fn save(&mut self, snapshot: &Snapshot) -> Result<(), UnfinishedError> {
        match &mut self.place {
            Place::Begun { path, .. } => Ok(checkpoint::write(&path.join(CHECKPOINT), snapshot)?),
            Place::New(folder) => {
                let folder = folder.take().expect("a folder that could not be written is not asked again");
                let path = folder.write(&[(CHECKPOINT, checkpoint::to_bytes(snapshot))])?;
                let lock = RunLock::take(&path)?;
                self.place = Place::Begun { path, _lock: lock };
                Ok(())
            }
        }
    }

    /// The folder, once something was saved.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::New(_) => None,
            Place::Begun { path, .. } => Some(path),
        }
    }

    /// Writes the results, `files` by name, and removes what was needed to go on. The first of the files comes last: where it
    /// is, all are.
    ///
    /// # Errors
    /// If they cannot be written. What is needed to go on is then still there, and none of the results.
    pub fn finish(self, files: &[(&str, Vec<u8>)]) -> Result<PathBuf, UnfinishedError> {
        let path = match self.place {
            Place::New(folder) => {
                let folder = folder.expect("a folder that could not be written is not asked again");
                return Ok(folder.write(files)?);
            }
            Place::Begun { path, .. } => path,
        };
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| path.join(name)).collect();
        let fills =
            files.iter().map(|(_, bytes)| -> Fill<'_> { Box::new(move |file| file.write_all(bytes)) });
        write_together(paths.iter().map(PathBuf::as_path).zip(fills).collect())
            .map_err(|NotWritten { path, source }| RunFolderError::io("write", &path)(source))?;
        for name in [CHECKPOINT, "lock"] {
            let file = path.join(name);
            std::fs::remove_file(&file).map_err(RunFolderError::io("remove", &file))?;
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunFolder;

    fn snapshot(step: &str) -> Snapshot {
        Snapshot { metadata: [("step".to_owned(), step.to_owned())].into(), ..Snapshot::default() }
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_was_saved_last_is_gone_on_from_and_results_take_its_place() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        let mut folder = UnfinishedFolder::new(ResultFolder::new(&run, "linear", None).unwrap());
        assert!(folder.path().is_none() && names(&run.path().join("evaluations")).is_empty());
        folder.save(&snapshot("1")).unwrap();
        folder.save(&snapshot("2")).unwrap();
        let path = folder.path().unwrap().to_owned();
        assert!(path.ends_with("evaluations/linear-001"));
        assert!(UnfinishedFolder::open(&path).err().unwrap().to_string().contains("is in use"));
        drop(folder);
        let (folder, saved) = UnfinishedFolder::open(&path).unwrap();
        assert_eq!(saved, snapshot("2"));
        let files = [("result.json", b"{}".to_vec()), ("confusion.png", vec![1])];
        assert_eq!(folder.finish(&files).unwrap(), path);
        assert_eq!(names(&path), ["confusion.png", "result.json"]);
        let error = UnfinishedFolder::open(&path).err().unwrap();
        assert!(error.to_string().contains("has no `checkpoint.safetensors`") && error.hint().is_some());
    }

    #[test]
    fn without_a_checkpoint_results_are_written_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        let folder = UnfinishedFolder::new(ResultFolder::new(&run, "linear", None).unwrap());
        let path = folder.finish(&[("result.json", b"{}".to_vec())]).unwrap();
        assert_eq!(names(&path), ["result.json"]);
    }
}
