//! Runs that start from others.

use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::support::{checkpoint, checkpoint_steps, here, metrics, same_bytes, xtask};

const STEPS_PER_EPOCH: u64 = 4;

fn trained(out: &str, root: &Path, set: &[&str]) {
    let small = here("small.ron");
    let set = set.iter().flat_map(|set| ["--set", set]);
    xtask(root, ["run", &small, "--out", out].into_iter().chain(set)).done();
}

fn first() -> TempDir {
    let root = tempdir().unwrap();
    trained("first", root.path(), &["epochs=2"]);
    root
}

#[test]
fn more_epochs_go_on_in_a_new_folder_with_all_of_the_state() {
    let root = tempdir().unwrap();
    let root = root.path();
    // A learning rate that does not depend on the number of epochs: then the result must not, either.
    let constant = r#"schedule=("constant", ())"#;
    trained("first", root, &[constant, "epochs=2"]);
    trained("straight", root, &[constant, "epochs=4"]);
    let more =
        ["run", "--from", "first", "--epochs", "4", "--out", "more", "--threads", "1", "--workers", "3"];
    let outcome = xtask(root, more).done();
    assert!(
        outcome.stdout.contains("goes on   epoch 3 of 4 instead of 2, learning rate 6.000e-2\n"),
        "{outcome}"
    );
    let last = 4 * STEPS_PER_EPOCH;
    let (more, straight) = (root.join("more"), root.join("straight"));
    assert!(same_bytes(&checkpoint(&more, last), &checkpoint(&straight, last)));
    let knn = |run: &Path| metrics(run).into_iter().map(|line| line["knn_top1"].clone()).collect::<Vec<_>>();
    assert_eq!(knn(&more), knn(&straight));
    assert_eq!(checkpoint_steps(&root.join("first")).last(), Some(&(2 * STEPS_PER_EPOCH)));
}

#[test]
fn a_complete_run_and_all_that_refuses_to_go_on_name_the_way() {
    let root = first();
    let root = root.path();
    let outcome = xtask(root, ["run", "--resume", "first"]).done();
    assert!(outcome.stdout.contains("this run is already complete: first\n  go on with: "), "{outcome}");
    assert!(outcome.stdout.contains(" run --from first --epochs 4\n"), "{outcome}");
    for option in [["--set", "epochs=3"], ["--epochs", "3"]] {
        let outcome = xtask(root, ["run", "--resume", "first"].into_iter().chain(option));
        assert_eq!(outcome.code, Some(2), "{outcome}");
        assert!(outcome.stderr.contains(&format!("run --from first {} ...`", option[0])), "{outcome}");
    }
    let last = "first/checkpoints/step-00000008.safetensors";
    let outcome = xtask(root, ["import", last]).done();
    assert!(outcome.stdout.contains(&format!("run --from {last} --epochs N\n")), "{outcome}");
    let told = xtask(root, ["run", "--from", "first"]).refused();
    assert!(told.contains("has done 2 epochs, and is to have 2"), "{told}");
    assert!(told.contains("more than 2, with `--epochs`"), "{told}");
    let wider = ["--epochs", "3", "--set", "modules.backbone.width=8", "--out", "wider"];
    let told = xtask(root, ["run", "--from", "first"].into_iter().chain(wider)).refused();
    assert!(told.contains("does not fit the changed pipeline: `query.backbone.conv1.weight` is"), "{told}");
    assert!(told.contains("run FILE --from first`"), "{told}");
    assert!(!root.join("wider").exists());
}

