//! Opening what a run has written.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use train_core::checkpoint::{self, CheckpointFolder, Snapshot};
use train_core::run_folder::RunFolder;

use crate::failure::Failure;
use crate::pipeline_file::missing;

/// Where runs are kept unless `--out` says otherwise.
pub(crate) const ROOT: &str = "runs";

/// A checkpoint, and the run that wrote it.
pub(crate) struct OpenRun {
    /// The run.
    pub(crate) folder: RunFolder,
    /// The checkpoint's file.
    pub(crate) checkpoint: PathBuf,
    /// What it holds.
    pub(crate) snapshot: Snapshot,
}

/// Which checkpoint of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The newest.
    Latest,
    /// The one with the best figure.
    Best,
}

impl OpenRun {
    /// The run at `path`, which is its folder, or a checkpoint in it that is then the one that is opened.
    ///
    /// # Errors
    /// If it is not a run, has no checkpoint, or the checkpoint cannot be used.
    pub(crate) fn open(path: &Path, which: Which) -> anyhow::Result<Self> {
        if !path.exists() {
            return Err(missing(path).into());
        }
        if path.is_file() && path.extension().is_some_and(|extension| extension == "ron") {
            return Err(Failure::new(
                format!("`{}` is a pipeline file, and a run is needed", path.display()),
                format!("give a folder such as `{ROOT}/NAME-001`; to go on with the newest run of a pipeline, write \
                         `cargo xtask run {} --resume`", path.display()),
            )
            .into());
        }
        let folder = RunFolder::open(path)?;
        if path.is_file() {
            return Ok(Self { folder, checkpoint: path.into(), snapshot: checkpoint::read(path)? });
        }
        Self::of_folder(folder, which)
    }

    /// The run in `folder`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn of_folder(folder: RunFolder, which: Which) -> anyhow::Result<Self> {
        let checkpoints = CheckpointFolder::new(folder.checkpoints(), 1);
        match which {
            Which::Latest => match checkpoints.latest()? {
                Some((checkpoint, snapshot)) => Ok(Self { folder, checkpoint, snapshot }),
                None => Err(Failure::new(
                    format!("`{}` has no checkpoint yet", folder.path().display()),
                    "a run writes one at its start: start it again",
                )
                .into()),
            },
            Which::Best => {
                let checkpoint = checkpoints.best_path();
                if !checkpoint.is_file() {
                    return Err(Failure::new(
                        format!("`{}` has no best checkpoint", folder.path().display()),
                        "a run keeps one if a monitor measures what `checkpoint.best` names; leave out `--best` for the newest",
                    )
                    .into());
                }
                let snapshot = checkpoint::read(&checkpoint)?;
                Ok(Self { folder, checkpoint, snapshot })
            }
        }
    }
}

/// The newest run of the pipeline called `name`.
///
/// # Errors
/// If there is none.
pub(crate) fn newest_of(root: &Path, name: &str) -> anyhow::Result<RunFolder> {
    RunFolder::latest(root, name)?.ok_or_else(|| {
        Failure::new(
            format!("`{}` holds no run of the pipeline `{name}`", root.display()),
            "leave out `--resume` to start one, or name the run's folder: `--resume RUN`",
        )
        .into()
    })
}

/// The run under `root` that was written to last.
///
/// # Errors
/// If there is none.
pub(crate) fn newest(root: &Path) -> anyhow::Result<RunFolder> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| RunFolder::open(&entry.path()).ok())
        .max_by_key(|run| (last_written(run), run.path().to_owned()))
        .ok_or_else(|| {
            Failure::new(
                format!("there is no run in `{}`", root.display()),
                "start one with `cargo xtask run FILE`, or name the run's folder: `--resume RUN`",
            )
            .into()
        })
}

fn last_written(run: &RunFolder) -> Option<SystemTime> {
    [run.pipeline(), run.metrics(), run.checkpoints()]
        .iter()
        .filter_map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(outcome: anyhow::Result<OpenRun>) -> String {
        outcome.err().unwrap().to_string()
    }

    #[test]
    fn the_newest_run_is_the_one_that_was_written_to_last() {
        let root = tempfile::tempdir().unwrap();
        assert!(newest(root.path()).unwrap_err().to_string().contains("no run"));
        let runs: Vec<RunFolder> =
            ["a", "b"].map(|name| RunFolder::create(root.path(), name, None).unwrap()).into_iter().collect();
        for run in &runs {
            run.write_pipeline("()").unwrap();
        }
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        std::fs::File::options().write(true).open(runs[0].pipeline()).unwrap().set_modified(later).unwrap();
        assert_eq!(newest(root.path()).unwrap(), runs[0]);
        assert!(newest_of(root.path(), "c").unwrap_err().to_string().contains("no run of the pipeline `c`"));
    }

    #[test]
    fn what_is_not_a_run_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let open = |name: &str| failed(OpenRun::open(&root.path().join(name), Which::Latest));
        assert!(open("nothing").contains("there is no"));
        std::fs::write(root.path().join("a.ron"), "()").unwrap();
        assert!(open("a.ron").contains("is a pipeline file"));
        std::fs::create_dir(root.path().join("empty")).unwrap();
        assert!(open("empty").contains("not the folder of a run"));
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        run.write_pipeline("()").unwrap();
        assert!(open("moco-001").contains("no checkpoint yet"));
        assert!(failed(OpenRun::of_folder(run, Which::Best)).contains("no best checkpoint"));
    }
}
