//! The newest run.

use std::path::Path;
use std::time::SystemTime;

use run_store::RunFolder;

use crate::failure::Failure;

/// The newest run of the pipeline called `name`.
///
/// # Errors
/// If there is none.
pub(crate) fn newest_of(root: &Path, name: &str) -> Result<RunFolder, Failure> {
    RunFolder::latest(root, name)?.ok_or_else(|| {
        Failure::new(
            format!("`{}` has no run of the pipeline `{name}`", root.display()),
            "omit `--resume` to start one, or give the run folder: `--resume RUN`",
        )
    })
}

/// The most recently written run under `root`.
///
/// # Errors
/// If there is none.
pub(crate) fn newest(root: &Path) -> Result<RunFolder, Failure> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| RunFolder::open(&entry.path()).ok())
        .max_by_key(|run| (last_written(run), run.path().to_owned()))
        .ok_or_else(|| {
            Failure::new(
                format!("there is no run in `{}`", root.display()),
                "start one with `moco run FILE`, or give the run folder: `--resume RUN`",
            )
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
}