#[test]
fn a_pipeline_starts_with_the_weights_of_a_run_and_says_which() {
    let root = first();
    let root = root.path();
    let small = here("small.ron");
    let longer = [
        "run",
        &small,
        "--from",
        "first",
        "--set",
        "modules.contrast.len=32",
        "--out",
        "next",
        "--epochs",
        "1",
    ];
    let outcome = xtask(root, longer).done();
    assert!(
        outcome.stdout.contains("from      first/checkpoints/step-00000008.safetensors, after epoch 2\n"),
        "{outcome}"
    );
    assert!(outcome.stdout.contains("weights   backbone, head\n"), "{outcome}");
    let queue = "random    contrast: `query.contrast.queue` is [64, 16], expected [32, 16]\n";
    assert!(outcome.stdout.contains(queue), "{outcome}");
    // It starts as good as the other has ended.
    let [first, next] = ["first", "next"].map(|run| metrics(&root.join(run)));
    assert_eq!(next[0]["knn_top1"], first.last().unwrap()["knn_top1"]);
    assert!(outcome.stderr.contains("before training: knn_top1"), "{outcome}");
    let origin = std::fs::read_to_string(root.join("next/origin.txt")).unwrap();
    assert_eq!(origin, "weights of first/checkpoints/step-00000008.safetensors, after epoch 2\n");

    let wider = ["run", &small, "--from", "first", "--set", "modules.backbone.width=8", "--out", "wider"];
    let told = xtask(root, wider).refused();
    assert!(told.contains("the backbone `backbone` of the pipeline does not match"), "{told}");
    assert!(!root.join("wider").exists());

    let alone = root.join("alone.safetensors");
    std::fs::copy(checkpoint(&root.join("first"), 8), &alone).unwrap();
    let import =
        ["import", "alone.safetensors", "--pipeline", &small, "--backbone-only", "--out", "imported"];
    let outcome = xtask(root, import).done();
    assert!(
        outcome.stdout.contains("weights   backbone\nrandom    head: only the backbone is taken\n"),
        "{outcome}"
    );
    xtask(root, ["run", "--resume", "imported"]).done();
}

#[test]
fn a_run_that_ended_early_goes_on_with_new_patience() {
    let root = tempdir().unwrap();
    let root = root.path();
    let patience = r#"early_stopping=(metric: "knn_top1", patience: 1)"#;
    trained("first", root, &["epochs=20", "learning_rate.base=0", patience]);
    let done = *checkpoint_steps(&root.join("first")).last().unwrap();
    assert!(done < 20 * STEPS_PER_EPOCH);
    let outcome = xtask(root, ["run", "--from", "first", "--out", "more"]).done();
    assert!(outcome.stdout.contains("ended early"), "{outcome}");
    assert!(*checkpoint_steps(&root.join("more")).last().unwrap() > done, "{outcome}");
}

#[test]
fn within_an_epoch_the_batch_cannot_change() {
    let root = tempdir().unwrap();
    let root = root.path();
    trained("first", root, &["checkpoint=(every_minutes: 0.00001, keep: 99)"]);
    let within = "first/checkpoints/step-00000006.safetensors";
    let on = ["run", "--from", within, "--epochs", "3", "--set", "data.batch=32", "--out", "more"];
    let told = xtask(root, on).refused();
    assert!(told.contains("was written after epoch 1 and 2 steps"), "{told}");
    assert!(told.contains("`--from first/checkpoints/step-00000004.safetensors`"), "{told}");
    assert!(!root.join("more").exists());
    let on = ["run", "--from", within, "--epochs", "3", "--out", "more"];
    let outcome = xtask(root, on).done();
    assert!(outcome.stdout.contains("epoch 2 of 3 after 2 of its steps instead of 2"), "{outcome}");
    let damaged = root.join("first/checkpoints/step-00000008.safetensors");
    std::fs::write(&damaged, "cut").unwrap();
    let told = xtask(root, ["run", "--from", "first", "--epochs", "3"]).refused();
    assert!(told.contains("the one before it is intact: `--from first/checkpoints/step-00000007"), "{told}");
}

#[test]
fn the_encoder_of_a_kept_classifier_starts_a_pipeline() {
    let root = first();
    let root = root.path();
    xtask(root, ["linear", "first", "--cached", "--epochs", "2"]).done();
    let small = here("small.ron");
    let evaluation = "first/evaluations/linear-cached-001";
    let outcome = xtask(root, ["import", evaluation]).done();
    assert!(outcome.stdout.contains("an encoder with a classifier, of this program"), "{outcome}");
    let outcome = xtask(root, ["run", &small, "--from", evaluation, "--out", "next"]).done();
    assert!(outcome.stdout.contains("weights   backbone\n"), "{outcome}");
    let told = xtask(root, ["run", "--from", evaluation]).refused();
    assert!(told.contains("has weights, but no state of a run"), "{told}");
    assert!(told.contains("run FILE --from"), "{told}");
}
