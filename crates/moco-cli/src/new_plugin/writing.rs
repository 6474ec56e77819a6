//! Writing a folder and changing files, all or nothing.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// A file of a new folder: its path there, and its text.
pub(super) type NewFile = (PathBuf, String);

/// A file that is there and changes.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    pub(super) before: String,
    pub(super) after: String,
}

/// Fails unless `folder` is free for a new crate: not there, or empty.
pub(super) fn check_free(folder: &Path) -> Result<(), Failure> {
    let shown = folder.display();
    let is_free = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Failure::plain(format!("`{shown}` cannot be written: {error}"))),
    };
    if is_free {
        return Ok(());
    }
    Err(Failure::new(
        format!("`{shown}` already exists, and is not empty"),
        "choose another folder, or empty this one",
    ))
}

/// Writes `files` as the new `folder`, and makes `changes`. Where something fails, all is as it was.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn write(folder: &Path, files: &[NewFile], changes: &[Change]) -> Result<(), Failure> {
    check_free(folder)?;
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = |what: &Path, error: io::Error| {
        Failure::new(
            format!("`{}` cannot be written: {error}", what.display()),
            "nothing was changed; choose another folder, or make room",
        )
    };
    // Parents that are made for it are left if it fails: they are empty.
    fs::create_dir_all(parent).map_err(|error| failed(folder, error))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-plugin-");
    // As for any other folder; temporary ones would be private to their owner.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let whole = builder.tempdir_in(parent).map_err(|error| failed(folder, error))?;
    for (path, text) in files {
        let path = whole.path().join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        written.map_err(|error| failed(folder, error))?;
    }
    format(whole.path(), files);
    for (n_changed, change) in changes.iter().enumerate() {
        if let Err(error) = replace(&change.path, &change.after) {
            undo(&changes[..n_changed]);
            return Err(failed(&change.path, error));
        }
    }
    // An empty folder gives way; `rename` alone would not replace it on every system.
    let moved = match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(whole.path(), folder),
    };
    if let Err(error) = moved {
        undo(changes);
        return Err(failed(folder, error));
    }
    // It is not there any more, under its first name.
    let _ = whole.keep();
    Ok(())
}

/// Lines as Rust's own tool has them, if it is installed: how long they are depends on the name.
fn format(folder: &Path, files: &[NewFile]) {
    let sources = files.iter().map(|(path, _)| folder.join(path));
    let sources = sources.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let _ = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .args(sources)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

fn undo(changes: &[Change]) {
    for change in changes {
        // What cannot be written back cannot be told better than the error that follows.
        let _ = replace(&change.path, &change.before);
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    run_store::write_whole(path, |file| file.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_file_fails_all_are_as_they_were() {
        let root = tempfile::tempdir().unwrap();
        let list = root.path().join("list");
        fs::write(&list, "a\n").unwrap();
        let change = |path: &Path| Change { path: path.into(), before: "a\n".into(), after: "b\n".into() };
        let files = [(PathBuf::from("src/lib.rs"), "//! Nothing.\n".to_owned())];
        let new = root.path().join("deep/new");
        let changes = [change(&list), change(&root.path().join("not-there/list"))];
        assert!(write(&new, &files, &changes).is_err());
        assert!(!new.exists() && fs::read_to_string(&list).unwrap() == "a\n");
        assert_eq!(fs::read_dir(root.path().join("deep")).unwrap().count(), 0);
        write(&new, &files, &changes[..1]).unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap(), "b\n");
        assert_eq!(fs::read_to_string(new.join("src/lib.rs")).unwrap(), "//! Nothing.\n");
        let again = write(&new, &files, &[]).unwrap_err().to_string();
        assert!(again.contains("already exists, and is not empty"), "{again}");
        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        write(&empty, &files, &[]).unwrap();
    }
}
