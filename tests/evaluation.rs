//! What a trained encoder is worth: the linear probe and its monitor, and few labels.

use std::path::Path;

use moco::KeptClassifier;
use run_store::checkpoint::{self, Stored};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Outcome, checkpoint, here, metrics, same_bytes, xtask};

/// A run of the small pipeline in `root`, with some of its values changed.
fn trained(root: &Path, out: &str, set: &[&str]) {
    let pipeline = here("small.ron");
    let mut arguments = vec!["run", &pipeline, "--out", out];
    set.iter().for_each(|set| arguments.extend(["--set", set]));
    xtask(root, arguments).done();
}

fn linear(root: &Path, arguments: &[&str]) -> Outcome {
    xtask(root, ["linear"].iter().chain(arguments))
}

fn result(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("result.json")).unwrap()).unwrap()
}

#[test]
fn a_cached_probe_gives_a_table_a_picture_and_the_same_bits_on_any_number_of_threads() {
    let root = tempdir().unwrap();
    trained(root.path(), "run", &["epochs=1"]);
    let probe = |more: &[&str]| {
        let arguments = ["run", "--cached", "--epochs", "20", "--batch", "16"];
        linear(root.path(), &[&arguments[..], more].concat()).done()
    };
    let outcome = probe(&["--threads", "1", "--workers", "1"]);
    for piece in [
        "linear probe, cached features, no augmentation: backbone features (32 values), view `eval`",
        "16 test images against 64 training images",
        "the learning rate of MoCo v1/v2",
        "best of 7 learning rates, chosen on the test images",
        "the encoder is unchanged: ",
        "evaluations/linear-cached-001: result.json, confusion.png, confusion.svg, classifier.safetensors",
    ] {
        assert!(outcome.stdout.contains(piece), "{piece} is not in\n{outcome}");
    }
    assert!(
        outcome
            .stderr
            .contains("warning: differs from the recipe of MoCo v1/v2: batch size 16 instead of 256"),
        "{outcome}"
    );
    let folder = root.path().join("run/evaluations");
    let first = result(&folder.join("linear-cached-001"));
    assert_eq!(first["classifiers"].as_array().unwrap().len(), 7);
    assert_eq!(first["classifiers"][0]["train_loss"].as_array().unwrap().len(), 20);
    let best = first["best"]["classifier"].as_u64().unwrap() as usize;
    let right: u64 = (0..10).map(|class| first["best"]["confusion"][class][class].as_u64().unwrap()).sum();
    assert_eq!(first["classifiers"][best]["top1"], right as f64 / 16.0);
    assert!(first["classifiers"][best]["top5"].as_f64().unwrap() >= right as f64 / 16.0);
    assert!(first["encoder_tensors_unchanged"].as_u64().unwrap() > 60);
    let picture = image::open(folder.join("linear-cached-001/confusion.png")).unwrap();
    assert!(picture.width() > 300 && picture.height() > 300);
    let drawn = std::fs::read_to_string(folder.join("linear-cached-001/confusion.svg")).unwrap();
    assert!(drawn.contains("class of the image") && drawn.contains("class that was found"));

    probe(&["--threads", "2", "--workers", "2"]);
    let second = result(&folder.join("linear-cached-002"));
    assert_eq!(first["classifiers"], second["classifiers"]);
    assert_eq!(first["best"], second["best"]);
    let [kept, other] =
        [1, 2].map(|number| folder.join(format!("linear-cached-{number:03}")).join(KeptClassifier::FILE));
    assert!(same_bytes(&kept, &other));
    let kept = KeptClassifier::read(&kept).unwrap();
    let rate = &first["classifiers"][best]["base_lr"];
    assert_eq!(
        kept.facts.protocol,
        format!(
            "linear probe, cached features, no augmentation, base learning rate {rate}, batch 16, 20 epochs"
        )
    );
    assert_eq!((kept.facts.classes.len(), kept.facts.checkpoint.as_str()), (10, "step-00000004.safetensors"));
    assert_eq!(first["dataset"], kept.facts.dataset);
    // The encoder of the checkpoint, and a classifier on it.
    let run = checkpoint::read(&checkpoint(&root.path().join("run"), 4)).unwrap();
    let of_encoder = |name: &&String| !name.starts_with("classifier.");
    assert!(
        kept.tensors.keys().filter(of_encoder).all(|name| run.tensors[name].has_bits_of(&kept.tensors[name]))
    );
    assert_eq!(kept.tensors.len(), first["encoder_tensors_unchanged"].as_u64().unwrap() as usize + 2);
    let other = probe(&["--seed", "1", "--out", "elsewhere"]);
    assert!(other.stdout.contains("written to elsewhere: "), "{other}");
    let refused = linear(root.path(), &["run", "--cached", "--out", "elsewhere"]).refused();
    assert!(refused.contains("`elsewhere` already exists"), "{refused}");
}

