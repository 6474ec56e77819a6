//! What a run says when it has ended, and what it says once on its way.

use std::path::Path;

use image::{Rgb, RgbImage};
use tempfile::tempdir;

use crate::support::{Outcome, here, xtask};

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
