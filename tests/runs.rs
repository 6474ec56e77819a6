//! Runs are listed, compared and removed, and found by their names.

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{here, xtask};

/// A folder with a run of `small.ron`, and one of another seed and head that was never trained.
fn two_runs() -> TempDir {
    let root = tempdir().unwrap();
    xtask(root.path(), ["run", &here("small.ron")]).done();
    let other = root.path().join("runs/other-001");
    std::fs::create_dir(&other).unwrap();
    let text = std::fs::read_to_string(root.path().join("runs/small-001/pipeline.ron")).unwrap();
    let text = text.replace("seed: 0", "seed: 7").replace("(\"linear\", (out: 16))", "(\"mlp\", (out: 16))");
    std::fs::write(other.join("pipeline.ron"), text).unwrap();
    root
}

fn json(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn runs_are_listed_for_people_and_for_programs() {
    let root = two_runs();
    let said = |arguments: &[&str]| xtask(root.path(), ["runs"].iter().chain(arguments)).done().stdout;
    let table = said(&[]);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].starts_with("run") && rows[0].contains("best knn_top1"), "{table}");
    let small = rows.iter().find(|row| row.starts_with("small-001")).unwrap();
    assert!(
        small.contains("complete") && small.contains("2 of 2") && small.contains(" % (epoch "),
        "{table}"
    );
    let other = rows.iter().find(|row| row.starts_with("other-001")).unwrap();
    assert!(other.contains("not started") && other.contains("0 of 2"), "{table}");

    let list = json(&said(&["--json"]));
    let runs = list["runs"].as_array().unwrap();
    let small = runs.iter().find(|run| run["name"] == "small-001").unwrap();
    assert_eq!((&small["state"], &small["epochs_done"]), (&"complete".into(), &2.into()));
    assert_eq!(small["path"], "runs/small-001");
    assert_eq!(small["metrics"][0]["name"], "knn_top1");
    assert!(small["bytes"].as_u64().unwrap() > 1000 && small["seconds"].as_f64().unwrap() > 0.0, "{small}");

    let csv = said(&["--csv"]);
    assert!(csv.starts_with("name,path,state,epochs_done,epochs,"), "{csv}");
    assert!(csv.contains("\nsmall-001,runs/small-001,complete,2,2,8,knn_top1,"), "{csv}");

    let shown = said(&["show", "small-001"]);
    for piece in ["state     complete", "pipeline  small, seed 0", "checkpoints/best.safetensors", "knn_top1"]
    {
        assert!(shown.contains(piece), "{piece} is not in\n{shown}");
    }
    let shown = json(&said(&["show", "small-001", "--json"]));
    let kinds: Vec<&Value> =
        shown["runs"][0]["checkpoints"].as_array().unwrap().iter().map(|file| &file["kind"]).collect();
    assert_eq!(kinds, ["step", "step", "best"]);

    let compared = said(&["compare", "small-001", "other-001"]);
    assert!(compared.contains("seed: 0 | 7\n"), "{compared}");
    assert!(
        compared.contains("modules.head: (\"linear\", (out: 16)) | (\"mlp\", (out: 16))\n"),
        "{compared}"
    );
    assert!(compared.contains("knn_top1, best"), "{compared}");
    let compared = json(&said(&["compare", "small-001", "other-001", "--json"]));
    assert_eq!(compared["differences"].as_array().unwrap().len(), 2, "{compared}");
    assert!(said(&["compare", "small-001", "small-001"]).starts_with("the pipelines have the same values\n"));
}

#[test]
fn the_name_of_a_run_is_enough_for_every_command() {
    let root = two_runs();
    let knn = |run: &str| xtask(root.path(), ["knn", run, "--k", "5"]);
    assert_eq!(knn("small-001").done().stdout, knn("runs/small-001").done().stdout);
    knn("small-001/checkpoints/best.safetensors").done();
    xtask(root.path(), ["export", "small-001", "--to", "torchvision", "-o", "a.safetensors"]).done();
    xtask(root.path(), ["run", "--resume", "small-001"]).done();
    xtask(root.path(), ["import", "small-001"]).done();
    let outcome = xtask(root.path(), ["run", "--from", "small-001", "--epochs", "3"]).done();
    assert!(outcome.stdout.contains("run       runs/small-002"), "{outcome}");
    let stderr = knn("smal-001").refused();
    assert_eq!(stderr, "error: `smal-001` does not exist\nhint: did you mean `small-001`?\n");
    let stderr = xtask(root.path(), ["run", "--from", "smal-001"]).refused();
    assert!(stderr.contains("did you mean `small-001`?"), "{stderr}");
    let stderr = knn("quite-another").refused();
    assert!(stderr.contains("`cargo xtask runs` lists the runs in `runs`"), "{stderr}");
}

#[test]
fn only_what_a_run_has_written_is_removed() {
    let root = two_runs();
    let run = root.path().join("runs/small-001");
    let remove = |arguments: &[&str]| xtask(root.path(), ["runs", "rm"].iter().chain(arguments));
    let outcome = remove(&["small-001"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("standard input is no terminal"), "{outcome}");
    assert!(remove(&["runs", "--yes"]).refused().contains("`runs` is not a run folder"));
    assert!(remove(&["small-01", "--yes"]).refused().contains("did you mean `small-001`?"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&run, root.path().join("runs/link")).unwrap();
        assert!(remove(&["link", "--yes"]).refused().contains("`runs/link` is a link"));
        // One that is refused keeps all.
        remove(&["small-001", "link", "--yes"]).refused();
    }
    assert!(run.join("pipeline.ron").is_file());
    std::fs::write(run.join("notes.txt"), "mine").unwrap();
    let outcome = remove(&["small-001", "runs/other-001", "--yes"]).done();
    assert!(outcome.stdout.contains("  left: runs/small-001/notes.txt\n"), "{outcome}");
    assert!(!root.path().join("runs/other-001").exists());
    let left: Vec<_> = std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    let said = xtask(root.path(), ["runs"]).done().stdout;
    assert!(said.contains("there is no run in `runs`"), "{said}");
}
