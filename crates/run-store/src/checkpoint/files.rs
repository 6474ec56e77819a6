//! What the files in a checkpoint folder are, by their names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::CheckpointError;
use super::folder::{BEST, SUPERSEDED, epoch_of, step_of};

/// A file in a checkpoint folder. It has not been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFile {
    /// Its path.
    pub path: PathBuf,
    /// What it is.
    pub kind: CheckpointKind,
    /// Its length in bytes.
    pub n_bytes: u64,
}

/// What a checkpoint is kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointKind {
    /// The state after so many epochs, which stays.
    Epoch(u64),
    /// The state after so many steps, of which the newest few stay.
    Step(u64),
    /// The state with the best metric so far.
    Best,
    /// One that was set aside when the run went on from an earlier one.
    Superseded,
}

impl CheckpointKind {
    /// What a file called `name` is; `None` if no run gives this name to a checkpoint.
    pub fn of(name: &str) -> Option<Self> {
        if let Some(earlier) = name.strip_suffix(SUPERSEDED) {
            return Self::of(earlier).map(|_| Self::Superseded);
        }
        match name {
            BEST => Some(Self::Best),
            _ => step_of(name).map(Self::Step).or_else(|| epoch_of(name).map(Self::Epoch)),
        }
    }
}

/// The checkpoints in `folder`, sorted by what they are; none if there is no such folder.
///
/// # Errors
/// If the folder cannot be listed.
pub fn files_in(folder: &Path) -> Result<Vec<CheckpointFile>, CheckpointError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CheckpointError::io("list", folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(CheckpointError::io("list", folder))?;
        let (name, path) = (entry.file_name(), entry.path());
        // A run that trains removes old ones meanwhile.
        if let Some(kind) = name.to_str().and_then(CheckpointKind::of)
            && let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            files.push(CheckpointFile { path, kind, n_bytes: metadata.len() });
        }
    }
    files.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_told_by_its_name() {
        use CheckpointKind::{Best, Epoch, Step, Superseded};
        for (name, expected) in [
            ("step-00000320.safetensors", Some(Step(320))),
            ("step-320.safetensors", None),
            ("step-x0000320.safetensors", None),
            ("epoch-0050.safetensors", Some(Epoch(50))),
            ("epoch-.safetensors", None),
            ("best.safetensors", Some(Best)),
            ("best.safetensors.superseded", Some(Superseded)),
            ("step-00000320.safetensors.superseded", Some(Superseded)),
            ("mine.safetensors", None),
            ("mine.safetensors.superseded", None),
        ] {
            assert_eq!(CheckpointKind::of(name), expected, "{name}");
        }
    }

    #[test]
    fn checkpoints_are_listed_by_what_they_are_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(files_in(&folder.path().join("nothing")).unwrap(), []);
        for name in [
            "best.safetensors",
            "step-00000020.safetensors",
            "step-00000010.safetensors",
            "epoch-0001.safetensors",
            "notes.txt",
        ] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("step-00000030.safetensors")).unwrap();
        let files = files_in(folder.path()).unwrap();
        let kinds: Vec<CheckpointKind> = files.iter().map(|file| file.kind).collect();
        use CheckpointKind::{Best, Epoch, Step};
        assert_eq!(kinds, [Epoch(1), Step(10), Step(20), Best]);
        assert_eq!(files[3].n_bytes, "best.safetensors".len() as u64);
    }
}