#[test]
fn a_full_probe_trains_on_random_views_and_leaves_the_encoder_as_it_is() {
    let root = tempdir().unwrap();
    trained(root.path(), "run", &["epochs=1"]);
    let before = std::fs::read(checkpoint(&root.path().join("run"), 4)).unwrap();
    let probe = |more: &[&str]| {
        let arguments = ["run", "--epochs", "3", "--lr", "0.3,30"];
        linear(root.path(), &[&arguments[..], more].concat()).done()
    };
    let outcome = probe(&["--threads", "1", "--workers", "1"]);
    assert!(outcome.stdout.contains("linear probe, random crops and flips: backbone features"), "{outcome}");
    assert!(outcome.stdout.contains("the encoder is unchanged: "), "{outcome}");
    probe(&["--threads", "2", "--workers", "3"]);
    let at = |number: usize| result(&root.path().join(format!("run/evaluations/linear-{number:03}")));
    let first = at(1);
    assert_eq!(first["classifiers"], at(2)["classifiers"]);
    assert_eq!(first["classifiers"].as_array().unwrap().len(), 2);
    let outcome = probe(&["--train-view", "key", "--labels", "0.5"]);
    assert!(outcome.stdout.contains("50 % of the labels of each class"), "{outcome}");
    assert!(outcome.stderr.contains("trained on the view `key`"), "{outcome}");
    assert_ne!(first["classifiers"], at(3)["classifiers"]);
    assert!(std::fs::read(checkpoint(&root.path().join("run"), 4)).unwrap() == before);
}

#[test]
fn neighbors_vote_among_the_labels_that_are_used() {
    let root = tempdir().unwrap();
    trained(root.path(), "run", &["epochs=1"]);
    let knn = |labels: &str| xtask(root.path(), ["knn", "run", "--k", "200", "--labels", labels]);
    let all = knn("1").done().stdout;
    assert!(all.contains("200 (there are 64)"), "{all}");
    let few = knn("0.01").done().stdout;
    assert!(few.contains("1 % of the labels of each class, drawn from seed 0"), "{few}");
    assert!(few.contains("16 test images against 10 training images"), "{few}");
    assert_eq!(knn("0").code, Some(2));
}

#[test]
fn datasets_without_labels_or_test_images_are_refused_before_any_work() {
    let root = tempdir().unwrap();
    let images = root.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for i in 0..20_u8 {
        image::RgbImage::from_pixel(40, 40, image::Rgb([10 * i; 3]))
            .save(images.join(format!("{i}.png")))
            .unwrap();
    }
    let flat = format!("data.source=(\"flat-folder\", (root: {:?}))", images.display().to_string());
    trained(
        root.path(),
        "flat",
        &["epochs=1", "monitor=[(\"feature-collapse\", ())]", "checkpoint=(best: None)", &flat],
    );
    trained(root.path(), "no-test", &["epochs=1", "data.source.test=0", "checkpoint=(best: None)"]);
    for command in ["linear", "knn"] {
        let refused = xtask(root.path(), [command, "flat"]).refused();
        assert!(refused.contains("have no labels\nhint: use a dataset with labels"), "{refused}");
        let refused = xtask(root.path(), [command, "no-test"]).refused();
        assert!(refused.starts_with("error: this dataset has no test images\nhint: "), "{refused}");
    }
    assert!(!root.path().join("flat/evaluations").exists());
}

