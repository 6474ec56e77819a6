//! Trainings of classifiers that are stopped and gone on with.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Outcome, here, start, xtask};

/// A run of the small pipeline of MoCo v3 in `root`.
fn trained(root: &Path) {
    let set = "--set epochs=1 --set data.source.train=64 --set modules.backbone.depth=2";
    let pipeline = here("v3.ron");
    xtask(root, ["run", &pipeline, "--out", "run"].into_iter().chain(set.split(' '))).done();
}

/// Runs `arguments` in `root`, and sends `signal` once there is something to go on from in `folder`.
fn stopped(root: &Path, arguments: &str, folder: &str, signal: &str) -> Outcome {
    let child = start(root, arguments.split(' '));
    let checkpoint = root.join(folder).join("checkpoint.safetensors");
    let began = Instant::now();
    let seen = std::fs::metadata(&checkpoint).and_then(|file| file.modified()).ok();
    while std::fs::metadata(&checkpoint).and_then(|file| file.modified()).ok() == seen {
        assert!(began.elapsed() < Duration::from_secs(120), "nothing is saved");
        thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap().into()
}

/// Stops `command` twice, goes on with it, and compares its results with those of one that was never stopped.
#[track_caller]
fn compare(root: &Path, command: &str, name: &str, figures: &[&str]) {
    xtask(root, format!("{command} --threads 1 --workers 1").split(' ')).done();
    let folder = format!("run/evaluations/{name}-002");
    let outcome = stopped(root, command, &folder, "-TERM");
    assert_eq!(outcome.code, Some(130), "{outcome}");
    let resume = format!("{command} --resume {folder}");
    assert!(outcome.stdout.contains(&format!("{folder} has what is needed to go on")), "{outcome}");
    let told = outcome.stdout.lines().find_map(|line| line.strip_prefix("resume with: ")).unwrap();
    assert!(told.ends_with(&resume), "{told}");
    let outcome = stopped(root, &format!("{resume} --threads 2 --workers 3"), &folder, "-USR1");
    assert_eq!(outcome.code, Some(130), "{outcome}");
    xtask(root, resume.split(' ')).done();
    let result = |number: usize| -> Value {
        let file = root.join(format!("run/evaluations/{name}-{number:03}/result.json"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    };
    for figure in figures {
        assert_eq!(result(1)[figure], result(2)[figure], "{figure}");
    }
    let kept = |number: usize| {
        let folder = root.join(format!("run/evaluations/{name}-{number:03}"));
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort_unstable();
        (names, std::fs::read(folder.join("classifier.safetensors")).unwrap())
    };
    assert_eq!(kept(1).0, kept(2).0);
    assert!(kept(1).1 == kept(2).1, "the classifiers differ");
    let refused = xtask(root, resume.split(' ')).refused();
    assert!(refused.contains("has no `checkpoint.safetensors` to go on from"), "{refused}");
}

#[test]
fn fine_tuning_that_was_stopped_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    trained(root.path());
    let command = "finetune run --recipe v3-vit --epochs 150 --batch 16 --ema 0.99 --layer-decay 0.75";
    compare(root.path(), command, "finetune", &["train_loss", "test_loss", "confusion", "top1"]);
    let folder = "run/evaluations/finetune-003";
    stopped(root.path(), command, folder, "-INT");
    let other = format!("{command} --drop-path 0.2 --resume {folder}");
    let refused = xtask(root.path(), other.split(' ')).refused();
    assert!(
        refused.contains("error: this training was started with the settings fine-tuning, "),
        "{refused}"
    );
    assert!(refused.contains("drop path 0.1") && refused.contains("drop path 0.2"), "{refused}");
    let fewer = format!("{command} --labels 0.5 --resume {folder}");
    let refused = xtask(root.path(), fewer.split(' ')).refused();
    assert!(
        refused.contains("error: this training was started with the training images 64, digest "),
        "{refused}"
    );
}

#[test]
fn a_linear_probe_that_was_stopped_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    trained(root.path());
    let command = "linear run --epochs 150 --batch 24 --lr 0.3,3";
    compare(root.path(), command, "linear", &["classifiers", "best"]);
    let refused = xtask(root.path(), ["linear", "run", "--cached", "--resume", "run/evaluations/linear-001"]);
    assert!(refused.stderr.contains("`--cached` cannot be resumed"), "{refused}");
}
