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
fn files_of_known_datasets_may_be_no_pipes() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let make_pipe = |name: &str| assert!(Command::new("mkfifo").arg(at(name)).status().unwrap().success());
    for name in ["data_batch_1.bin", "test_batch.bin"] {
        std::fs::write(at(name), vec![0; 3073]).unwrap();
    }
    for i in 2..=5 {
        make_pipe(&format!("data_batch_{i}.bin"));
    }
    let error = open_error("cifar10", &root(folder.path()));
    assert!(error.contains("data_batch_2.bin") && error.contains("not a regular file"), "{error}");
    std::fs::write(at("test_X.bin"), vec![0; 27_648]).unwrap();
    make_pipe("unlabeled_X.bin");
    make_pipe("train_y.bin");
    let error = open_error("stl10", &root(folder.path()));
    assert!(error.contains("unlabeled_X.bin") && error.contains("not a regular file"), "{error}");
    std::fs::write(at("train_X.bin"), vec![0; 27_648]).unwrap();
    let error = open_error("stl10", &format!("(root: {:?}, train: Labeled)", folder.path()));
    assert!(error.contains("train_y.bin") && error.contains("not a regular file"), "{error}");
}

/// What the kernel makes up says that it has no bytes, and reading it could wait or never end.
#[cfg(target_os = "linux")]
#[test]
fn devices_and_what_the_kernel_makes_up_are_no_sources() {
    for name in ["/dev/zero", "/proc/kmsg", "/proc/self/pagemap"] {
        for (plugin, config) in
            [("archive", "path"), ("list-file", "path"), ("pack", "path"), ("flat-folder", "root")]
        {
            let error = open_error(plugin, &format!("({config}: {name:?})"));
            assert!(error.contains(name), "{plugin}: {error}");
        }
        let images = datasets::open_images(&[PathBuf::from(name)]);
        assert!(images.is_err(), "{name}");
        let error = datasets::decode_file(Path::new(name), &Default::default()).unwrap_err();
        assert!(!error.reason.is_empty(), "{error}");
    }
    let folder = tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("endless.png")).unwrap();
    save(folder.path().join("b.png"), [1, 2, 3]);
    std::fs::write(folder.path().join("list.txt"), "b.png\nendless.png\n/proc/kmsg\n").unwrap();
    let images = open("list-file", &format!("(path: {:?})", folder.path().join("list.txt"))).unwrap().train;
    assert!(images.load(0).is_ok());
    assert!(images.load(1).unwrap_err().reason.contains("not a regular file"));
    assert_eq!(images.load(2).unwrap_err().reason, "the file is empty");
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
