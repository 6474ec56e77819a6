//! The same numbers as the reference implementation, and no others pass.
//!
//! The golden files are large and lie beside the repository; where they are not, these tests say so and pass.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{workspace, xtask};

const GOLDEN: [&str; 7] = [
    "moco_v1_resnet18_w8",
    "moco_v2_resnet18_w8",
    "moco_v2_resnet50_w8",
    "moco_v3_resnet_lars",
    "moco_v3_vit_adamw",
    "moco_v3_vit_convstem_adamw",
    "augment",
];

/// Groups that are over their limit with the kernels of plain Rust, as they round: the input of one ReLU falls on the other
/// side of 0, and the gradients of all that comes before it with it. What comes behind it is right to 1e-5.
const SWITCHED_IF_PORTABLE: [(&str, &[&str]); 2] = [
    ("moco_v2_resnet50_w8", &["step0/grad", "eval"]), // behind layer4.0, channel 217
    ("moco_v3_resnet_lars", &["step0/grad"]),         // in or behind layer1.0
];

/// The groups of the golden file called `name` that are over their limit, if `others` are.
fn expected_over(name: &str, others: &[&str]) -> BTreeSet<String> {
    let is_portable = tensor_ops::kernel_family() == "portable";
    let switched = SWITCHED_IF_PORTABLE.iter().filter(|(file, _)| is_portable && *file == name);
    let groups = switched.flat_map(|(_, groups)| *groups).chain(others);
    groups.map(|group| (*group).to_owned()).collect()
}

/// The golden file called `name`; `None` if it is missing, and the environment says to skip what needs it.
fn golden(name: &str) -> Option<PathBuf> {
    let path = workspace().join(format!("../shared/golden/{name}.safetensors"));
    if path.is_file() {
        return Some(path);
    }
    let missing = format!("parity with {name}: there is no {}", path.display());
    assert!(std::env::var_os("MOCO_SKIP_GOLDEN").is_some(), "{missing}; MOCO_SKIP_GOLDEN=1 skips it");
    // Past the test harness, which keeps to itself what a passing test prints.
    let mut terminal = std::io::stderr();
    writeln!(terminal, "\nSKIPPED: {missing}\n").unwrap();
    None
}

/// Compares with the golden file at `path`: the exit code, and the groups that are over their limit.
fn compare(folder: &Path, path: &Path) -> (Option<i32>, BTreeSet<String>) {
    let outcome = xtask(folder, [Path::new("parity"), Path::new("--json"), path]);
    let lines: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{outcome}");
    let over = lines.iter().filter(|line| line["ok"] != true);
    (outcome.code, over.map(|line| line["group"].as_str().unwrap().to_owned()).collect())
}

/// A copy of the golden file at `path`, in which the values of one tensor have their signs or bits flipped.
fn tampered(path: &Path, tensor: &str, copy: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let flipped: Vec<u8> = match file.tensor(tensor).unwrap() {
        bytes if bytes.dtype() == safetensors::Dtype::U8 => bytes.data().iter().map(|byte| !byte).collect(),
        // The sign is in the last byte of four.
        floats => {
            floats.data().as_chunks().0.iter().flat_map(|[a, b, c, d]| [*a, *b, *c, d ^ 0x80]).collect()
        }
    };
    let views = file.tensors().into_iter().map(|(name, view)| {
        if name == tensor {
            let view = TensorView::new(view.dtype(), view.shape().to_vec(), &flipped).unwrap();
            return (name, view);
        }
        (name, view)
    });
    std::fs::write(copy, safetensors::serialize(views, header.metadata().clone()).unwrap()).unwrap();
}

#[test]
fn training_steps_and_augmentations_give_the_numbers_of_the_reference() {
    let folder = tempdir().unwrap();
    for name in GOLDEN {
        let Some(path) = golden(name) else { continue };
        let expected = expected_over(name, &[]);
        let code = if expected.is_empty() { 0 } else { 1 };
        assert_eq!(compare(folder.path(), &path), (Some(code), expected), "{name}");
    }
}

#[test]
fn other_numbers_are_over_the_limit_of_their_group() {
    let folder = tempdir().unwrap();
    let cases = [
        ("moco_v2_resnet18_w8", "step0/logits", "step0/logits"),
        ("moco_v2_resnet18_w8", "step0/grad/layer1.0.conv1.weight", "step0/grad"),
        ("moco_v1_resnet18_w8", "final/encoder_k.fc.weight", "final"),
        ("moco_v1_resnet18_w8", "final/queue", "final"),
        ("moco_v1_resnet18_w8", "eval/q", "eval"),
        ("moco_v3_resnet_lars", "step0/grad/predictor.3.weight", "step0/grad"),
        ("moco_v3_resnet_lars", "final/momentum_encoder.fc.0.weight", "final"),
        ("moco_v3_resnet_lars", "eval/z", "eval"),
        ("moco_v3_vit_adamw", "step1/loss", "step1/loss"),
        ("moco_v3_vit_adamw", "step0/grad/base_encoder.cls_token", "step0/grad"),
        ("moco_v3_vit_adamw", "final/base_encoder.patch_embed.proj.weight", "final"),
        ("moco_v3_vit_convstem_adamw", "step0/grad/base_encoder.patch_embed.proj.0.weight", "step0/grad"),
        ("moco_v3_vit_convstem_adamw", "final/predictor.4.running_mean", "final"),
        ("augment", "0/grayscale", "0/grayscale"),
    ];
    for (name, tensor, group) in cases {
        let Some(path) = golden(name) else { continue };
        let copy = folder.path().join(format!("{name}.safetensors"));
        tampered(&path, tensor, &copy);
        let expected = expected_over(name, &[group]);
        assert_eq!(compare(folder.path(), &copy), (Some(1), expected), "{name}: {tensor}");
    }
}

