//! A sweep: every combination, every seed, one table, however it is cut.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::support::{Outcome, checkpoint_steps, here, metrics, same_bytes, start, xtask};

/// The arguments of a sweep over two batches and two seeds.
fn grid() -> Vec<String> {
    let arguments = ["sweep", &here("small.ron"), "--vary", "data.batch=8,16", "--seeds", "2"];
    arguments.map(str::to_owned).to_vec()
}

fn with(arguments: &[String], more: &[&str]) -> Vec<String> {
    arguments.iter().cloned().chain(more.iter().map(|text| (*text).to_owned())).collect()
}

/// The rows of `table.csv` by column, but for what depends on the clock.
fn table(sweep: &Path) -> Vec<Vec<(String, String)>> {
    let text = std::fs::read_to_string(sweep.join("table.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let rows = lines.map(|row| {
        assert_eq!(row.len(), head.len(), "{text}");
        let cells = head.iter().cloned().zip(row);
        cells.filter(|(name, _)| !name.starts_with("seconds_")).collect()
    });
    rows.collect()
}

fn cell<'a>(row: &'a [(String, String)], name: &str) -> &'a str {
    &row.iter().find(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name} in {row:?}")).1
}

fn runs(sweep: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(sweep).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_grid_of_values_and_seeds_gives_a_table_with_mean_and_spread() {
    let root = tempdir().unwrap();
    let outcome = xtask(root.path(), grid()).done();
    for piece in [
        "sweep     small: 2 combinations and 2 seeds, 4 runs",
        "run 1 of 4: data.batch=8, seed=0\n",
        "run 4 of 4: data.batch=16, seed=1  (sweep ETA ",
        "| data.batch | runs   | knn_top1 (%) ",
        "written to runs/sweep-small-001/table.md",
    ] {
        assert!(outcome.stdout.contains(piece), "{piece:?} is not in\n{outcome}");
    }
    let sweep = root.path().join("runs/sweep-small-001");
    let names = runs(&sweep);
    // The second seed begins when the first has been everywhere.
    assert_eq!(
        names,
        ["001-batch=8-seed=0", "002-batch=16-seed=0", "003-batch=8-seed=1", "004-batch=16-seed=1"]
    );
    let last = |run: &str, metric: &str| metrics(&sweep.join(run)).last().unwrap()[metric].as_f64().unwrap();
    let table = table(&sweep);
    assert_eq!(table.len(), 2);
    for (row, batch, of) in [(&table[0], "8", [0, 2]), (&table[1], "16", [1, 3])] {
        assert_eq!((cell(row, "data.batch"), cell(row, "completed")), (batch, "2"));
        assert_eq!((cell(row, "epochs_min"), cell(row, "epochs_max")), ("2", "2"));
        for metric in ["loss", "knn_top1"] {
            let [a, b] = of.map(|run| last(&names[run], metric));
            let number = |what: &str| cell(row, &format!("{metric}_{what}")).parse::<f64>().unwrap();
            assert!((number("mean") - (a + b) / 2.0).abs() < 1e-12, "{metric} {row:?}");
            // Of two numbers, the sample standard deviation is |a - b| / √2.
            assert!((number("sd") - (a - b).abs() / 2.0_f64.sqrt()).abs() < 1e-12, "{metric} {row:?}");
            assert_eq!((number("min"), number("max")), (a.min(b), a.max(b)), "{metric}");
        }
    }
    let text = std::fs::read_to_string(sweep.join("table.md")).unwrap();
    assert!(outcome.stdout.contains(&text), "the table that is kept is the one that is shown\n{text}");

    // Each run is one that `run` would have made.
    let arguments =
        ["run", &here("small.ron"), "--set", "data.batch=16", "--set", "seed=1", "--out", "alone"];
    xtask(root.path(), arguments).done();
    let best = |run: &Path| run.join("checkpoints/best.safetensors");
    assert!(same_bytes(&best(&root.path().join("alone")), &best(&sweep.join(&names[3]))));

    let again = xtask(root.path(), with(&grid(), &["--resume"])).done();
    assert!(
        again.stdout.contains("done      4 of 4 runs") && !again.stdout.contains("run 1 of 4"),
        "{again}"
    );
    assert_eq!(std::fs::read_to_string(sweep.join("table.md")).unwrap(), text, "nothing was left to do");
}

#[test]
fn a_stopped_sweep_goes_on_to_the_same_table() {
    let root = tempdir().unwrap();
    let long = ["--set", "data.source.train=160", "--set", "checkpoint=(every_minutes: 0.001)"];
    let arguments = with(&grid(), &long);
    xtask(root.path(), with(&arguments, &["--out", "straight"])).done();

    let second = root.path().join("cut/002-batch=16-seed=0");
    let mut child = start(root.path(), with(&arguments, &["--out", "cut"]));
    let began = Instant::now();
    while checkpoint_steps(&second).last().is_none_or(|step| *step == 0)
        && child.try_wait().unwrap().is_none()
    {
        assert!(began.elapsed() < Duration::from_secs(120), "nothing happens");
        std::thread::sleep(Duration::from_millis(2));
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).output().unwrap();
    let outcome = Outcome::from(child.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(130), "{outcome}");
    for piece in ["stopped at run ", "resume with: cargo xtask sweep --resume cut", "pending |"] {
        assert!(outcome.stdout.contains(piece), "{piece:?} is not in\n{outcome}");
    }
    let partial = table(&root.path().join("cut"));
    assert_eq!((partial.len(), cell(&partial[0], "completed")), (2, "1"), "{partial:?}");

    let outcome = xtask(root.path(), ["sweep", "--resume", "cut"]).done();
    assert!(!outcome.stdout.contains("run 1 of 4"), "what is done is not done again\n{outcome}");
    let [straight, cut] = ["straight", "cut"].map(|name| root.path().join(name));
    assert_eq!(table(&cut), table(&straight));
    for name in runs(&straight) {
        let best = |sweep: &Path| sweep.join(&name).join("checkpoints/best.safetensors");
        assert!(same_bytes(&best(&straight), &best(&cut)), "{name}");
    }
}

#[test]
fn a_run_that_diverges_is_marked_and_the_sweep_goes_on() {
    let root = tempdir().unwrap();
    let arguments =
        ["sweep", &here("small.ron"), "--set", "epochs=1", "--vary", "learning_rate.base=1e38,0.06"];
    let outcome = xtask(root.path(), arguments).done();
    assert!(outcome.stderr.contains("training has diverged"), "{outcome}");
    let lost = "- `001-base=1e38-seed=0` diverged: training has diverged at epoch 1, step ";
    assert!(outcome.stdout.contains("1 diverged |") && outcome.stdout.contains(lost), "{outcome}");
    let table = table(&root.path().join("runs/sweep-small-001"));
    let counts = |row: usize| (cell(&table[row], "completed"), cell(&table[row], "diverged"));
    assert_eq!((counts(0), counts(1)), (("0", "1"), ("1", "0")));
    assert_eq!((cell(&table[0], "loss_mean"), cell(&table[0], "epochs_max")), ("", "0"));
    // It would diverge again.
    let again = xtask(root.path(), ["sweep", "--resume"]).done();
    assert!(!again.stdout.contains("run 1 of 2"), "{again}");
}

#[test]
fn a_run_that_fails_is_noted_and_tried_again() {
    let root = tempdir().unwrap();
    let images = root.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for number in 0..8_u8 {
        let picture =
            image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8 * 6, y as u8 * 6, number * 30]));
        picture.save(images.join(format!("{number}.png"))).unwrap();
    }
    let source = r#"data.source=("flat-folder", (root: "images")),("shapes", (train: 16, test: 8))"#;
    let arguments = ["--vary", source, "--set", "data.batch=8", "--set", "epochs=1"];
    let arguments = with(&["sweep".to_owned(), here("small.ron")], &arguments);
    // A folder is in the place of the second run's.
    std::fs::create_dir_all(root.path().join("made/002-source=shapes_train_16_test_8-seed=0")).unwrap();
    let outcome = xtask(root.path(), with(&arguments, &["--out", "made"]));
    assert!(outcome.refused().contains("folder `made` is not empty"));

    let hidden = root.path().join("hidden");
    let start = |more: &[&str]| xtask(root.path(), with(&arguments, more));
    std::fs::rename(&images, &hidden).unwrap();
    let stderr = start(&["--out", "sweep"]).refused();
    assert!(stderr.contains("the combination data.source=(\"flat-folder\""), "{stderr}");
    std::fs::rename(&hidden, &images).unwrap();
    start(&["--out", "sweep"]).done();
    let sweep = root.path().join("sweep");

    // As if the first run had found its images gone.
    let state = std::fs::read_to_string(sweep.join("sweep.json")).unwrap();
    std::fs::remove_dir_all(sweep.join(&runs(&sweep)[0])).unwrap();
    std::fs::write(sweep.join("sweep.json"), state.replacen("\"Completed\"", "\"Waiting\"", 1)).unwrap();
    std::fs::rename(&images, &hidden).unwrap();
    let outcome = xtask(root.path(), ["sweep", "--resume", "sweep"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stdout.contains("1 failed |"), "{outcome}");
    assert!(outcome.stdout.contains("retry failed runs: cargo xtask sweep --resume sweep"), "{outcome}");
    std::fs::rename(&hidden, &images).unwrap();
    let outcome = xtask(root.path(), ["sweep", "--resume", "sweep"]).done();
    assert!(outcome.stdout.contains("run 1 of 2") && !outcome.stdout.contains("failed"), "{outcome}");
}

