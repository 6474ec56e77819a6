//! Runs whose images have moved, or have changed.

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::support::{Outcome, assert_same_runs, checkpoint, here, xtask};

/// Two classes of images under `root/NAME`, `n` of each for training and 8 for testing.
fn write_images(root: &Path, name: &str, n: u32) {
    for (part, n) in [("train", n), ("val", 8)] {
        for (class, shade) in [("dark", 40), ("light", 200)] {
            let folder = root.join(name).join(part).join(class);
            fs::create_dir_all(&folder).unwrap();
            for i in 0..n {
                let at = |x: u32, y: u32| (shade + (x * 7 + y * 13 + i * 29) % 50) as u8;
                let image =
                    image::RgbImage::from_fn(12, 12, |x, y| image::Rgb([at(x, y), at(y, x), at(x, x)]));
                image.save(folder.join(format!("{i:03}.png"))).unwrap();
            }
        }
    }
}

const EPOCHS: u64 = 3;
const STEPS_PER_EPOCH: u64 = 4;

/// A run `run` on the images `photos`, 16 of each class, all of whose checkpoints are kept.
fn trained() -> TempDir {
    let (root, small) = (tempdir().unwrap(), here("small.ron"));
    write_images(root.path(), "photos", 16);
    let set = [
        r#"data=(source: ("class-folders", (root: "photos", train: "train", test: "val")), batch: 8)"#,
        &format!("epochs={EPOCHS}"),
        "checkpoint=(every_minutes: 0.00001, keep: 99)",
    ];
    let set = set.iter().flat_map(|set| ["--set", set]);
    xtask(root.path(), ["run", &small, "--out", "run"].into_iter().chain(set)).done();
    root
}

fn resume(root: &Path, from: u64, more: &[&str]) -> Outcome {
    let from = checkpoint(Path::new("run"), from).display().to_string();
    xtask(root, ["run", "--resume", &from].into_iter().chain(more.iter().copied()))
}

#[test]
fn a_run_whose_images_have_moved_goes_on_to_the_same_bits() {
    let root = trained();
    let root = root.path();
    let straight = root.join("straight");
    let copy = |from: &Path, to: &Path| {
        for entry in walkdir::WalkDir::new(from) {
            let entry = entry.unwrap();
            let to = to.join(entry.path().strip_prefix(from).unwrap());
            match entry.file_type().is_dir() {
                true => fs::create_dir_all(&to).unwrap(),
                false => drop(fs::copy(entry.path(), &to).unwrap()),
            }
        }
    };
    copy(&root.join("run"), &straight);
    fs::create_dir(root.join("elsewhere")).unwrap();
    fs::rename(root.join("photos"), root.join("elsewhere/images")).unwrap();

    let told = resume(root, 6, &[]).refused();
    assert!(told.contains("photos: the folder does not exist"), "{told}");
    assert!(told.contains("`--data-root OLD=NEW`"), "{told}");
    let told = resume(root, 6, &["--data-root", "pictures=elsewhere/images"]).refused();
    assert!(told.contains("no path of the dataset starts with `pictures`"), "{told}");
    assert!(told.contains("it has `photos`"), "{told}");

    let moved = ["--data-root", "photos=elsewhere/images"];
    let told = xtask(root, ["knn", "run"]).refused();
    assert!(told.contains("`--data-root OLD=NEW`"), "{told}");
    let score =
        |more: &[&str]| xtask(root, ["knn", "run"].into_iter().chain(more.iter().copied())).done().stdout;
    let before = score(&moved);
    resume(root, 6, &[&moved[..], &["--workers", "3", "--threads", "1"]].concat()).done();
    assert_same_runs(&root.join("run"), &straight);
    // From here on the run knows it by itself, and may be told again.
    assert_eq!(score(&[]), before);
    assert_eq!(score(&moved), before);
    resume(root, 10, &[]).done();
    assert_same_runs(&root.join("run"), &straight);
}

#[test]
fn other_images_are_told_before_the_first_step_and_taken_between_epochs() {
    let root = trained();
    let root = root.path();
    write_images(root, "photos", 20);
    let within = STEPS_PER_EPOCH + 2;
    let told = resume(root, within, &[]).refused();
    assert!(told.contains("there were 32 training images, and there are 40 now"), "{told}");
    assert!(!told.contains("epoch 2/"), "{told}");
    let told = resume(root, within, &["--accept-changed-data"]).refused();
    assert!(told.contains("within epoch 2"), "{told}");
    let between = format!(
        "from `run/checkpoints/step-{STEPS_PER_EPOCH:08}.safetensors`, between two epochs, with `--accept-changed-data`"
    );
    assert!(told.contains(&between), "{told}");

    let outcome = resume(root, STEPS_PER_EPOCH, &["--accept-changed-data"]).done();
    assert!(outcome.stderr.contains("the run goes on with them: there were 32 training images"), "{outcome}");
    let last = STEPS_PER_EPOCH + 2 * 5;
    assert!(checkpoint(&root.join("run"), last).is_file(), "{outcome}");

    // As many, but others.
    fs::rename(root.join("photos/train/dark/003.png"), root.join("photos/train/dark/new.png")).unwrap();
    let told = resume(root, last - 1, &[]).refused();
    assert!(told.contains("there are 40 training images, as before, but not the same ones"), "{told}");
}

#[test]
fn a_place_that_was_refused_is_not_kept_and_may_be_corrected() {
    let root = trained();
    let root = root.path();
    write_images(root, "other", 12);
    fs::rename(root.join("photos"), root.join("moved")).unwrap();
    let told = resume(root, 4, &["--data-root", "photos=other"]).refused();
    assert!(told.contains("there were 32 training images, and there are 24 now"), "{told}");
    assert!(!root.join("run/moved.json").exists());
    resume(root, 4, &["--data-root", "./photos/=moved"]).done();

    // The same from a checkpoint, in a new folder; and where nothing fits, there is none.
    let on = |more: &[&str]| {
        let on = ["run", "--from", "run", "--epochs", "4", "--out", "on"];
        xtask(root, on.into_iter().chain(more.iter().copied()))
    };
    let told = on(&["--data-root", "photos=other"]).refused();
    assert!(told.contains("there were 32 training images"), "{told}");
    assert!(told.contains("add `--accept-changed-data`"), "{told}");
    fs::rename(root.join("moved"), root.join("again")).unwrap();
    let told = on(&[]).refused();
    assert!(told.contains("moved: the folder does not exist") && told.contains("--data-root"), "{told}");
    assert!(!root.join("on").exists());
    on(&["--data-root", "photos=again"]).done();

    fs::write(root.join("run/moved.json"), "{").unwrap();
    let told = xtask(root, ["knn", "run"]).refused();
    assert!(told.contains("moved.json") && told.contains("`--data-root OLD=NEW`"), "{told}");
}

#[test]
fn a_pipeline_that_was_edited_in_its_run_is_refused() {
    let root = trained();
    let root = root.path();
    let file = root.join("run/pipeline.ron");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("seed: 0"));
    let outcome = resume(root, 8, &[]).done();
    assert!(!outcome.stderr.contains("is not the pipeline"), "{outcome}");
    fs::write(&file, text.replace("seed: 0", "seed: 9")).unwrap();
    let told = resume(root, 8, &[]).refused();
    let said =
        "`run/pipeline.ron` is not the pipeline that the checkpoint was written with: `seed` was 0 and is 9";
    assert!(told.contains(said), "{told}");
}