#[test]
fn fine_tuning_learns_from_labels_and_leaves_the_checkpoint_as_it_is() {
    let root = tempdir().unwrap();
    trained(root.path(), "run", &["epochs=1"]);
    let before = std::fs::read(checkpoint(&root.path().join("run"), 4)).unwrap();
    let finetune = |more: &[&str]| {
        let arguments = "finetune run --epochs 10 --warmup-epochs 1 --batch 16 --lr 0.2 --train-view eval";
        xtask(root.path(), arguments.split(' ').chain(more.iter().copied())).done()
    };
    let outcome = finetune(&["--threads", "1", "--workers", "1"]);
    for piece in ["fine-tuned: all layers", "16 test images against 64 training images", "top-1 ", "top-5 "] {
        assert!(outcome.stdout.contains(piece), "{piece} is not in\n{outcome}");
    }
    let at = |number: usize| result(&root.path().join(format!("run/evaluations/finetune-{number:03}")));
    let loss = |epoch: usize| at(1)["train_loss"][epoch].as_f64().unwrap();
    assert!(loss(9) < loss(0) - 0.3, "{} to {}", loss(0), loss(9));
    finetune(&["--threads", "2", "--workers", "3"]);
    assert_eq!(at(1)["train_loss"], at(2)["train_loss"]);
    assert_eq!(at(1)["confusion"], at(2)["confusion"]);
    let kept =
        |number| root.path().join(format!("run/evaluations/finetune-{number:03}")).join(KeptClassifier::FILE);
    assert!(same_bytes(&kept(1), &kept(2)));
    let tensors = KeptClassifier::read(&kept(1)).unwrap().tensors;
    let run = checkpoint::read(&checkpoint(&root.path().join("run"), 4)).unwrap();
    let Stored::F32 { shape, .. } = &tensors["query.backbone.conv1.weight"] else { panic!("it is a weight") };
    assert_eq!(shape, &[4, 3, 3, 3]);
    assert!(!tensors["query.backbone.conv1.weight"].has_bits_of(&run.tensors["query.backbone.conv1.weight"]));
    // Fewer images than a batch has.
    let outcome = finetune(&["--labels", "0.01"]);
    assert!(outcome.stdout.contains("against 10 training images"), "{outcome}");
    assert!(std::fs::read(checkpoint(&root.path().join("run"), 4)).unwrap() == before);
    let refused = xtask(root.path(), ["finetune", "run", "--layer-decay", "0"]).refused();
    assert!(refused.contains("the layer decay is 0, but it must be above 0 and up to 1"), "{refused}");
}

#[test]
fn a_vit_is_fine_tuned_by_the_published_recipe_with_the_same_bits_on_any_number_of_threads() {
    let root = tempdir().unwrap();
    let small = "--set epochs=1 --set data.source.train=64 --set modules.backbone.depth=2";
    let pipeline = here("v3.ron");
    let arguments = ["run", &pipeline, "--out", "run"].into_iter().chain(small.split(' '));
    xtask(root.path(), arguments).done();
    let finetune = |more: &str| {
        let arguments =
            format!("finetune run --recipe v3-vit --epochs 3 --warmup-epochs 1 --batch 16 {more}");
        xtask(root.path(), arguments.split_whitespace()).done()
    };
    let outcome = finetune("--ema 0.9 --threads 1 --workers 1");
    for piece in ["batch size 16 instead of 1024", "epochs 3 instead of 150", "repeated augmentation"] {
        let warning = "warning: differs from the recipe of MoCo v3, ViT (DeiT's training): ";
        let is_told = outcome.stderr.lines().any(|line| line.starts_with(warning) && line.contains(piece));
        assert!(is_told, "{piece} is not in\n{outcome}");
    }
    let told =
        "mixup 0.8, CutMix 1, RandAugment 9, random erasing 0.25, drop path 0.1, average of weights 0.9";
    assert!(outcome.stdout.contains(told), "{outcome}");
    finetune("--ema 0.9 --threads 2 --workers 3");
    finetune("");
    finetune("--drop-path 0");
    let at = |number: usize| result(&root.path().join(format!("run/evaluations/finetune-{number:03}")));
    assert_eq!(at(1)["train_loss"], at(2)["train_loss"]);
    assert_eq!(at(1)["test_loss"], at(2)["test_loss"]);
    assert_eq!(at(1)["settings"]["rand_augment"], 9.0);
    // An average is another network, and trains as the one without; dropped paths change the training.
    assert_eq!(at(1)["train_loss"], at(3)["train_loss"]);
    assert_ne!(at(1)["test_loss"], at(3)["test_loss"]);
    assert_ne!(at(3)["train_loss"], at(4)["train_loss"]);
}