#[test]
fn a_combination_that_cannot_be_trained_is_named_before_anything_starts() {
    let root = tempdir().unwrap();
    let refused = |vary: &str| {
        xtask(root.path(), ["sweep", &here("small.ron"), "--vary", "momentum.start=0.9", "--vary", vary])
            .refused()
    };
    for (vary, fault, named) in [
        ("data.batch=16,1", "the batch is 1", "data.batch=1 "),
        ("modules.backbone.width=4,0", "`width` is 0", "modules.backbone.width=0 "),
        ("modules.backbone.widht=4", "unknown field `widht`", "modules.backbone.widht=4 "),
        ("data.source.train=64,8", "there are 8 images, and a batch takes 16", "data.source.train=8 "),
    ] {
        let stderr = refused(vary);
        let named = format!("the combination momentum.start=0.9, {named}cannot be trained");
        for piece in [fault, &named, "no run was started"] {
            assert!(stderr.contains(piece), "{piece:?} is not in\n{stderr}");
        }
    }
    let missing = xtask(root.path(), ["sweep", "small.rn"]).refused();
    assert!(missing.contains("`small.rn` does not exist"), "{missing}");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_sweep_goes_on_only_as_it_was_started() {
    let root = tempdir().unwrap();
    let stderr = xtask(root.path(), ["sweep", "--resume"]).refused();
    assert!(stderr.contains("there is no sweep in `runs`"), "{stderr}");
    let once = with(&["sweep".to_owned(), here("small.ron")], &["--set", "epochs=1"]);
    xtask(root.path(), once.clone()).done();
    for more in [&["--seeds", "2"][..], &["--vary", "data.batch=8"], &["--set", "data.batch=8"]] {
        let stderr = xtask(root.path(), with(&once, &[more, &["--resume"]].concat())).refused();
        assert!(stderr.contains("`runs/sweep-small-001` was started with another"), "{more:?}\n{stderr}");
    }
    xtask(root.path(), with(&once, &["--resume", "runs/sweep-small-001"])).done();
    let stderr = xtask(root.path(), ["sweep", "--resume", "runs/sweep-small-001/001-seed=0"]).refused();
    assert!(
        stderr.contains("is not a sweep folder") && stderr.contains("cargo xtask run --resume"),
        "{stderr}"
    );
    // A second one does not touch the first.
    xtask(root.path(), once).done();
    assert!(root.path().join("runs/sweep-small-002/table.md").is_file());
    xtask(root.path(), ["run", "--resume", "runs/sweep-small-001/001-seed=0"]).done();
}
