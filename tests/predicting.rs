//! Classes of images, by the classifiers that `linear` and `finetune` keep.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use moco::Classifier;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{here, same_bytes, xtask};

const CLASSES: [&str; 3] = ["blue \"sky\"", "green", "red"];

/// Pictures of three colors under `root/data`, 30 to train and 12 to test.
fn pictures(root: &Path) {
    for (split, n) in [("train", 10), ("val", 4)] {
        for (class, name) in CLASSES.iter().enumerate() {
            let folder = root.join("data").join(split).join(name);
            std::fs::create_dir_all(&folder).unwrap();
            for number in 0..n {
                let picture = RgbImage::from_fn(36, 33, |x, y| {
                    let mut pixel = [20 + (x * y * (number + 3) % 60) as u8; 3];
                    pixel[2 - class] += 40 + 12 * (number as u8 % 8);
                    Rgb(pixel)
                });
                picture.save(folder.join(format!("{number}.png"))).unwrap();
            }
        }
    }
}

/// A run on these pictures, with a probe and a fine-tuned encoder.
fn trained() -> TempDir {
    let root = tempdir().unwrap();
    pictures(root.path());
    let source = ["--set", "data.source=(\"class-folders\", (root: \"data\"))", "--set", "data.batch=10"];
    let more = ["--set", "epochs=1", "--out", "run"];
    xtask(root.path(), ["run", &here("small.ron")].iter().copied().chain(source).chain(more)).done();
    xtask(root.path(), ["linear", "run", "--cached", "--epochs", "30", "--batch", "8", "--lr", "3"]).done();
    let finetune =
        "finetune run --epochs 3 --warmup-epochs 1 --batch 10 --lr 0.02 --out run/evaluations/tuned";
    xtask(root.path(), finetune.split(' ')).done();
    root
}

/// The predicted class of each test image, by the folder that it is in, counted: true classes are rows.
fn confusion(rows: &[(PathBuf, String)]) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; CLASSES.len()]; CLASSES.len()];
    for (path, predicted) in rows {
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let number = |name: &str| CLASSES.iter().position(|class| *class == name).unwrap();
        counts[number(folder)][number(predicted)] += 1;
    }
    counts
}

