//! How much room a run takes.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

use super::{RunFolder, RunFolderError};

impl RunFolder {
    /// The bytes of all files in the folder. Links are not followed, and a checkpoint that has two names counts once.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn n_bytes(&self) -> Result<u64, RunFolderError> {
        let (mut n_bytes, mut seen) = (0, HashSet::new());
        add(self.path(), &mut n_bytes, &mut seen).map_err(RunFolderError::io("list", self.path()))?;
        Ok(n_bytes)
    }
}

fn add(folder: &Path, n_bytes: &mut u64, seen: &mut HashSet<(u64, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata());
        match metadata {
            Ok(metadata) if metadata.is_dir() => add(&path, n_bytes, seen)?,
            Ok(metadata) if identity(&metadata).is_none_or(|file| seen.insert(file)) => {
                *n_bytes += metadata.len();
            }
            // A run that trains removes files.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What two names of one file have in common; `None` where the system does not tell.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_as_large_as_its_files_each_counted_once() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(root.path(), "moco", None).unwrap();
        run.write_pipeline("12345").unwrap();
        fs::create_dir(run.checkpoints()).unwrap();
        let step = run.checkpoints().join("step-00000001.safetensors");
        fs::write(&step, [0; 100]).unwrap();
        assert_eq!(run.n_bytes().unwrap(), 105);
        #[cfg(unix)]
        {
            fs::hard_link(&step, run.checkpoints().join("epoch-0001.safetensors")).unwrap();
            std::os::unix::fs::symlink(root.path(), run.path().join("elsewhere")).unwrap();
            let link = run.path().join("elsewhere").symlink_metadata().unwrap().len();
            assert_eq!(run.n_bytes().unwrap(), 105 + link);
        }
    }
}