#[test]
fn weights_that_differ_at_the_start_differ_in_every_group() {
    let folder = tempdir().unwrap();
    for (name, tensor, groups) in [
        ("moco_v2_resnet18_w8", "init/encoder_q.conv1.weight", &["step0/logits", "step0/loss"]),
        ("moco_v3_vit_adamw", "init/base_encoder.pos_embed", &["step0/loss", "step1/loss"]),
    ] {
        let Some(path) = golden(name) else { continue };
        let copy = folder.path().join("other.safetensors");
        tampered(&path, tensor, &copy);
        let (code, over) = compare(folder.path(), &copy);
        assert_eq!(code, Some(1));
        for group in groups.iter().chain(&["step0/grad", "final", "eval"]) {
            assert!(over.contains(*group), "{name}: {group} is not among {over:?}");
        }
    }
}

/// The golden files of losses, which are part of the repository.
fn losses() -> Vec<PathBuf> {
    let crates = std::fs::read_dir(workspace().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let folders = crates.map(|folder| folder.join("tests/golden"));
    let objectives = folders.filter(|folder| folder.to_string_lossy().contains("/objectives-"));
    let files = objectives.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn losses_give_the_numbers_of_the_reference_all_files_in_one_command() {
    let folder = tempdir().unwrap();
    let files = losses();
    assert!(files.len() >= 7, "{files:?}");
    let outcome =
        xtask(folder.path(), [PathBuf::from("parity"), "--json".into()].into_iter().chain(files.clone()));
    assert_eq!(outcome.code, Some(0), "{outcome}");
    let lines: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named: BTreeSet<&str> = lines.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert_eq!(named.len(), files.len());
    let dino = |line: &&Value| line["file"].as_str().unwrap().ends_with("loss_dino.safetensors");
    let groups: Vec<&str> = lines.iter().filter(dino).map(|line| line["group"].as_str().unwrap()).collect();
    let of_step = |step| ["loss", "grad", "center_after"].map(|what| format!("step{step}/{what}"));
    assert_eq!(groups, [0, 1, 2].map(of_step).concat());
}

#[test]
fn other_numbers_of_a_loss_are_over_the_limit_and_another_loss_is_refused() {
    let folder = tempdir().unwrap();
    let dino = losses().into_iter().find(|path| path.ends_with("loss_dino.safetensors")).unwrap();
    let copy = folder.path().join("loss.safetensors");
    for (tensor, group) in [
        ("step0/loss", "step0/loss"),
        ("step1/grad/student3", "step1/grad"),
        ("step2/center_after", "step2/center_after"),
    ] {
        tampered(&dino, tensor, &copy);
        assert_eq!(compare(folder.path(), &copy), (Some(1), BTreeSet::from([group.to_owned()])), "{tensor}");
    }
    let bytes = std::fs::read(&dino).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut settings = header.metadata().clone().unwrap();
    settings.insert("loss".into(), "\"no-such-loss\"".into());
    std::fs::write(&copy, safetensors::serialize(file.tensors(), Some(settings)).unwrap()).unwrap();
    let stderr = xtask(folder.path(), [Path::new("parity"), &copy]).refused();
    assert!(stderr.contains("its loss is `no-such-loss`, and only nt_xent, dcl, "), "{stderr}");
}

#[test]
fn a_file_without_a_gradient_or_with_a_queue_that_it_cannot_hold_is_refused() {
    let folder = tempdir().unwrap();
    let copy = folder.path().join("copy.safetensors");
    let refused = || xtask(folder.path(), [Path::new("parity"), &copy]).refused();
    for path in losses().iter().filter(|path| path.ends_with("loss_barlow_twins.safetensors")) {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let others = file.tensors().into_iter().filter(|(name, _)| name != "step0/grad/z1");
        std::fs::write(&copy, safetensors::serialize(others, header.metadata().clone()).unwrap()).unwrap();
        let told = refused();
        assert!(told.contains("there is no `step0/grad/z1`, and here that gradient is not 0"), "{told}");
    }
    if let Some(path) = golden("moco_v2_resnet18_w8") {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let mut settings = header.metadata().clone().unwrap();
        settings.insert("queue".into(), "1000000000000".into());
        let file = SafeTensors::deserialize(&bytes).unwrap();
        std::fs::write(&copy, safetensors::serialize(file.tensors(), Some(settings)).unwrap()).unwrap();
        let told = refused();
        assert!(told.contains("`queue` is 1000000000000, and it has no room for so many keys"), "{told}");
    }
}

#[test]
fn what_is_no_golden_file_is_refused() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("text.safetensors"), "no numbers in here").unwrap();
    let stderr = xtask(folder.path(), ["parity", "text.safetensors"]).refused();
    assert!(stderr.contains("`text.safetensors` is not a golden file"), "{stderr}");
    let stderr = xtask(folder.path(), ["parity", "nothing.safetensors"]).refused();
    assert!(stderr.contains("`nothing.safetensors` does not exist"), "{stderr}");
}
