//! Files that a command is about to write.

use std::path::Path;

use crate::failure::Failure;

/// Whether files that are there are written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// With `--force`.
    Yes,
    /// They are refused.
    No,
}

impl From<bool> for Overwrite {
    fn from(force: bool) -> Self {
        if force { Self::Yes } else { Self::No }
    }
}

/// Fails unless `path` can be written. Asked before any work, so that none is lost.
///
/// # Errors
/// If its folder is not there, if it is a folder, or if it is there and may not be overwritten.
pub(crate) fn check(path: &Path, overwrite: Overwrite) -> Result<(), Failure> {
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(Failure::new(
            format!("`{}` cannot be written: there is no folder `{}`", path.display(), folder.display()),
            "make the folder first, or choose another place",
        ));
    }
    if path.is_dir() {
        return Err(Failure::new(
            format!("`{}` cannot be written: it is a folder", path.display()),
            "choose another name",
        ));
    }
    if path.exists() && overwrite == Overwrite::No {
        return Err(Failure::new(
            format!("`{}` is there already, and is not overwritten", path.display()),
            "choose another name, or write over it with `--force`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_over_only_if_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        check(&path, Overwrite::No).unwrap();
        std::fs::write(&path, "").unwrap();
        check(&path, Overwrite::Yes).unwrap();
        let told = |path: &Path, overwrite| check(path, overwrite).unwrap_err().to_string();
        assert!(told(&path, Overwrite::No).ends_with("is there already, and is not overwritten"));
        assert!(told(folder.path(), Overwrite::Yes).ends_with("it is a folder"));
        assert!(told(&folder.path().join("b/a.npy"), Overwrite::Yes).contains("there is no folder"));
    }
}
