//! Labels that lie elsewhere than the images that a run is trained on.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{Outcome, assert_same_runs, here, metrics, workspace, xtask};

/// Pictures without labels in `photos`, and with labels of two classes in `labeled`; of the latter, one is broken.
fn pictures(root: &Path) {
    let save = |path: &Path, number: u32, class: usize| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let picture = RgbImage::from_fn(40, 34, |x, y| {
            let mut pixel = [(x * (number + 2) % 50) as u8, (y * 3) as u8, 90];
            pixel[class] = pixel[class].saturating_add(110);
            Rgb(pixel)
        });
        picture.save(path).unwrap();
    };
    for number in 0..20 {
        save(&root.join(format!("photos/{number:02}.png")), number, number as usize % 3);
    }
    for (split, n) in [("train", 8), ("val", 3)] {
        for (class, name) in ["ant", "bee"].iter().enumerate() {
            for number in 0..n {
                save(
                    &root.join("labeled").join(split).join(name).join(format!("{number}.png")),
                    number,
                    class,
                );
            }
        }
    }
    std::fs::write(root.join("labeled/train/bee/broken.png"), "404 Not Found").unwrap();
}

/// The arguments of a run on the pictures without labels.
fn run_arguments(out: &str, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["run".to_owned(), here("small.ron"), "--out".into(), out.into()];
    let photos = "data=(source: (\"flat-folder\", (root: \"photos\")), batch: 10)";
    for set in ["epochs=1", photos, "modules.contrast.len=40"].iter().chain(more) {
        arguments.extend(["--set".to_owned(), (*set).to_owned()]);
    }
    arguments
}

const NO_LABELS: [&str; 2] = ["monitor=[(\"feature-collapse\", ())]", "checkpoint=(best: None)"];

fn trained() -> TempDir {
    let root = tempdir().unwrap();
    pictures(root.path());
    xtask(root.path(), run_arguments("run", &NO_LABELS)).done();
    root
}

