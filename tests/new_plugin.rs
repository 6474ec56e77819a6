//! Beginning a plugin: what is written, and what is refused. `.ci/run` compiles what it writes.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::support::{workspace, xtask};

const KINDS: [&str; 9] =
    ["augmentation", "backbone", "dataset", "head", "loss", "monitor", "objective", "optimizer", "schedule"];

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[test]
fn a_plugin_outside_of_the_tree_is_a_crate_with_a_program_and_a_pipeline() {
    let root = tempdir().unwrap();
    let moco = workspace().display().to_string();
    for kind in KINDS {
        let name = format!("{kind}-of-mine");
        let outcome =
            xtask(root.path(), ["new-plugin", kind, &name, "--out-of-tree", &name, "--moco", &moco]).done();
        assert!(outcome.stdout.contains(&format!("run {name}.ron")), "{outcome}");
        let folder = root.path().join(&name);
        assert!(read(folder.join("Cargo.toml")).contains("crates/plugin-api\" }"));
        assert_eq!(read(folder.join("Cargo.lock")), read(workspace().join("Cargo.lock")));
        let library = read(folder.join("src/lib.rs"));
        assert!(library.contains(&format!("plugin_tests::check_{kind}(\"{name}\")")), "{library}");
        let pipeline = read(folder.join(format!("{name}.ron")));
        assert!(pipeline.contains(&format!("(\"{name}\", (")), "{pipeline}");
        assert!(read(folder.join("src/main.rs")).contains(&format!("use {kind}_of_mine as _;")));
        for file in ["README.md", ".gitignore"] {
            assert!(folder.join(file).is_file(), "{file}");
        }
    }
}

/// What of the checkout a new plugin changes.
const CHANGED: [&str; 5] = [
    "Cargo.toml",
    "crates/plugins/Cargo.toml",
    "crates/plugins/src/lib.rs",
    "crates/plugins/tests/registry.rs",
    "docs/src/pipeline-reference.md",
];

#[test]
fn a_plugin_in_the_tree_is_named_wherever_plugins_are() {
    let root = tempdir().unwrap();
    for file in CHANGED.iter().chain(&["crates/plugin-api/Cargo.toml"]) {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(workspace().join(file), path).unwrap();
    }
    for kind in KINDS {
        let name = format!("{kind}-of-mine");
        let said = xtask(root.path(), ["new-plugin", kind, &name]).done().stdout;
        assert!(CHANGED.iter().all(|file| said.contains(file)), "{said}");
        let library = read(root.path().join("crates").join(&name).join("src/lib.rs"));
        assert!(library.contains("#![forbid(unsafe_code)]"), "{library}");
        for file in CHANGED {
            let text = read(root.path().join(file));
            let n = text.matches(&name).count() + text.matches(&format!("{kind}_of_mine")).count();
            assert!((1..=2).contains(&n), "{file} has {name} {n} times");
        }
    }
    // Again, nothing is touched.
    let before = CHANGED.map(|file| read(root.path().join(file)));
    let stderr = xtask(root.path(), ["new-plugin", "head", "head-of-mine"]).refused();
    assert!(stderr.contains("`./crates/head-of-mine` already exists, and is not empty"), "{stderr}");
    assert_eq!(before, CHANGED.map(|file| read(root.path().join(file))));
}

#[test]
fn what_is_there_and_what_cannot_be_is_refused_and_nothing_is_written() {
    let root = tempdir().unwrap();
    let moco = workspace().display().to_string();
    fs::create_dir(root.path().join("full")).unwrap();
    fs::write(root.path().join("full/notes"), "mine").unwrap();
    let new = |arguments: &[&str]| xtask(root.path(), [&["new-plugin"], arguments].concat());
    for (code, arguments, words) in [
        (
            1,
            &["loss", "my-loss", "--out-of-tree", "full", "--moco", &moco][..],
            "already exists, and is not empty",
        ),
        (2, &["loss", "MyLoss", "--out-of-tree", "new"], "write `my-loss`"),
        (2, &["loss", "knn", "--out-of-tree", "new"], "there is a monitor plugin `knn` already"),
        (2, &["loss", "my-loss"], "is not the root of a checkout of moco-rs"),
        (
            2,
            &["loss", "my-loss", "--out-of-tree", "new", "--moco", "full"],
            "`full` is no checkout of moco-rs",
        ),
        (2, &["losss", "my-loss"], "a similar value exists: 'loss'"),
    ] {
        let outcome = new(arguments);
        assert!(outcome.code == Some(code) && outcome.stderr.contains(words), "{arguments:?}: {outcome}");
    }
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["full"]);
    assert_eq!(read(root.path().join("full/notes")), "mine");
}
