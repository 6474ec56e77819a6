//! What a run says when the device has no room for its batch. On the emulated device, which has as much memory as a variable
//! of the environment says: each case is a process of its own, this test program once more.

use std::process::Command;
use std::sync::atomic::AtomicBool;

use pipeline::Pipeline;
use plugins as _;
use run_store::RunFolder;
use train_core::trainer::{self, Silent, TrainError, TrainOptions};

/// Set for the second process: what is changed of the pipeline.
const CHANGE: &str = "OUT_OF_MEMORY_CHANGE";

const TEXT: &str = r#"Pipeline(
    name: "large",
    data: (source: ("shapes", (train: 128, test: 0)), batch: 64),
    views: {
        "x": [("random-resized-crop", (size: 8, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
    },
    modules: {
        "backbone": ("resnet", (blocks: [1, 1, 1, 1], block: Basic, width: 2, stem: Cifar, batch_norm_splits: 8)),
        "head": ("linear", (out: 8)),
        "contrast": ("queue", (len: 64, temperature: 0.2)),
    },
    graph: [
        (id: "q", run: ["backbone", "head"], on: ["x"]),
        (id: "k", run: ["backbone", "head"], on: ["x"], weights: Momentum),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    momentum: (start: 0.9),
    optimizer: ("sgd", (momentum: 0.9)),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("constant", ()),
    epochs: 1,
    checkpoint: (best: None),
)"#;

/// How the changed pipeline ends on a device of so much memory: what the second process prints.
fn outcome(mebibytes: f64, change: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "trains_in_the_second_process", "--nocapture"])
        .env("CUDA_EMULATION_MEMORY_MIB", mebibytes.to_string())
        .env(CHANGE, change)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout.split("outcome: ").nth(1).unwrap().split("\n\n").next().unwrap().to_owned()
}

#[test]
fn trains_in_the_second_process() {
    let Ok(change) = std::env::var(CHANGE) else { return };
    let device = tensor_ops::open_device(0).unwrap();
    let changes: Vec<String> =
        change.split(' ').filter(|change| !change.is_empty()).map(str::to_owned).collect();
    let pipeline =
        Pipeline::parse("large.ron", TEXT, &changes, &device).unwrap_or_else(|fault| panic!("{fault}"));
    let root = tempfile::tempdir().unwrap();
    let run = RunFolder::create(root.path(), "large", None).unwrap();
    let options = TrainOptions {
        n_workers: 1,
        processes: std::sync::Arc::new(processes::Alone),
        accept_changed_images: false,
    };
    let finished =
        trainer::train(pipeline, &device, &run, None, &options, &mut Silent, &AtomicBool::new(false));
    let checkpoints = std::fs::read_dir(run.checkpoints()).unwrap().count();
    match finished {
        Ok(_) => println!("outcome: done, {checkpoints} checkpoints\n"),
        Err(error @ TrainError::OutOfMemory { .. }) => println!(
            "outcome: {checkpoints} checkpoint\nerror: {error}\nhint: {}\n",
            error.hint().unwrap_or_default()
        ),
        Err(error) => println!("outcome: another error: {error:?}\n"),
    }
}

#[test]
fn a_batch_without_room_is_told_what_fits_and_it_does() {
    let text = outcome(0.35, "");
    assert!(text.starts_with("1 checkpoint\nerror: the batch of 64 images needs more than the "), "{text}");
    assert!(text.ends_with("hint: `data.micro_batch: 32` would fit, or a batch of at most 32"), "{text}");
    assert_eq!(outcome(0.35, "data.micro_batch=32"), "done, 2 checkpoints");
}

#[test]
fn parts_without_room_are_told_smaller_ones() {
    let text = outcome(0.3, "data.micro_batch=32");
    assert!(text.contains("error: the batch of 64 images, 32 at a time, needs more than the "), "{text}");
    assert!(text.ends_with("hint: `data.micro_batch: 16` would fit"), "{text}");
}

#[test]
fn parts_that_the_pipeline_refuses_are_told_with_the_reason() {
    let text = outcome(0.35, "modules.backbone.batch_norm_splits=1");
    let hint = "hint: a batch of at most 32 would fit; `data.micro_batch: 32` needs another change first: ";
    assert!(text.contains(hint) && text.contains("`batch_norm_splits: 2`"), "{text}");
}

#[test]
fn a_network_without_room_is_told_that_nothing_fits() {
    let text = outcome(0.05, "");
    assert!(text.contains("hint: nothing would fit, down to the smallest batch"), "{text}");
}
