//! Files that a command will write.

use std::path::Path;

use crate::failure::Failure;
use crate::text;

/// Whether existing files are overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// With `--force`.
    Yes,
    /// Existing files are an error.
    No,
    /// The command has no `--force`.
    Never,
}

impl From<bool> for Overwrite {
    fn from(force: bool) -> Self {
        if force { Self::Yes } else { Self::No }
    }
}

/// Fails unless `path` can be written. Checked before any work, so that no result is lost.
///
/// # Errors
/// If its folder does not exist, if it is a folder, or if it exists and must not be overwritten.
pub(crate) fn check(path: &Path, overwrite: Overwrite) -> Result<(), Failure> {
    if let Some(folder) = path.parent()
        && !folder.as_os_str().is_empty()
        && !folder.is_dir()
    {
        return Err(Failure::new(
            format!(
                "`{}` cannot be written: the folder `{}` does not exist",
                path.display(),
                folder.display()
            ),
            "create the folder first, or choose another one",
        ));
    }
    // `nope/` is a folder, whether it is there or not.
    if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Failure::new(
            format!("`{}` cannot be written: it is a folder", path.display()),
            "choose another name",
        ));
    }
    run_store::check_writable(folder_of(path))
        .map_err(|error| Failure::plain(format!("`{}` cannot be written: {error}", path.display())))?;
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    // A new file would take the place of the device, the pipe or the link.
    if !found.is_file() {
        return Err(Failure::new(
            format!("`{}` cannot be written: it is a link or a device, and no regular file", path.display()),
            "choose another name",
        ));
    }
    let hint = match overwrite {
        Overwrite::Yes => return Ok(()),
        Overwrite::No => "choose another name, or overwrite it with `--force`",
        Overwrite::Never => "choose another name",
    };
    Err(Failure::new(format!("`{}` already exists", path.display()), hint))
}

/// Fails if the disk has no room for about `n_bytes` at `path`.
///
/// # Errors
/// If less is free.
pub(crate) fn check_room(path: &Path, n_bytes: u64) -> Result<(), Failure> {
    match run_store::free_space(folder_of(path)) {
        Some(free) if free < n_bytes => Err(Failure::new(
            format!(
                "`{}` would take about {}, and its disk has {} free",
                path.display(),
                text::bytes(n_bytes),
                text::bytes(free)
            ),
            "make room, or write it elsewhere",
        )),
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
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
        let message = |path: &Path, overwrite| check(path, overwrite).unwrap_err().to_string();
        assert!(message(&path, Overwrite::No).ends_with("already exists"));
        assert!(message(folder.path(), Overwrite::Yes).ends_with("it is a folder"));
        assert!(message(&folder.path().join("b/a.npy"), Overwrite::Yes).contains("does not exist"));
        assert!(message(&folder.path().join("b/"), Overwrite::Yes).contains("it is a folder"));
        check_room(&path, 1).unwrap();
        #[cfg(unix)]
        assert!(check_room(&path, u64::MAX).unwrap_err().to_string().contains("would take about"));
        #[cfg(unix)]
        assert!(message(Path::new("/dev/null"), Overwrite::Yes).contains("no regular file"));
    }
}
