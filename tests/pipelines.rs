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

/// Runs that were started when pipelines listed the losses to minimize have that list in the file they keep.
#[test]
fn a_run_that_has_kept_a_list_of_all_losses_can_still_be_used() {
    let root = tempdir().unwrap();
    let of_run = |arguments: &[&str]| xtask(root.path(), arguments);
    of_run(&["run", &here("small.ron"), "--set", "epochs=1", "--out", "old"]).done();
    let path = root.path().join("old/pipeline.ron");
    let text = std::fs::read_to_string(&path).unwrap();
    let with = |minimize: &str| {
        let new = format!("    minimize: {minimize},\n    momentum: ");
        std::fs::write(&path, text.replace("    momentum: ", &new)).unwrap();
    };
    with("[\"loss\"]");
    for command in
        [&["knn", "old", "--k", "5"][..], &["run", "--resume", "old"], &["embed", "old", "x", "-o", "y.npy"]]
    {
        if command[0] == "embed" {
            std::fs::create_dir(root.path().join("x")).unwrap();
            image::RgbImage::new(40, 40).save(root.path().join("x/a.png")).unwrap();
        }
        of_run(command).done();
    }
    with("[\"q\"]");
    let stderr = of_run(&["knn", "old"]).refused();
    assert!(stderr.contains("every loss of the graph is minimized"), "{stderr}");
    // In a file that is no run's, the list is told to go.
    with("[\"loss\"]");
    let stderr = of_run(&["check", "old/pipeline.ron"]).refused();
    assert!(stderr.contains("every loss of the graph is minimized"), "{stderr}");
}
