//! Which runs there are.

use std::path::{Path, PathBuf};

use run_store::{RunFolder, RunFolderError};

/// What is in a folder of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The runs, by name.
    pub runs: Vec<RunFolder>,
    /// Folders of sweeps, which have runs of their own in them, by name.
    pub sweeps: Vec<PathBuf>,
}

/// The runs directly in `root`. None if there is no such folder.
///
/// # Errors
/// If the folder cannot be listed.
pub fn list(root: &Path) -> Result<Listed, RunFolderError> {
    let failed = |source| RunFolderError::Io { action: "list", path: root.into(), source };
    let mut listed = Listed::default();
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(listed),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        // A file in a folder called `checkpoints` would be opened as a checkpoint.
        if !path.is_dir() {
            continue;
        }
        match RunFolder::open(&path) {
            Ok(run) => listed.runs.push(run),
            Err(_) if is_sweep(&path) => listed.sweeps.push(path),
            Err(_) => {}
        }
    }
    Ok(listed)
}

/// Whether a sweep has its runs in `folder`.
pub(super) fn is_sweep(folder: &Path) -> bool {
    folder.join(sweep::STATE_FILE).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_sweeps_are_listed_by_name_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(list(&root.path().join("nothing")).unwrap(), Listed::default());
        for name in ["b", "a"] {
            RunFolder::create(root.path(), name, None).unwrap().write_pipeline("()").unwrap();
        }
        std::fs::create_dir(root.path().join("other")).unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        let sweep = root.path().join("sweep-001");
        std::fs::create_dir(&sweep).unwrap();
        std::fs::write(sweep.join(sweep::STATE_FILE), "{}").unwrap();
        let listed = list(root.path()).unwrap();
        let names: Vec<PathBuf> = listed.runs.iter().map(|run| run.path().to_owned()).collect();
        assert_eq!(names, ["a-001", "b-001"].map(|name| root.path().join(name)));
        assert_eq!(listed.sweeps, [sweep]);
    }
}
