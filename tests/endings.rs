//! What a run says when it has ended, and what it says once on its way.

use std::path::Path;

use image::{Rgb, RgbImage};
use tempfile::tempdir;

use crate::support::{Outcome, here, metrics as metrics_of, xtask};

/// `n` pictures in each of these folders.
fn write_pictures(root: &Path, folders: &[&str], n: u32) {
    for (i, folder) in folders.iter().enumerate() {
        let folder = root.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..n {
            let seed = number + 100 * i as u32;
            let picture = RgbImage::from_fn(40, 40, |x, y| {
                let inside = x.abs_diff(20) + y.abs_diff(20) < 4 + seed % 12;
                if inside {
                    Rgb([255, (seed * 40) as u8, 30])
                } else {
                    Rgb([(x * 6) as u8, 90, (y * seed) as u8])
                }
            });
            picture.save(folder.join(format!("{number:02}.png"))).unwrap();
        }
    }
}

fn run(root: &Path, out: &str, sets: &[&str]) -> Outcome {
    let pipeline = here("small.ron");
    let sets = sets.iter().flat_map(|set| ["--set", *set]);
    xtask(root, ["run", &pipeline, "--threads", "1", "--out", out].into_iter().chain(sets)).done()
}

#[test]
fn images_of_one_class_are_told_once_to_say_nothing() {
    let root = tempdir().unwrap();
    write_pictures(root.path(), &["set/train/all", "set/val/all"], 8);
    let told = run(root.path(), "one", &[r#"data.source=("class-folders", (root: "set"))"#, "data.batch=4"]);
    let note = "monitor knn is off: the images are all of one class, so that any encoder is right about all";
    assert_eq!(told.stderr.matches(note).count(), 1, "{told}");
    assert!(!told.stdout.contains("knn_top1"), "{told}");
    assert!(!told.stdout.contains(" linear "), "{told}");
    let told = xtask(root.path(), ["knn", "one", "--threads", "1"]).done();
    assert!(told.stderr.contains("note: there is only one class, so that any encoder is right"), "{told}");
}

#[test]
fn the_commands_that_are_told_at_the_end_can_be_pasted() {
    let root = tempdir().unwrap();
    let told = run(root.path(), "a run", &[]);
    let (_, next) = told.stdout.split_once("\nnext ").expect(&told.stdout);
    assert!(next.contains(" linear 'a run' --cached\n"), "{told}");
    assert!(next.contains(" run --from 'a run' --epochs 4\n"), "{told}");
    // A best that is that of the last epoch is not told again.
    assert!(!told.stdout.contains("after epoch 2"), "{told}");
}

#[test]
fn without_labels_the_best_checkpoint_goes_by_what_is_measured_without_them() {
    let root = tempdir().unwrap();
    write_pictures(root.path(), &["photos"], 32);
    let flat = r#"data.source=("flat-folder", (root: "photos"))"#;
    let best = |out: &str, monitors: &str| {
        let told = run(root.path(), out, &[flat, &format!("monitor=[{monitors}]")]);
        let line = told.stdout.lines().find(|line| line.contains("best checkpoint"));
        line.map(|line| line.trim().to_owned())
    };
    let rank = best("rank", r#"("feature-collapse", (every: 1))"#).unwrap();
    assert!(rank.starts_with("best checkpoint by effective_rank: epoch "), "{rank}");
    assert!(rank.ends_with("rank/checkpoints/best.safetensors"), "{rank}");
    assert!(root.path().join("rank/checkpoints/best.safetensors").is_file());
    let both =
        r#"("feature-collapse", (every: 1)), ("lidar", (view: "query", every: 1, images: 16, views: 3))"#;
    let lidar = best("lidar", both).unwrap();
    assert!(lidar.starts_with("best checkpoint by lidar: epoch "), "{lidar}");
    assert_eq!(best("none", r#"("knn", (every: 1))"#), None);
    // The list of runs goes by the same metric, and the best of each is the best, whether more is better or less.
    let more = r#"("alignment-uniformity", (view: "query", every: 1, images: 16))"#;
    best("all", &format!("{more}, {both}")).unwrap();
    let shown = xtask(root.path(), ["runs", "show", "all", "--json"]).done().stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let metrics = shown["runs"][0]["metrics"].as_array().unwrap();
    assert_eq!(metrics[0]["name"], "lidar", "{shown}");
    let rows = metrics_of(&root.path().join("all"));
    for metric in metrics {
        let name = metric["name"].as_str().unwrap();
        let values = rows.iter().filter(|row| row["epoch"] != 0).filter_map(|row| row.get(name)?.as_f64());
        let is_less_better = ["alignment", "uniformity"].contains(&name);
        assert_eq!(metric["more_is_better"], !is_less_better, "{shown}");
        let best = values.reduce(if is_less_better { f64::min } else { f64::max });
        assert_eq!(metric["best"].as_f64(), best, "{name}: {shown}");
    }
}

#[test]
fn a_run_that_ends_at_chance_says_so() {
    let root = tempdir().unwrap();
    let watched = r#"monitor=[("feature-collapse", (every: 1))]"#;
    // Steps of this size leave features that are the same for all images.
    let told = run(root.path(), "flat", &[watched, "learning_rate.base=1e3", "epochs=3"]);
    assert!(
        told.stderr.contains("note: the encoder has collapsed: the loss of the last epoch is "),
        "{told}"
    );
    assert!(told.stderr.contains("lower `learning_rate.base`"), "{told}");
    let told = run(root.path(), "usual", &[watched]);
    assert!(!told.stderr.contains("note: the encoder has"), "{told}");
}
