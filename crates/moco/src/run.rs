//! Opening runs.

use std::path::{Component, Path, PathBuf};

use pipeline::{Move, Moved};
use run_store::checkpoint::{self, CheckpointError, CheckpointFolder, Snapshot};
use run_store::{RunFolder, RunFolderError};

/// Where runs are, unless something else is said.
pub const RUNS: &str = "runs";

/// The run that `path` means: what is there, and otherwise what is there under [`RUNS`], so that the name of a run is enough.
/// A path that leads nowhere either way is given back as it is.
///
/// ```
/// use std::path::Path;
///
/// // There is no such file here, and no such run.
/// assert_eq!(moco::find_run(Path::new("mocov2-001")), Path::new("mocov2-001"));
/// ```
pub fn find_run(path: &Path) -> PathBuf {
    find_in(Path::new(RUNS), path)
}

fn find_in(root: &Path, path: &Path) -> PathBuf {
    // Nothing that leads elsewhere: no `/runs/a`, `./a` or `../a`.
    let is_name = path.components().all(|part| matches!(part, Component::Normal(_)));
    let under = root.join(path);
    if !path.exists() && is_name && under.exists() { under } else { path.to_owned() }
}

/// A checkpoint, and the run that wrote it.
pub struct OpenRun {
    /// The run.
    pub folder: RunFolder,
    /// The path of the checkpoint.
    pub checkpoint: PathBuf,
    /// The contents of the checkpoint.
    pub snapshot: Snapshot,
}

/// Which checkpoint of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    #[default]
    Latest,
    /// The one with the best metric.
    Best,
}

/// A run that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The path does not exist.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The path is a pipeline file.
    #[error("`{}` is a pipeline file, not a run", path.display())]
    PipelineFile {
        /// The file.
        path: PathBuf,
    },
    /// The run has no checkpoint yet.
    #[error("`{}` has no checkpoint yet", path.display())]
    NoCheckpoint {
        /// The run folder.
        path: PathBuf,
    },
    /// The run has no best checkpoint, because the metric that defines it was not measured.
    #[error("`{}` has no best checkpoint", path.display())]
    NoBest {
        /// The run folder.
        path: PathBuf,
    },
    /// The path is not a run folder.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Where the images of the run in `folder` are now: what it knows itself, and then `later`.
pub(crate) fn moved(folder: &RunFolder, later: &Moved) -> Result<Moved, RunFolderError> {
    let known = folder.read_moved()?.into_iter().map(|(old, new)| Move { old, new });
    Ok(known.collect::<Moved>().then(later))
}

impl RunError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("give a run folder, for instance `runs/NAME-001`".into()),
            Self::PipelineFile { .. } => Some("give a run folder such as `runs/NAME-001`".into()),
            Self::NoCheckpoint { .. } => Some("a run writes one when it starts: start it again".into()),
            Self::NoBest { .. } => Some(
                "a run keeps one only if a monitor measures the metric in `checkpoint.best`, or for `knn_top1` `lidar` or `effective_rank`; use the newest"
                    .into(),
            ),
            Self::Folder(error) => error.hint(),
            Self::Checkpoint(error) => error.hint(),
        }
    }
}

impl OpenRun {
    /// Opens the run at `path`, see [`find_run`]: a run folder, or a checkpoint in it, which is then the one that is opened.
    ///
    /// # Errors
    /// If it is not a run, has no checkpoint, or the checkpoint cannot be used.
    pub fn open(path: &Path, which: Which) -> Result<Self, RunError> {
        let path = &find_run(path);
        let folder = Self::folder_of(path)?;
        if path.is_file() {
            return Ok(Self { folder, checkpoint: path.into(), snapshot: checkpoint::read(path)? });
        }
        Self::of_folder(folder, which)
    }

    /// The run folder at `path`, see [`find_run`], which is that folder or a checkpoint in it.
    ///
    /// # Errors
    /// If it is not a run.
    pub fn folder_of(path: &Path) -> Result<RunFolder, RunError> {
        let path = &find_run(path);
        if !path.exists() {
            return Err(RunError::Missing { path: path.into() });
        }
        if path.is_file() && path.extension().is_some_and(|extension| extension == "ron") {
            return Err(RunError::PipelineFile { path: path.into() });
        }
        Ok(RunFolder::open(path)?)
    }

    /// The run in `folder`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of_folder(folder: RunFolder, which: Which) -> Result<Self, RunError> {
        let checkpoints = CheckpointFolder::new(folder.checkpoints(), 1);
        match which {
            Which::Latest => match checkpoints.latest()? {
                Some((checkpoint, snapshot)) => Ok(Self { folder, checkpoint, snapshot }),
                None => Err(RunError::NoCheckpoint { path: folder.path().into() }),
            },
            Which::Best => {
                let checkpoint = checkpoints.best_path();
                if !checkpoint.is_file() {
                    return Err(RunError::NoBest { path: folder.path().into() });
                }
                let snapshot = checkpoint::read(&checkpoint)?;
                Ok(Self { folder, checkpoint, snapshot })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(outcome: Result<OpenRun, RunError>) -> String {
        outcome.err().unwrap().to_string()
    }

    #[test]
    fn the_name_of_a_run_is_enough_where_nothing_else_has_it() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        std::fs::create_dir(run.checkpoints()).unwrap();
        std::fs::write(run.checkpoints().join("best.safetensors"), "").unwrap();
        let find = |path: &str| find_in(root.path(), Path::new(path));
        assert_eq!(find("moco-001"), run.path());
        assert_eq!(find("moco-001/"), run.path());
        let best = "moco-001/checkpoints/best.safetensors";
        assert_eq!(find(best), root.path().join(best));
        // What is not there, what is there already, and what leads elsewhere.
        for other in ["moco-002", "src", "./moco-001", "../moco-001", "/moco-001"] {
            assert_eq!(find(other), Path::new(other));
        }
    }

    #[test]
    fn what_is_not_a_run_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let open = |name: &str| failed(OpenRun::open(&root.path().join(name), Which::Latest));
        assert!(open("nothing").contains("does not exist"));
        std::fs::write(root.path().join("a.ron"), "()").unwrap();
        assert!(open("a.ron").contains("is a pipeline file"));
        std::fs::create_dir(root.path().join("empty")).unwrap();
        assert!(open("empty").contains("not a run folder"));
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        run.write_pipeline("()").unwrap();
        assert!(open("moco-001").contains("no checkpoint yet"));
        assert!(failed(OpenRun::of_folder(run, Which::Best)).contains("no best checkpoint"));
    }
}