fn told(root: &Path, evaluation: &str) -> Value {
    let file = root.join("run/evaluations").join(evaluation).join("result.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn an_encoder_is_measured_on_labeled_images_that_it_was_not_trained_on() {
    let root = trained();
    let root = root.path();
    let with =
        |command: &str, data: &str| -> Outcome { xtask(root, command.split(' ').chain(["--data", data])) };
    // By a path, a call and as in a pipeline, and without the run's own images.
    std::fs::rename(root.join("photos"), root.join("gone")).unwrap();
    let mut tables = Vec::new();
    for data in ["labeled", "class-folders(root: \"labeled\")", "(\"class-folders\", (root: \"labeled\"))"] {
        let said = with("knn run --k 5", data).done().stdout;
        assert!(said.contains("6 test images against 16 training images\n"), "{said}");
        assert!(said.contains("\nimages and labels of class folders of labeled\n"), "{said}");
        assert!(said.contains("\n1 unreadable image skipped\n"), "{said}");
        tables.push(said);
    }
    assert!(tables.iter().all(|said| *said == tables[0]), "{tables:?}");

    let said = with("linear run --cached --epochs 5 --batch 8", "labeled").done().stdout;
    assert!(said.contains("\nimages and labels of class folders of labeled\n"), "{said}");
    let result = told(root, "linear-cached-001");
    assert_eq!(result["dataset"], "class folders of labeled");
    assert_eq!((&result["test_images"], &result["train_images"]), (&6.into(), &16.into()));
    assert_eq!(result["best"]["per_class"][1]["class"], "bee");
    let said = with("finetune run --epochs 1 --warmup-epochs 0 --batch 8", "labeled").done().stdout;
    assert!(said.contains("\nimages and labels of class folders of labeled\n"), "{said}");
    assert_eq!(told(root, "finetune-001")["dataset"], "class folders of labeled");
    let classifier = moco::Classifier::load(root.join("run")).unwrap();
    assert_eq!(classifier.facts().dataset, "class folders of labeled");
    assert_eq!(classifier.class_names(), ["ant", "bee"]);

    // The dataset of another pipeline, and a pack.
    let pipeline = here("small.ron");
    let said = with("knn run --k 5", &pipeline).done().stdout;
    assert!(said.contains("16 test images against 64 training images"), "{said}");
    xtask(root, ["pack", "labeled", "-o", "labeled.pack", "--max-unreadable", "0.5"]).done();
    let said = with("knn run --k 5", "labeled.pack").done().stdout;
    assert!(said.contains("\nimages and labels of the pack labeled.pack\n"), "{said}");
}

#[test]
fn a_dataset_that_cannot_be_used_is_told_before_any_work() {
    let root = trained();
    let root = root.path();
    let gray = root.join("gray/train/ant");
    std::fs::create_dir_all(&gray).unwrap();
    GrayImage::from_pixel(40, 40, Luma([9])).save(gray.join("a.png")).unwrap();
    let refused = |data: &str| xtask(root, ["linear", "run", "--cached", "--data", data]).refused();
    for (data, message, hint) in [
        ("labeld", "`labeld` does not exist", "did you mean `labeled`?"),
        (
            "photos",
            "`photos` has no training and test images: no folder `train`",
            "name the dataset and its fields",
        ),
        (
            "class-folder(root: \"labeled\")",
            "no dataset plugin is named `class-folder`",
            "did you mean `class-folders`?",
        ),
        ("class-folders(rot: \"labeled\")", "class-folders: unknown field `rot`", "did you mean `root`?"),
        ("class-folders(root: \"nowhere\")", "nowhere", ""),
        (
            "flat-folder(root: \"photos\")",
            "the training images of this dataset, images under photos, have no labels",
            "--data",
        ),
        (
            "class-folders(root: \"gray\", read: (bands: [1]))",
            "takes images of 3 channels, and those of this dataset, class folders of gray, have 1",
            "as many channels",
        ),
    ] {
        let said = refused(data);
        let (first, second) = said.split_once("\nhint: ").unwrap_or_else(|| panic!("{said}"));
        assert!(first.contains(message), "{data}: {said}");
        assert!(second.contains(hint), "{data}: {said}");
        assert!(!second.contains("--data-root"), "{data}: {said}");
    }
    // Without the option, the error names it.
    let said = xtask(root, ["knn", "run"]).refused();
    assert!(
        said.contains("have no labels\nhint: use a dataset with labels, for instance `--data "),
        "{said}"
    );
    assert!(!root.join("run/evaluations").exists());
}

const ELSEWHERE: &str = "source: (\"class-folders\", (root: \"labeled\"))";

#[test]
fn monitors_measure_on_a_dataset_of_their_own() {
    let root = trained();
    let root = root.path();
    let monitors = format!(
        "monitor=[(\"knn\", (every: 1, k: 5, {ELSEWHERE})), (\"linear-probe\", (every: 1, epochs: 3, {ELSEWHERE})), \
         (\"feature-collapse\", ())]"
    );
    let outcome = xtask(root, run_arguments("with", &[&monitors])).done();
    let protocol = "  knn_top1: backbone features, k 5, T 0.1, 6 test images against 16 train images, view `eval`; class folders of labeled\n";
    assert_eq!(outcome.stderr.matches(protocol).count(), 1, "{outcome}");
    let with = root.join("with");
    let unreadable = std::fs::read_to_string(with.join("unreadable.txt")).unwrap();
    assert!(unreadable.starts_with("labeled/train/bee/broken.png: "), "{unreadable}");
    let last = metrics(&with).pop().unwrap();
    assert_eq!(last["unreadable"], 1);
    assert!(last["probe_top1"].is_number() && last["feature_std"].is_number(), "{last:?}");
    // What the command measures on the same images.
    let said = xtask(root, ["knn", "with", "--k", "5", "--data", "labeled"]).done().stdout;
    let top1 = 100.0 * last["knn_top1"].as_f64().unwrap();
    assert!(said.contains(&format!("5  0.1  {top1:.2} %")), "{said}");
    // The encoder has not seen them.
    let bits = |run: &str| {
        let path = crate::support::checkpoint(&root.join(run), 2);
        run_store::checkpoint::read(&path).unwrap().tensors
    };
    assert!(bits("run") == bits("with"));

    // It is opened before the first step, and nothing is left where it is not there.
    let nowhere = monitors.replace("labeled", "nowhere");
    let said = xtask(root, run_arguments("without", &[&nowhere])).refused();
    assert!(said.starts_with("error: nowhere"), "{said}");
    assert!(!root.join("without").exists());
    let file = with.join("pipeline.ron").display().to_string();
    let said = xtask(root, ["check", &file]).done().stdout;
    assert!(
        said.contains("  data: images under photos: 20 training images, no test images, no labels\n"),
        "{said}"
    );
    assert!(
        said.contains(
            "  data of knn: class folders of labeled: 17 training images, 6 test images, 2 classes\n"
        ),
        "{said}"
    );
    // Moved with the run's own images or alone, it is found again.
    std::fs::rename(root.join("labeled"), root.join("moved")).unwrap();
    let resumed = ["run", "--resume", "with", "--data-root", "labeled=moved"];
    xtask(root, resumed).done();
}

#[test]
fn monitors_with_their_own_images_measure_the_same_in_two_processes() {
    let root = tempdir().unwrap();
    pictures(root.path());
    let labeled = root.path().join("labeled").display().to_string();
    let own =
        format!("monitor=[(\"knn\", (every: 1, k: 5, source: (\"class-folders\", (root: {labeled:?}))))]");
    let sets = ["data.micro_batch=8", "data.source.train=64", "modules.backbone.batch_norm_splits=2", &own];
    let runs = [1, 2].map(|n| crate::processes::run(n, root.path(), "small.ron", &sets));
    assert_same_runs(&runs[0], &runs[1]);
    assert_eq!(metrics(&runs[1]).last().unwrap()["unreadable"], 1);
}

#[test]
fn a_loss_that_needs_labels_is_refused_before_a_run_has_a_folder() {
    let root = tempdir().unwrap();
    pictures(root.path());
    let supcon = workspace().join("pipelines/family/supcon.ron").display().to_string();
    let photos = "data=(source: (\"flat-folder\", (root: \"photos\")), batch: 10)";
    let needs = "the loss `sup-con` needs a class for every image, and 20 of 20 training images have none";
    let said = xtask(root.path(), ["check", &supcon, "--set", photos]).done().stdout;
    assert!(
        said.contains(&format!("\n  note: `run` would refuse it here: {needs}; use a dataset")),
        "{said}"
    );
    let stderr = xtask(root.path(), ["run", &supcon, "--set", photos]).refused();
    assert!(stderr.starts_with(&format!("error: {needs}\nhint: use a dataset with classes")), "{stderr}");
    assert!(!root.path().join("runs").exists());
}
