//! `train` on folders as people have them, and `summary`.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Outcome, assert_same_runs, checkpoint_steps, here, metrics, xtask};

/// An image that no other number has.
fn save(path: impl AsRef<Path>, number: usize) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    let at = |x: u32, y: u32| ((x as usize * (3 + number % 7)) ^ (y as usize * (1 + number % 11))) as u8;
    RgbImage::from_fn(18, 14, |x, y| Rgb([at(x, y), number as u8, at(y, x)])).save(path).unwrap();
}

fn flat(folder: &Path, n: usize) {
    (0..n).for_each(|number| save(folder.join(format!("photos/{number}.png")), number));
}

fn classes(folder: &Path, n: usize) {
    (0..n).for_each(|number| {
        save(folder.join(format!("photos/{}/{number}.png", ["ant", "bee"][number % 2])), number)
    });
}

/// `train` on the folder `photos`, with a narrow encoder and small batches.
fn train(folder: &Path, more: &[&str]) -> Outcome {
    let small = ["train", "photos", "--size", "32", "--batch", "8", "--set", "modules.backbone.width=4"];
    xtask(folder, small.iter().chain(more))
}

fn kept(run: &Path) -> String {
    std::fs::read_to_string(run.join("pipeline.ron")).unwrap()
}

#[test]
fn class_folders_are_trained_on_and_measured_by_their_labels() {
    let folder = tempdir().unwrap();
    classes(folder.path(), 240);
    let said = train(folder.path(), &["--epochs", "1", "--seed", "5"]).done();
    for line in [
        "images    240 images: each of its 2 folders is a class",
        "encoder   resnet18, width 4, CIFAR stem, 32 px: as asked for",
        "method    MoCo v2, batch of 8",
        "length    1 epoch, 27 steps: as asked for",
        "measured  kNN of 20 neighbors, and collapse, on 17 images, 5 % held out",
        "estimate  ",
        "pipeline  photos, seed 5",
        "run       runs/photos-001",
    ] {
        assert!(said.stdout.contains(line), "{line}\n{said}");
    }
    let run = folder.path().join("runs/photos-001");
    let text = kept(&run);
    for part in [
        "cargo xtask train photos --size 32 --epochs 1 --batch 8 --seed 5 --set modules.backbone.width=4",
        "// Yours, whatever stands behind it: `--set modules.backbone.width=4`",
        "seed: 5, // yours",
        "test: 0.05, // ",
    ] {
        assert!(text.contains(&part.replace("cargo xtask", "moco")), "{part}\n{text}");
    }
    let last = metrics(&run).pop().unwrap();
    assert!(last["knn_top1"].is_number() && last["epoch"] == 1, "{last:?}");
    // What is kept is a pipeline like any other, and gives the same run.
    xtask(folder.path(), ["run", "runs/photos-001/pipeline.ron", "--out", "again"]).done();
    assert_same_runs(&run, &folder.path().join("again"));
    let resumed = xtask(folder.path(), ["run", "--resume", "runs/photos-001"]).done();
    assert!(resumed.stdout.contains("already complete"), "{resumed}");
}

#[test]
fn few_images_in_a_flat_folder_are_trained_on_without_labels() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 20);
    let outcome = xtask(
        folder.path(),
        ["train", "photos", "--epochs", "2", "--out", "run", "--set", "modules.backbone.width=4"],
    )
    .done();
    let measured = "measured  collapse on the training images: without labels";
    assert!(outcome.stdout.contains(measured), "{outcome}");
    // What was told before the run had a folder is in its log too.
    let log = std::fs::read_to_string(folder.path().join("run/run.log")).unwrap();
    for part in ["Z timing a few steps", "Z images    20 images", "Z estimate  ", measured] {
        assert!(log.contains(part), "{part}\n{log}");
    }
    let text = kept(&folder.path().join("run"));
    for part in
        ["(\"flat-folder\", (root: \"photos\"))", "batch: 8, // 20 images make few steps", "len: 8, // "]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("\"split\""));
    assert_eq!(checkpoint_steps(&folder.path().join("run")).last(), Some(&4));
}

#[test]
fn gray_images_change_in_brightness_and_not_in_hue() {
    let folder = tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    for number in 0..24_u8 {
        let image = GrayImage::from_fn(40, 33, |x, y| Luma([(x * y) as u8 ^ number]));
        image.save(folder.path().join(format!("photos/{number}.png"))).unwrap();
    }
    for method in ["v1", "v2", "v3"] {
        train(folder.path(), &["--epochs", "1", "--method", method, "--out", method]).done();
        let text = kept(&folder.path().join(method));
        assert!(text.contains("saturation: 0.0, hue: 0.0") && !text.contains("(\"grayscale\""), "{text}");
    }
}