#[test]
fn classes_are_those_that_the_evaluation_has_counted() {
    let root = trained();
    let root = root.path();
    let told = |evaluation: &str| -> Value {
        let file = root.join("run/evaluations").join(evaluation).join("result.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    };
    for (evaluation, expected) in [
        ("linear-cached-001", told("linear-cached-001")["best"]["confusion"].clone()),
        ("tuned", told("tuned")["confusion"].clone()),
    ] {
        let folder = format!("run/evaluations/{evaluation}");
        let file = format!("{evaluation}.csv");
        let said = xtask(root, ["predict", &folder, "data/val", "-o", &file, "--top", "2"]).done().stdout;
        assert!(said.starts_with(&format!("{file}: 12 images, classes among 3 (")), "{said}");
        assert!(said.contains(&format!("view `eval`, {folder}/classifier.safetensors)")), "{said}");
        let mut table = csv::Reader::from_path(root.join(&file)).unwrap();
        let head: Vec<&str> = table.headers().unwrap().iter().collect();
        assert_eq!(head, ["path", "class", "confidence", "class2", "confidence2"]);
        let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
        let predicted: Vec<(PathBuf, String)> =
            rows.iter().map(|row| (PathBuf::from(&row[0]), row[1].to_owned())).collect();
        assert_eq!(serde_json::json!(confusion(&predicted)), expected, "{evaluation}");
        for row in &rows {
            let [first, second]: [f32; 2] = [2, 4].map(|column| row[column].parse().unwrap());
            assert!(first >= second && first + second <= 1.0 + 1e-6 && row[1] != row[3], "{row:?}");
        }
        // The same as JSON, in other batches and threads, and from Rust.
        let json = format!("{evaluation}.json");
        let machine = ["--batch", "5", "--workers", "3", "--threads", "1"];
        xtask(root, ["predict", &folder, "data/val", "-o", &json].iter().copied().chain(machine)).done();
        let list: Vec<Value> = serde_json::from_slice(&std::fs::read(root.join(&json)).unwrap()).unwrap();
        let mut classifier = Classifier::load(root.join(&folder)).unwrap();
        assert_eq!(classifier.class_names(), CLASSES);
        let paths: Vec<PathBuf> = predicted.iter().map(|(path, _)| root.join(path)).collect();
        let predictions = classifier.predict(&paths).unwrap();
        for (place, (object, row)) in list.iter().zip(&rows).enumerate() {
            assert_eq!((object["path"].as_str(), object["class"].as_str()), (Some(&row[0]), Some(&row[1])));
            assert_eq!(object["top"].as_array().unwrap().len(), 1);
            let best = predictions.best(place);
            assert_eq!(CLASSES[best.class], &row[1]);
            assert_eq!(best.confidence, row[2].parse::<f32>().unwrap());
            assert_eq!(object["confidence"].as_f64().unwrap() as f32, best.confidence);
        }
    }
}

#[test]
fn of_a_run_the_newest_classifier_is_taken_and_nothing_else_of_it_is_needed() {
    let root = trained();
    let root = root.path();
    std::fs::write(root.join("data/val/red/broken.png"), "404 Not Found").unwrap();
    std::fs::rename(root.join("data/val"), root.join("photos")).unwrap();
    std::fs::remove_dir_all(root.join("data")).unwrap();
    std::fs::remove_dir_all(root.join("run/checkpoints")).unwrap();
    std::fs::remove_file(root.join("run/pipeline.ron")).unwrap();
    let outcome = xtask(root, ["predict", "run", "photos"]).done();
    assert!(outcome.stdout.starts_with("path "), "{outcome}");
    assert_eq!(outcome.stdout.lines().count(), 14, "{outcome}");
    let last = outcome.stdout.lines().last().unwrap();
    assert!(
        last.starts_with("12 images, classes among 3 (fine-tuning, base learning rate 0.02, "),
        "{outcome}"
    );
    assert!(
        last.ends_with("run/evaluations/tuned/classifier.safetensors), 1 unreadable image skipped"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("skipped: photos/red/broken.png: "), "{outcome}");
    assert!(outcome.stdout.lines().nth(1).unwrap().contains(" %"), "{outcome}");
}

#[test]
fn an_encoder_is_used_where_the_images_of_its_run_are_gone() {
    let root = tempdir().unwrap();
    let root = root.path();
    pictures(root);
    xtask(root, ["pack", "data", "-o", "data.pack"]).done();
    let lists = ["train", "val"].map(|split| {
        let images = CLASSES.map(|class| format!("data/{split}/{class}/0.png\tx\n").repeat(4));
        let list = root.join(format!("{split}.txt"));
        std::fs::write(&list, images.concat()).unwrap();
        format!("{split}.txt")
    });
    let sources = [
        "(\"class-folders\", (root: \"data\"))".to_owned(),
        "(\"pack\", (path: \"data.pack\"))".to_owned(),
        format!("(\"list-file\", (path: {:?}, test: {:?}))", lists[0], lists[1]),
    ];
    for (place, source) in sources.iter().enumerate() {
        let set = ["data.batch=10", "epochs=1", "modules.contrast.len=40"].map(str::to_owned);
        let set = set.into_iter().chain([format!("data.source={source}")]);
        let arguments = ["run".to_owned(), here("small.ron"), "--out".into(), format!("run-{place}")];
        xtask(root, arguments.into_iter().chain(set.flat_map(|set| ["--set".to_owned(), set]))).done();
    }
    std::fs::rename(root.join("data"), root.join("photos")).unwrap();
    for file in ["data.pack", "train.txt", "val.txt"] {
        std::fs::remove_file(root.join(file)).unwrap();
    }
    for place in 0..sources.len() {
        let run = format!("run-{place}");
        xtask(root, ["embed", &run, "photos/val", "-o", &format!("{place}.npy")]).done();
        xtask(root, ["neighbors", &run, "photos/val", "-o", &format!("{place}.html")]).done();
        xtask(root, ["export", &run, "--to", "torchvision", "-o", &format!("{place}.safetensors")]).done();
        let probe = "linear --cached --epochs 2 --batch 8 --data photos";
        xtask(root, probe.split(' ').chain([run.as_str()])).done();
        xtask(root, ["predict", &run, "photos/val", "-o", &format!("{place}.csv")]).done();
        let gone = xtask(root, ["knn", &run]).refused();
        assert!(gone.contains("--data-root"), "{gone}");
    }
}

#[test]
fn what_cannot_be_predicted_is_refused_before_an_image_is_read() {
    let root = trained();
    let root = root.path();
    let predict = |more: &[&str]| xtask(root, ["predict"].iter().chain(more));
    predict(&["run", "data/val", "-o", "a.csv"]).done();
    let before = root.join("before.csv");
    std::fs::copy(root.join("a.csv"), &before).unwrap();
    let stderr = predict(&["run", "data/train", "-o", "a.csv"]).refused();
    assert!(
        stderr.contains("`a.csv` already exists\nhint: choose another name, or overwrite it with `--force`"),
        "{stderr}"
    );
    assert!(same_bytes(&before, &root.join("a.csv")));
    predict(&["run", "data/train", "-o", "a.csv", "--force"]).done();
    assert!(!same_bytes(&before, &root.join("a.csv")));
    let outcome = predict(&["run", "data/val", "-o", "a.txt"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("`a.txt` has no known extension"), "{outcome}");

    let stderr = predict(&["rnu", "data/val"]).refused();
    assert_eq!(stderr, "error: `rnu` does not exist\nhint: did you mean `run`?\n");
    std::fs::rename(root.join("run/evaluations"), root.join("evaluations")).unwrap();
    let stderr = predict(&["run", "data/val"]).refused();
    assert!(stderr.starts_with("error: `run` has no classifier yet\nhint: train one with "), "{stderr}");
    let stderr = predict(&["run/checkpoints/step-00000003.safetensors", "data/val"]).refused();
    assert!(stderr.contains("is a checkpoint without a classifier\nhint: "), "{stderr}");
    let file = "evaluations/tuned/classifier.safetensors";
    let mut bytes = std::fs::read(root.join(file)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(root.join(file), bytes).unwrap();
    let stderr = predict(&[file, "data/val"]).refused();
    assert!(stderr.contains("is damaged: its checksum does not match its contents"), "{stderr}");
    assert!(predict(&["evaluations/linear-cached-001", "nowhere"]).refused().contains("does not exist"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_no_predictions() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Command;

    let root = trained();
    let root = root.path();
    std::fs::write(root.join("list.txt"), "data/val/red/0.png\n".repeat(200_000)).unwrap();
    let mut child = crate::support::start(root, ["predict", "run", "list.txt", "-o", "a.csv"]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("predicting ") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before its first line");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let outcome = child.wait_with_output().unwrap();
    assert_eq!(outcome.status.code(), Some(130));
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "stopped; nothing was written\n");
    assert!(!root.join("a.csv").exists());
}
