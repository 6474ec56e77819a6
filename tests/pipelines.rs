//! The pipelines that come with the program.

use std::path::PathBuf;

use tempfile::tempdir;
use walkdir::WalkDir;

use crate::support::{here, workspace, xtask};

fn pipelines() -> Vec<PathBuf> {
    let entries = WalkDir::new(workspace().join("pipelines")).sort_by_file_name().into_iter();
    entries
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .collect()
}

#[test]
fn every_pipeline_file_passes_its_check() {
    let folder = tempdir().unwrap();
    let mut files = pipelines();
    assert!(files.len() >= 15, "{files:?}");
    files.extend(["small.ron", "symmetric.ron", "v3.ron"].map(|name| here(name).into()));
    let said = xtask(folder.path(), [PathBuf::from("check")].iter().chain(&files)).done().stdout;
    for file in files {
        assert!(said.contains(&format!("{}: ok: ", file.display())), "{}\n{said}", file.display());
    }
}

#[test]
fn every_pipeline_file_opens_with_its_command_and_what_to_expect() {
    for file in pipelines() {
        let text = std::fs::read_to_string(&file).unwrap();
        let head: String = text.lines().take_while(|line| line.starts_with("//")).collect();
        let name = file.strip_prefix(workspace()).unwrap().display();
        assert!(head.contains(&format!("cargo xtask run {name}")), "{name} does not say how to run it");
        let tells = ["Expect:", "Published:"].iter().any(|word| head.contains(word));
        assert!(tells, "{name} does not say what to expect");
    }
}