#[test]
fn a_vit_is_trained_by_v3() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 16);
    let vit = ["train", "photos", "--size", "32", "--batch", "8", "--method", "v3", "--backbone", "vit-tiny"];
    let small = ["--set", "modules.backbone.depth=1", "--epochs", "1", "--out", "run"];
    xtask(folder.path(), vit.iter().chain(&small)).done();
    let text = kept(&folder.path().join("run"));
    assert!(text.contains("patch: 4, // 8 x 8 patches") && text.contains("(\"adamw\""), "{text}");
}

#[test]
fn what_cannot_be_trained_on_is_told_with_what_to_do() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    save(root.join("one/a.png"), 1);
    std::fs::create_dir(root.join("empty")).unwrap();
    std::fs::create_dir(root.join("texts")).unwrap();
    std::fs::write(root.join("texts/a.txt"), "no image").unwrap();
    std::fs::write(root.join("a.ron"), "()").unwrap();
    let refused = |arguments: &[&str]| {
        let stderr = xtask(root, ["train"].iter().chain(arguments)).refused();
        assert!(stderr.contains("\nhint: "), "{stderr}");
        stderr
    };
    for (arguments, told) in [
        (&["one"][..], "there is 1 image to train on, and training needs at least 16"),
        (&["empty"], "there are no images in this folder"),
        (&["texts"], "there are no images in this folder"),
        (&["one/a.png"], "one/a.png: this is an image, and a folder of images"),
        (&["one", "one/a.png"], "one/a.png: this is an image, and a folder of images"),
        (&["nowhere"], "`nowhere` does not exist"),
        (&["a.ron"], "`a.ron` is a pipeline file"),
        (&["one", "--size", "4"], "the size is 4"),
    ] {
        let stderr = refused(arguments);
        assert!(stderr.contains(told), "{arguments:?}\n{stderr}");
    }
    flat(root, 20);
    let stderr = refused(&["photos", "--batch", "64"]);
    assert!(stderr.contains("a batch of 64 images is asked for, and there are 20 images"), "{stderr}");
    assert!(stderr.contains("use `--batch` with at most 5"), "{stderr}");
    // A value that is wrong is told at its place in the text that was written.
    let stderr = xtask(root, ["train", "photos", "--set", "epoch=3"]).refused();
    assert!(stderr.contains("unknown field `epoch`"), "{stderr}");
    assert!(!root.join("runs").exists());
}

#[test]
fn a_dry_run_prints_a_pipeline_and_writes_nothing() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 20);
    let outcome = train(folder.path(), &["--dry-run"]).done();
    assert!(outcome.stderr.contains("estimate  "), "{outcome}");
    let names = |folder: &Path| {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    assert_eq!(names(folder.path()), ["photos"]);
    // It is a whole pipeline.
    std::fs::write(folder.path().join("photos.ron"), &outcome.stdout).unwrap();
    xtask(folder.path(), ["check", "photos.ron"]).done();
}

#[test]
fn where_a_part_of_the_images_is_trained_on_all_that_is_said_is_of_that_part() {
    let folder = tempdir().unwrap();
    // All alike: only their number counts.
    for (split, n_images) in [("train", 8000), ("val", 16)] {
        let at = |number: usize| folder.path().join(format!("photos/{split}/{number}.png"));
        save(at(0), 0);
        let bytes = std::fs::read(at(0)).unwrap();
        (1..n_images).for_each(|number| std::fs::write(at(number), &bytes).unwrap());
    }
    let arguments = ["train", "photos", "--size", "32", "--batch", "8", "--for", "4s", "--dry-run"];
    let narrow = ["--set", "modules.backbone.width=16"];
    let outcome = xtask(folder.path(), arguments.into_iter().chain(narrow)).done();
    let line = |name: &str| {
        let found = outcome.stderr.lines().find(|line| line.starts_with(name));
        found.unwrap_or_else(|| panic!("{name}\n{outcome}"))
    };
    let between = |text: &str, before: &str, after: &str| {
        let rest = text.split_once(before).unwrap_or_else(|| panic!("{before}: {text}")).1;
        rest.split_once(after).unwrap_or_else(|| panic!("{after}: {text}")).0.to_owned()
    };
    let length = line("length    1 epoch over ");
    let share: f64 = between(length, "over ", " % of the images, ").parse().unwrap();
    let steps = between(length, " % of the images, ", " step");
    let longer = length.split_once("would not fit into 4 s; `--for ").map(|(_, longer)| longer);
    assert!(longer.is_some_and(|longer| longer.ends_with("` would train on all")), "{length}");
    let n_steps: f64 = steps.replace(',', "").parse().unwrap();
    // Shares are met on average.
    assert!((n_steps * 8.0 - share * 80.0).abs() < 0.3 * share * 80.0 + 30.0, "{length}");
    let s = if n_steps == 1.0 { "" } else { "s" };
    for part in [
        format!(
            "train: {:?}, // one pass over all the images would not fit into 4 s",
            rounded(share / 100.0)
        ),
        format!("batch: 8, // yours; {steps} step{s} an epoch"),
        format!("epochs: 1, // {steps} step{s}: what fits into 4 s"),
    ] {
        assert!(outcome.stdout.contains(&part), "{part}\n{outcome}");
    }
    // A pass over all images would be longer.
    let total = between(line("estimate  "), " an epoch, ", " s in all");
    assert!(total.parse::<f64>().unwrap() < 4.0, "{outcome}");
}