#[test]
fn a_view_of_the_pipeline_is_used_as_it_is_and_nothing_else_is_claimed() {
    let root = tempdir().unwrap();
    trained(root.path(), "run", &["epochs=1"]);
    for (option, value) in [("--rand-augment", "5"), ("--random-erasing", "0.9")] {
        let both = xtask(root.path(), ["finetune", "run", "--train-view", "query", option, value]);
        assert_eq!(both.code, Some(2), "{both}");
        assert!(both.stderr.contains("--train-view") && both.stderr.contains(option), "{both}");
    }
    let command = "finetune run --recipe v3-vit --epochs 2 --batch 16 --drop-path 0 --train-view query";
    let outcome = xtask(root.path(), command.split(' ')).done();
    for told in [
        "RandAugment none instead of 9",
        "random erasing 0 instead of 0.25",
        "trained on the view `query` as it is, without the recipe's crops and flips",
        "warm-up epochs 1 instead of 5",
    ] {
        assert!(outcome.stderr.contains(told), "{told} is not in\n{outcome}");
    }
    assert!(outcome.stdout.contains("training view `query`"), "{outcome}");
    let folder = root.path().join("run/evaluations/finetune-001");
    let protocol = KeptClassifier::read(&folder.join(KeptClassifier::FILE)).unwrap().facts.protocol;
    assert!(protocol.ends_with("2 epochs, 1 of them warm-up, on the view `query` as it is"), "{protocol}");
    for text in [&protocol, &outcome.stdout] {
        assert!(!text.contains("RandAugment") && !text.contains("erasing"), "{text}");
    }
    let result = result(&folder);
    assert_eq!(result["train_view"], "query");
    assert!(result["settings"]["rand_augment"].is_null(), "{result}");
    assert_eq!(result["settings"]["random_erasing"], 0.0);
}

#[test]
fn fine_tuning_that_cannot_work_is_refused_with_what_to_change() {
    let root = tempdir().unwrap();
    trained(root.path(), "run", &["epochs=1"]);
    let finetune = |more: &str| xtask(root.path(), format!("finetune run {more}").split(' '));
    let refused = finetune("--epochs 2 --warmup-epochs 2").refused();
    assert!(
        refused.contains("the number of warm-up epochs is 2, but it must be below the number of epochs"),
        "{refused}"
    );
    assert!(!root.path().join("run/evaluations").exists());
    for command in ["linear", "finetune"] {
        let negative = xtask(root.path(), [command, "run", "--lr", "-1"]);
        assert_eq!(negative.code, Some(2), "{negative}");
        assert!(negative.stderr.contains("it must be a number above 0"), "{negative}");
    }
    let diverged = finetune("--epochs 3 --warmup-epochs 0 --batch 16 --lr 1e30").refused();
    assert!(diverged.contains("fine-tuning has diverged in epoch "), "{diverged}");
    assert!(
        diverged.contains("hint: lower the base learning rate, which is 1e30, with `--lr`"),
        "{diverged}"
    );
    for split in ["train", "test"] {
        let class = root.path().join("one").join(split).join("only");
        std::fs::create_dir_all(&class).unwrap();
        for i in 0..8_u8 {
            let image = image::RgbImage::from_pixel(40, 40, image::Rgb([30 * i; 3]));
            image.save(class.join(format!("{i}.png"))).unwrap();
        }
    }
    for command in ["linear", "finetune"] {
        let refused = xtask(root.path(), [command, "run", "--data", "one"]).refused();
        assert!(refused.contains("there is 1 class, and a classifier needs two"), "{refused}");
    }
}

#[test]
fn a_resnet_drops_no_paths() {
    let root = tempdir().unwrap();
    trained(root.path(), "run", &["epochs=1"]);
    let refused = xtask(root.path(), ["finetune", "run", "--recipe", "v3-vit"]).refused();
    assert!(refused.contains("this backbone drops no paths, and a rate of 0.1 is asked for"), "{refused}");
    assert!(refused.contains("hint: turn it off with `--drop-path 0`"), "{refused}");
}

/// Every value of a checkpoint, as bits.
fn bits(run: &Path, step: u64) -> Vec<(String, Vec<u64>)> {
    let snapshot = checkpoint::read(&checkpoint(run, step)).unwrap();
    let of = |stored: Stored| match stored {
        Stored::F32 { values, .. } => values.into_iter().map(|value| u64::from(value.to_bits())).collect(),
        Stored::U64(values) => values,
    };
    snapshot.tensors.into_iter().map(|(name, stored)| (name, of(stored))).collect()
}

#[test]
fn an_encoder_is_the_same_bits_with_and_without_a_probe_beside_it() {
    let root = tempdir().unwrap();
    trained(root.path(), "without", &[]);
    trained(
        root.path(),
        "with",
        &["monitor=[(\"knn\", (every: 1, k: 20)), (\"linear-probe\", (every: 1, epochs: 5))]"],
    );
    let [without, with] = ["without", "with"].map(|run| root.path().join(run));
    assert_eq!(bits(&without, 8), bits(&with, 8));
    let (without, with) = (metrics(&without), metrics(&with));
    assert_eq!(with.len(), 3);
    for (without, with) in without.iter().zip(&with) {
        let top1 = with["probe_top1"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&top1) && without.get("probe_top1").is_none(), "{with:?}");
        assert_eq!((&without["knn_top1"], without.get("loss")), (&with["knn_top1"], with.get("loss")));
    }
}
