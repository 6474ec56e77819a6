//! Pipes, which nobody writes to: opening one would wait for ever.

use std::path::PathBuf;
use std::process::Command;

use tempfile::{TempDir, tempdir};

use super::*;

fn pipe(name: &str) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    (folder, path)
}

#[test]
fn a_pipe_is_refused_wherever_a_file_is_expected() {
    for (plugin, name, config) in [
        ("flat-folder", "a.zip", "root"),
        ("class-folders", "a.tar", "root"),
        ("archive", "a.zip", "path"),
        ("list-file", "a.txt", "path"),
        ("list-file", "a.csv", "path"),
        ("pack", "a.pack", "path"),
    ] {
        let (_folder, path) = pipe(name);
        let error = open_error(plugin, &format!("({config}: {path:?})"));
        assert!(error.contains(name) && error.contains("file"), "{plugin}: {error}");
    }
    let (_folder, path) = pipe("a.jpg");
    let error = datasets::open_images(&[path]).err().unwrap();
    assert!(error.reason.contains("neither a folder nor a regular file"), "{error}");
}

#[test]
fn a_pipe_in_a_folder_is_passed_over() {
    let (folder, _path) = pipe("a.jpg");
    save(folder.path().join("b.png"), [1, 2, 3]);
    let splits = open("flat-folder", &root(folder.path())).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["b.png"]);
    assert!(
        splits.notes.iter().any(|note| note.contains("a.jpg") || note.contains("no file")),
        "{:?}",
        splits.notes
    );
}