/// As a file has it.
fn rounded(share: f64) -> f64 {
    (share * 1e7).round() / 1e7
}

#[test]
fn a_folder_that_a_run_cannot_have_is_refused_before_anything_is_timed() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 20);
    std::fs::create_dir(folder.path().join("other")).unwrap();
    std::fs::write(folder.path().join("other/a.txt"), "").unwrap();
    for (out, told) in [
        ("photos", "`photos` has the images, and a run needs a folder that is new or empty"),
        ("other", "`other` is not empty"),
        ("other/a.txt", "`other/a.txt` is a file"),
    ] {
        let outcome = train(folder.path(), &["--epochs", "1", "--out", out]);
        assert_eq!(outcome.stdout, "", "{outcome}");
        let stderr = outcome.refused();
        assert!(stderr.contains(told) && !stderr.contains("timing"), "{stderr}");
        assert!(stderr.contains("hint: give `--out` a new name") && !stderr.contains("--resume"), "{stderr}");
    }
}

#[test]
fn the_lines_and_the_reasons_are_of_what_is_set() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 20);
    let set = ["data.batch=5", "epochs=6", "modules.contrast.len=10", "momentum.start=0.98", "monitor=[]"];
    let set = set.iter().flat_map(|set| ["--set", *set]);
    let arguments = ["train", "photos", "--size", "32", "--dry-run", "--set", "modules.backbone.width=4"];
    let outcome = xtask(folder.path(), arguments.into_iter().chain(set)).done();
    for line in [
        "method    MoCo v2, batch of 5, queue of 10, learning rate 0.0075, momentum 0.98",
        "length    6 epochs, 24 steps: as asked for",
        "measured  nothing: as asked for",
    ] {
        assert!(outcome.stderr.contains(line), "{line}\n{outcome}");
    }
    for part in ["; 4 steps an epoch", "// 24 steps: "] {
        assert!(outcome.stdout.contains(part), "{part}\n{outcome}");
    }
    let outcome = xtask(
        folder.path(),
        arguments.into_iter().chain(["--set", "data.source=(\"shapes\", (train: 64, test: 16))"]),
    )
    .done();
    // That dataset is looked at, and has labels.
    let measured = "measured  kNN of 20 neighbors, and collapse, on 16 test images";
    for line in ["images    64 training images: as asked for", measured] {
        assert!(outcome.stderr.contains(line), "{line}\n{outcome}");
    }
}

#[test]
fn held_out_images_and_a_single_class_are_told() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 400);
    let said = train(folder.path(), &["--dry-run"]).done().stderr;
    let line = said.lines().find(|line| line.starts_with("measured  ")).unwrap();
    assert!(line.ends_with(" images, 5 % held out: without labels only collapse is watched"), "{said}");
    for number in 0..20 {
        save(folder.path().join(format!("one/train/ant/{number}.png")), number);
        save(folder.path().join(format!("one/val/ant/{number}.png")), 20 + number);
    }
    let arguments = ["train", "one", "--size", "32", "--dry-run", "--set", "modules.backbone.width=4"];
    let said = xtask(folder.path(), arguments).done().stderr;
    for line in [
        "images    20 images: `train` has one class, `ant`",
        "measured  collapse on 20 test images: there is one class, with which kNN says nothing",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
}

#[test]
fn an_encoder_has_one_name() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 20);
    let outcome = xtask(folder.path(), ["train", "photos", "--backbone", "resnet-50"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("did you mean `resnet50`?"), "{outcome}");
}

/// A machine that becomes much slower after the timing stops the run, with a checkpoint, instead.
#[test]
fn a_run_of_a_given_time_ends_with_its_schedule_or_is_stopped() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 64);
    let outcome = train(folder.path(), &["--for", "20s", "--out", "run"]);
    let run = folder.path().join("run");
    let text = kept(&run);
    let line = text.lines().find(|line| line.trim_start().starts_with("epochs: ")).unwrap();
    assert!(line.contains(": what fits into 20 s"), "{line}");
    let epochs: u64 = line.trim_start()["epochs: ".len()..].split(',').next().unwrap().parse().unwrap();
    match outcome.code {
        Some(0) => assert_eq!(metrics(&run).pop().unwrap()["epoch"], epochs),
        code => {
            assert_eq!(code, Some(75), "{outcome}");
            assert!(
                outcome.stderr.contains("the time is up") && !checkpoint_steps(&run).is_empty(),
                "{outcome}"
            );
        }
    }
}

#[test]
fn run_on_a_folder_points_to_train() {
    let folder = tempdir().unwrap();
    flat(folder.path(), 20);
    let stderr = xtask(folder.path(), ["run", "photos"]).refused();
    assert!(stderr.contains("`photos` is a folder, and `run` takes a pipeline file"), "{stderr}");
    assert!(stderr.contains("`cargo xtask train photos`"), "{stderr}");
}

#[test]
fn a_summary_knows_layers_products_and_time() {
    let folder = tempdir().unwrap();
    let arguments = ["summary", &here("small.ron"), "--seconds", "1"];
    let line = xtask(folder.path(), arguments.iter().chain(&["--json"])).done().stdout;
    let said: Value = serde_json::from_str(&line).unwrap();
    let module = |name: &str| {
        said["modules"].as_array().unwrap().iter().find(|module| module["name"] == name).unwrap().clone()
    };
    let backbone = module("backbone");
    let first = &backbone["layers"][0];
    assert_eq!((&first["name"], first["parameters"].as_u64()), (&Value::from("conv1"), Some(108)));
    assert_eq!(first["output"], serde_json::json!([32, 32, 4]));
    assert_eq!(first["products"], 32 * 32 * 108);
    // The stages: 4, 8, 16 and 32 channels at 32, 16, 8 and 4 pixels.
    let square = |n: u64| n * n;
    let stage = |channels: u64, px: u64, from: u64| {
        let convolutions = 9 * (from * channels + 3 * channels * channels);
        square(px) * (convolutions + if from == channels { 0 } else { from * channels })
    };
    let stages = stage(4, 32, 4) + stage(8, 16, 4) + stage(16, 8, 8) + stage(32, 4, 16);
    assert_eq!(backbone["products"].as_u64(), Some(32 * 32 * 108 + stages));
    assert_eq!(module("head")["products"], 32 * 16);
    // The own key and the queue, of 16 values each.
    assert_eq!(module("contrast")["products"], 65 * 16);
    let forward = said["products_per_image"].as_u64().unwrap();
    assert_eq!(forward, 32 * 32 * 108 + stages + 32 * 16 + 65 * 16);
    // Queries and keys forward, and two products backward for all but the first layer and the loss.
    let encoder = forward - 65 * 16;
    let step = 16 * (2 * encoder + 2 * encoder - 32 * 32 * 108 + 2 * 65 * 16);
    assert_eq!(said["products_per_step"], step);
    assert_eq!((&said["steps_per_epoch"], &said["training_images"]), (&Value::from(4), &Value::from(64)));
    for field in ["seconds_per_step", "seconds_per_epoch", "seconds_in_all", "seconds_measuring"] {
        assert!(said[field].as_f64().unwrap() > 0.0, "{field}: {said}");
    }
    #[cfg(target_os = "linux")]
    assert!(said["peak_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_summary_without_images_says_so() {
    let folder = tempdir().unwrap();
    let arguments = ["summary", &here("small.ron"), "--seconds", "1", "--set"];
    let source = "data.source=(\"flat-folder\", (root: \"nowhere\"))";
    let said = xtask(folder.path(), arguments.iter().chain(&[source])).done().stdout;
    for part in [
        "backbone (resnet)  4 x 4 x 32",
        "layer4.1",
        "with made-up images: the dataset is not here",
        "parameters  ",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!said.contains("an epoch"), "{said}");
}
