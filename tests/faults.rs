//! What happens to a run around it: kills at any moment, full disks, folders that vanish, readers that leave, links.
//!
//! `MOCO_FAULTS_SECONDS=7200` kills runs for two hours instead of a few times. Full disks are small file systems in memory, which
//! only a system's administrator can mount; without the right to do so, these tests say that they were skipped.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plugin_api::Rng;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Outcome, assert_same_runs, checkpoint, checkpoint_steps, command, here, metrics, same_bytes, start, xtask,
};

/// Steps of `small.ron` in an epoch.
const STEPS_PER_EPOCH: u64 = 4;

/// A run of `small.ron`, which ends after two epochs.
fn arguments(out: &str, sets: &[&str]) -> Vec<String> {
    let options = ["--out", out, "--threads", "1", "--workers", "1"];
    let sets = sets.iter().flat_map(|set| ["--set", *set]);
    let all = ["run".to_owned(), here("small.ron")].into_iter();
    all.chain(options.into_iter().chain(sets).map(str::to_owned)).collect()
}

fn resume<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let options = ["run", "--resume", run, "--threads", "1", "--workers", "1"];
    options.into_iter().chain(more.iter().copied()).collect()
}

/// A run that has ended, with all of its checkpoints: at the steps 0, 4 and 8.
fn trained() -> TempDir {
    let root = tempdir().unwrap();
    xtask(root.path(), arguments("run", &["checkpoint=(keep: 9)"])).done();
    assert_eq!(checkpoint_steps(&root.path().join("run")), [0, 4, 8]);
    root
}

/// Every file in `folder` and its contents, but for the lock, which says who was there last.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
    files
        .filter(|path| path.is_file() && !path.ends_with("lock"))
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

fn send(signal: &str, child: &Child) {
    // It may have ended by itself.
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).output().unwrap();
}

/// Reads `lines` up to one that starts with `start`.
#[track_caller]
fn read_to(lines: &mut impl BufRead, start: &str) {
    let mut line = String::new();
    while !line.starts_with(start) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it has ended");
    }
}

/// Stops an evaluation as soon as it prints a line that starts with `start`: it ends at once, with the code of a signal.
#[cfg(unix)]
#[track_caller]
fn stop_evaluation_at(start: &str, mut child: Child) {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    read_to(&mut stderr, start);
    let at = Instant::now();
    send("-TERM", &child);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(at.elapsed() < Duration::from_secs(4), "it took {:?}: {rest}", at.elapsed());
}

/// Waits until `is_so`, while `child` runs.
#[track_caller]
fn wait_until(child: &mut Child, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() && child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "nothing happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bits_and_leaves_no_rubbish() {
    let seconds = std::env::var("MOCO_FAULTS_SECONDS").ok().and_then(|text| text.parse().ok());
    let (began, limit) = (Instant::now(), seconds.map(Duration::from_secs));
    let root = tempdir().unwrap();
    let sets = ["epochs=3", "checkpoint=(every_minutes: 0.0005)", "data.source.train=160"];
    xtask(root.path(), arguments("straight", &sets)).done();
    let straight = root.path().join("straight");
    let mut rng = Rng::new(std::process::id().into(), "moments of kills", &[]);
    for number in 0.. {
        let name = format!("killed-{number}");
        let run = root.path().join(&name);
        // In CI, a few kills, and then the run may end.
        let most = if limit.is_some() { 40 } else { 6 };
        for n_kills in 0.. {
            let mut child = match run.join("pipeline.ron").is_file() {
                true => start(root.path(), resume(&name, &[])),
                // Killed before there was a run: the folder is empty but for what was half written.
                false => {
                    let _ = std::fs::remove_dir_all(&run);
                    start(root.path(), arguments(&name, &sets))
                }
            };
            if n_kills < most {
                std::thread::sleep(Duration::from_millis(rng.below(700) as u64));
                child.kill().unwrap();
            }
            let outcome = Outcome::from(child.wait_with_output().unwrap());
            match outcome.code {
                Some(0) => break,
                None => assert!(n_kills < most, "{outcome}"),
                _ => panic!("after {n_kills} kills: {outcome}"),
            }
        }
        assert_same_runs(&run, &straight);
        let mut left = contents(&run).into_keys().map(|path| path.display().to_string());
        assert_eq!(left.find(|path| path.contains("partial")), None);
        std::fs::remove_dir_all(&run).unwrap();
        if limit.is_none_or(|limit| began.elapsed() > limit) {
            break;
        }
    }
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_starts_when_it_is_resumed() {
    let root = trained();
    let run = root.path().join("run");
    // As a kill leaves it: the pipeline is written first.
    let begun = root.path().join("begun");
    std::fs::create_dir(&begun).unwrap();
    std::fs::copy(run.join("pipeline.ron"), begun.join("pipeline.ron")).unwrap();
    std::fs::write(begun.join(".x1.partial"), "half").unwrap();
    std::fs::write(begun.join("metrics.jsonl"), "").unwrap();
    let told = xtask(root.path(), resume("begun", &[])).done();
    assert!(
        told.stderr.contains("note: `begun` has no checkpoint yet, and starts at its beginning"),
        "{told}"
    );
    assert_same_runs(&begun, &run);
    assert!(!begun.join(".x1.partial").exists());
    // One whose checkpoints were removed has trained, and does not start anew.
    std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let told = xtask(root.path(), resume("run", &[])).refused();
    assert!(told.contains("`run` has no checkpoint yet"), "{told}");
}

#[test]
fn a_run_that_was_killed_at_its_very_end_hands_over_what_it_has_learned() {
    let root = trained();
    let run = root.path().join("run");
    let card = std::fs::read_to_string(run.join("encoder/README.md")).unwrap();
    assert!(card.contains("| knn_top1 | ") && !card.contains("| knn_top1 | - |"), "{card}");
    std::fs::remove_dir_all(run.join("encoder")).unwrap();
    std::fs::remove_file(run.join("report.html")).unwrap();
    let told = xtask(root.path(), resume("run", &[])).done();
    assert!(told.stdout.contains("this run is already complete"), "{told}");
    assert!(
        told.stdout.contains("encoder   run/encoder") && told.stdout.contains("report    run/report.html"),
        "{told}"
    );
    let card = std::fs::read_to_string(run.join("encoder/README.md")).unwrap();
    assert!(card.contains("| knn_top1 | ") && card.contains(" % | told in run.log |"), "{card}");
    // Once more there is nothing left to hand over.
    let told = xtask(root.path(), resume("run", &[])).done();
    assert!(told.stdout.contains("go on with:") && !told.stdout.contains("encoder   "), "{told}");
}

#[test]
fn the_card_of_a_run_that_was_resumed_is_that_of_one_that_was_not() {
    let root = trained();
    let run = root.path().join("run");
    let card = || std::fs::read_to_string(run.join("encoder/README.md")).unwrap();
    let whole = card();
    let told = xtask(root.path(), resume(&checkpoint(Path::new("run"), 4).display().to_string(), &[])).done();
    assert!(told.stdout.contains(", untrained "), "{told}");
    assert_eq!(card(), whole);
}

/// A word, and what is done to a run's folder.
type FolderFault = (&'static str, fn(&Path));

/// Ways to keep a run from going on, each with a word of what it is told.
const FAULTS: [FolderFault; 4] = [
    ("events", |run| {
        std::fs::remove_dir_all(run.join("events")).unwrap();
        std::fs::write(run.join("events"), "").unwrap();
    }),
    ("environment.json", |run| {
        std::fs::remove_file(run.join("environment.json")).unwrap();
        std::fs::create_dir(run.join("environment.json")).unwrap();
    }),
    ("is not the pipeline", |run| {
        let file = run.join("pipeline.ron");
        let text = std::fs::read_to_string(&file).unwrap().replace("train: 64", "train: 48");
        std::fs::write(file, text).unwrap();
    }),
    ("is damaged", |run| {
        let file = checkpoint(run, 4);
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(file, bytes).unwrap();
    }),
];

#[test]
fn a_resume_that_fails_before_its_first_step_changes_nothing() {
    for (told_of, fault) in FAULTS {
        let root = trained();
        let run = root.path().join("run");
        fault(&run);
        let before = contents(&run);
        let told = xtask(root.path(), resume("run/checkpoints/step-00000004.safetensors", &[])).refused();
        assert!(told.contains(told_of), "{told}");
        assert!(contents(&run) == before, "{told_of}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
fn a_resume_that_is_stopped_before_its_first_step_changes_nothing() {
    let root = trained();
    let run = root.path().join("run");
    let before = contents(&run);
    // The first step waits for an image that takes long: there are none, so the signal must only be early.
    for attempt in 0..20 {
        let mut child = command(root.path(), resume("run/checkpoints/step-00000004.safetensors", &[]))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        read_to(&mut stdout, "run ");
        send("-TERM", &child);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        let code = child.wait().unwrap().code();
        if rest.contains("stopped after step 4,") && checkpoint_steps(&run) == [0, 4, 8] {
            assert_eq!(code, Some(130), "{rest}");
            assert!(contents(&run) == before, "attempt {attempt}");
            // The newest checkpoint is another one, which a resume of the folder would take.
            assert!(rest.contains("--resume run/checkpoints/step-00000004.safetensors"), "{rest}");
            return;
        }
        // It was faster than the signal, or was killed by it before it listened.
        if contents(&run) != before {
            std::fs::remove_dir_all(&run).unwrap();
            for (path, bytes) in &before {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
    eprintln!("note: the signal never came before the first step");
}

#[cfg(unix)]
#[test]
fn what_links_in_a_run_lead_to_is_never_written() {
    for name in ["lock", "metrics.jsonl", "run.log", "checkpoints", "events"] {
        let root = trained();
        let (place, elsewhere) = (root.path().join("run").join(name), root.path().join("precious"));
        std::fs::rename(&place, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
        let before = contents(root.path());
        let told = xtask(root.path(), resume("run/checkpoints/step-00000004.safetensors", &[])).refused();
        assert!(told.contains(&format!("run/{name}`: it is a link")), "{told}");
        assert!(contents(root.path()) == before, "{name}");
    }
}

/// In what a command cannot do without, and in what `runs` only tells more with.
#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_of_a_run_is_an_error_and_nobody_waits_for_it() {
    let resumed = resume("run/checkpoints/step-00000004.safetensors", &[]);
    let root = trained();
    for (name, arguments) in [
        ("environment.json", resumed.clone()),
        ("unreadable.txt", resumed.clone()),
        ("metrics.jsonl", resumed),
        ("moved.json", vec!["knn", "run", "--threads", "1"]),
        ("pipeline.ron", vec!["knn", "run", "--threads", "1"]),
    ] {
        let place = root.path().join("run").join(name);
        let aside = root.path().join("aside");
        let is_there = std::fs::rename(&place, &aside).is_ok();
        assert!(Command::new("mkfifo").arg(&place).status().unwrap().success());
        let before = checkpoint_steps(&root.path().join("run"));
        let told = xtask(root.path(), arguments).refused();
        assert!(told.contains(name), "{name}: {told}");
        assert_eq!(checkpoint_steps(&root.path().join("run")), before, "{name}");
        std::fs::remove_file(&place).unwrap();
        if is_there {
            std::fs::rename(&aside, &place).unwrap();
        }
    }
    // Of these, only less is told.
    for name in ["failed.txt", "origin.txt", "unreadable.txt"] {
        let place = root.path().join("run").join(name);
        assert!(Command::new("mkfifo").arg(&place).status().unwrap().success());
        xtask(root.path(), ["runs", "show", "run"]).done();
        std::fs::remove_file(&place).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn results_are_not_written_through_a_link() {
    let root = trained();
    let elsewhere = root.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.path().join("run/evaluations")).unwrap();
    let told = xtask(root.path(), ["linear", "run", "--cached", "--threads", "1"]).refused();
    assert!(told.contains("run/evaluations`: it is a link"), "{told}");
    assert!(contents(&elsewhere).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_get_so_large_is_an_error_and_the_run_goes_on_where_it_may() {
    let root = tempdir().unwrap();
    let program = command(root.path(), arguments("run", &[]));
    let words = [program.get_program()].into_iter().chain(program.get_args());
    let outcome = Command::new("bash")
        .args(["-c", "ulimit -f 100; exec \"$@\"", "bash"])
        .args(words)
        .current_dir(root.path())
        .output()
        .unwrap();
    let told = Outcome::from(outcome).refused();
    assert!(told.contains("File too large"), "{told}");
    xtask(root.path(), resume("run", &[])).done();
}

#[test]
fn a_pipeline_that_was_edited_and_a_checkpoint_of_another_run_are_refused() {
    let root = trained();
    let run = root.path().join("run");
    let file = run.join("pipeline.ron");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("seed: 0", "seed: 7").replace("base: 0.06", "base: 0.5")).unwrap();
    let told = xtask(root.path(), resume("run", &[])).refused();
    assert!(
        told.contains("`seed` was 0 and is 7") && told.contains("`learning_rate.base` was 0.06"),
        "{told}"
    );
    assert!(told.contains("run --from run --set"), "{told}");
    // How checkpoints are kept changes no result.
    std::fs::write(&file, text.replace("keep: 9", "keep: 1")).unwrap();
    xtask(root.path(), resume("run/checkpoints/step-00000004.safetensors", &[])).done();
    // Equal shapes, another run.
    let other = ["seed=9", "checkpoint=(keep: 9)"];
    xtask(root.path(), arguments("other", &other)).done();
    let other = root.path().join("other");
    std::fs::copy(checkpoint(&other, 8), checkpoint(&run, 12)).unwrap();
    let told = xtask(root.path(), resume("run", &[])).refused();
    assert!(told.contains("`seed` was 9 and is 0"), "{told}");
}

#[test]
fn other_images_of_the_same_names_are_refused() {
    let root = tempdir().unwrap();
    let write = |shade: u8| {
        for split in ["train/a", "train/b", "val/a", "val/b"] {
            let folder = root.path().join("set").join(split);
            std::fs::create_dir_all(&folder).unwrap();
            for number in 0..16_u8 {
                let picture = image::RgbImage::from_fn(32, 32, |x, y| {
                    image::Rgb([shade, (x as u8).wrapping_mul(number), (y as u8).wrapping_mul(7)])
                });
                picture.save(folder.join(format!("{number:02}.png"))).unwrap();
            }
        }
    };
    write(10);
    let source = r#"data.source=("class-folders", (root: "set"))"#;
    xtask(root.path(), arguments("run", &[source, "checkpoint=(keep: 9)"])).done();
    write(200);
    // Two steps an epoch.
    let from = checkpoint(Path::new("run"), 2).display().to_string();
    let told = xtask(root.path(), resume(&from, &[])).refused();
    assert!(told.contains("there are 32 training images, as before, but not the same ones"), "{told}");
    write(10);
    xtask(root.path(), resume(&from, &[])).done();
}

#[test]
fn a_run_whose_folder_is_gone_fails_and_makes_no_other() {
    for rename in [true, false] {
        let root = tempdir().unwrap();
        let run = root.path().join("run");
        let sets = ["epochs=400", "monitor=[]"];
        let mut child = start(root.path(), arguments("run", &sets));
        wait_until(&mut child, || checkpoint_steps(&run).last().is_some_and(|step| *step > 0));
        match rename {
            true => std::fs::rename(&run, root.path().join("elsewhere")).unwrap(),
            false => while run.exists() && std::fs::remove_dir_all(&run).is_err() {},
        }
        // Another run gets the name, and must not get the files.
        let others = run.join("pipeline.ron");
        if rename {
            std::fs::create_dir(&run).unwrap();
            std::fs::write(&others, "of another run").unwrap();
        }
        let outcome = Outcome::from(child.wait_with_output().unwrap());
        let told = outcome.refused();
        // While a folder is removed file by file, a checkpoint may fail to be written first.
        let is_told = told.contains("`run` is no longer there") || told.contains("run/checkpoints");
        assert!(is_told, "{told}");
        match rename {
            true => {
                let is_there = |name: &str| run.join(name).exists();
                assert!(
                    !is_there("metrics.jsonl") && !is_there("failed.txt") && !is_there("encoder"),
                    "{told}"
                );
                assert!(checkpoint_steps(&run).is_empty(), "{told}");
                assert_eq!(std::fs::read_to_string(&others).unwrap(), "of another run");
            }
            false => assert!(!run.exists() || contents(&run).is_empty(), "{told}"),
        }
        if rename {
            // Under its new name it goes on.
            let moved = root.path().join("elsewhere");
            let newest = *checkpoint_steps(&moved).last().unwrap();
            let mut child = start(root.path(), resume("elsewhere", &[]));
            wait_until(&mut child, || checkpoint_steps(&moved).last().is_some_and(|step| *step > newest));
            send("-TERM", &child);
            assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
        }
    }
}

#[test]
fn a_run_that_nobody_reads_trains_to_its_end() {
    let root = trained();
    let mut child = command(root.path(), arguments("unread", &["checkpoint=(keep: 9)"])).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_same_runs(&root.path().join("unread"), &root.path().join("run"));
    // A command whose reader has seen enough is no failure either.
    let mut child = command(root.path(), ["runs", "show", "run"]).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_while_it_measures_stops_at_once_and_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    let sets = ["data.source.test=5000", "epochs=1"];
    xtask(root.path(), arguments("straight", &sets)).done();
    let run = root.path().join("run");
    let stopped = |arguments: Vec<String>, n_measurements: usize| {
        let mut child = start(root.path(), arguments);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        // The first line of each measurement; without a terminal, they are ten seconds apart at least.
        let began = Instant::now();
        match n_measurements {
            0 => read_to(&mut stderr, "measuring knn "),
            // The end of an epoch is saved before it is measured.
            _ => wait_until(&mut child, || checkpoint(&run, STEPS_PER_EPOCH).is_file()),
        }
        assert!(began.elapsed() < Duration::from_secs(120));
        let at = Instant::now();
        send("-TERM", &child);
        drop(std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink())));
        let mut stdout = String::new();
        child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{stdout}");
        assert!(at.elapsed() < Duration::from_secs(4), "it took {:?}", at.elapsed());
        stdout
    };
    let told = stopped(arguments("run", &sets), 0);
    assert!(told.contains("stopped after step 0,") && metrics(&run).is_empty(), "{told}");
    let told = stopped(resume("run", &[]).into_iter().map(str::to_owned).collect(), 1);
    assert!(told.contains("stopped after step 4,"), "{told}");
    assert_eq!(metrics(&run).len(), 1, "the epoch is not measured yet");
    let told = xtask(root.path(), resume("run", &[])).done();
    assert!(told.stdout.contains("done in"), "{told}");
    assert_same_runs(&run, &root.path().join("straight"));
}

#[cfg(unix)]
#[test]
fn an_evaluation_is_stopped_at_once() {
    let root = tempdir().unwrap();
    let sets = ["data.source.test=30000", "epochs=1", "monitor=[]"];
    xtask(root.path(), arguments("run", &sets)).done();
    let before = contents(&root.path().join("run"));
    for command in [&["knn", "run"][..], &["linear", "run"], &["linear", "run", "--cached"]] {
        stop_evaluation_at("embedding test images:", start(root.path(), command));
        assert!(contents(&root.path().join("run")) == before, "{command:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_fine_tuning_that_is_stopped_while_it_is_tested_goes_on_to_the_same_result() {
    let root = tempdir().unwrap();
    xtask(root.path(), arguments("run", &["data.source.test=5000", "epochs=1", "monitor=[]"])).done();
    let fine_tune = ["finetune", "run", "--epochs", "1"];
    stop_evaluation_at("testing:", start(root.path(), fine_tune));
    let stopped = "run/evaluations/finetune-001";
    assert!(!root.path().join(stopped).join("result.json").exists());
    xtask(root.path(), fine_tune.into_iter().chain(["--resume", stopped])).done();
    xtask(root.path(), fine_tune).done();
    let result = |number: u32| -> serde_json::Value {
        let file = root.path().join(format!("run/evaluations/finetune-{number:03}/result.json"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    };
    for what in ["top1", "test_loss", "train_loss", "confusion"] {
        assert_eq!(result(1)[what], result(2)[what], "{what}");
    }
}

#[test]
fn threads_and_workers_beyond_use_are_not_started_and_it_is_said() {
    let root = trained();
    let told = xtask(root.path(), ["knn", "run", "--threads", "10000", "--workers", "10000"]).done();
    for option in ["--threads", "--workers"] {
        let note = format!("note: `{option} 10000` is more than this machine can use: it has ");
        assert!(told.stderr.contains(&note), "{told}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_that_cannot_be_written_is_named() {
    let root = tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let child = command(root.path(), ["plugins"]).stdout(full).spawn().unwrap();
    let told = Outcome::from(child.wait_with_output().unwrap()).refused();
    assert!(told.starts_with("error: standard output cannot be written: No space left on device"), "{told}");
}

/// A file system of `kilobytes` in memory, mounted until this is dropped.
#[cfg(target_os = "linux")]
struct Disk {
    place: TempDir,
}

#[cfg(target_os = "linux")]
impl Disk {
    /// `None` if this user may not mount one.
    #[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
    fn of(kilobytes: usize) -> Option<Self> {
        let place = tempdir().unwrap();
        let size = format!("size={kilobytes}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place.path()).output();
        let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        if !is_mounted {
            eprintln!("note: no file system can be mounted here, so that full disks are not tested");
        }
        is_mounted.then_some(Self { place })
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn free(&self) -> u64 {
        run_store::free_space(self.path()).unwrap()
    }

    /// Leaves `n_bytes` free, or a page less.
    fn leave(&self, n_bytes: u64) {
        let _ = std::fs::remove_file(self.path().join("fill"));
        let size = self.free().saturating_sub(n_bytes);
        std::fs::write(self.path().join("fill"), vec![0; size as usize]).unwrap();
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_outputs_that_belong_together_stay_as_they_were() {
    let Some(disk) = Disk::of(400) else { return };
    let root = trained();
    let out = disk.path().join("f.npy");
    let embed = |split: &str, force: bool| {
        let out = out.display().to_string();
        let mut command =
            vec!["embed".to_owned(), "run".into(), "--split".into(), split.into(), "-o".into(), out];
        command.extend(force.then(|| "--force".to_owned()));
        xtask(root.path(), command)
    };
    embed("test", false).done();
    let pair = contents(disk.path());
    assert_eq!(pair.len(), 2);
    // Room for the list of names, but not for the features.
    disk.leave(8 << 10);
    let before = contents(disk.path());
    let told = embed("train", true).refused();
    assert!(told.contains("f.npy") || told.contains("f.names.txt"), "{told}");
    assert!(contents(disk.path()) == before, "the pair is broken: {told}");
    // A try that fails leaves nothing that stands in the way of the next.
    for path in pair.keys() {
        std::fs::remove_file(path).unwrap();
    }
    disk.leave(8 << 10);
    embed("train", false).refused();
    std::fs::remove_file(disk.path().join("fill")).unwrap();
    assert!(contents(disk.path()).is_empty());
    embed("train", false).done();
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_there_is_no_half_of_a_picture() {
    let Some(disk) = Disk::of(200) else { return };
    disk.leave(4 << 10);
    let out = disk.path().join("views.png").display().to_string();
    let root = tempdir().unwrap();
    let told = xtask(root.path(), ["views", &here("small.ron"), "--out", &out]).refused();
    assert!(told.contains("views.png` cannot be written"), "{told}");
    assert_eq!(contents(disk.path()).len(), 1, "only what fills it");
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_a_run_ends_with_an_error_and_goes_on_when_there_is_room() {
    let root = trained();
    let size = std::fs::metadata(checkpoint(&root.path().join("run"), 8)).unwrap().len() / 1024;
    let Some(disk) = Disk::of(8 * size as usize + 400) else { return };
    let run = disk.path().join("run");
    let out = run.display().to_string();
    let told = xtask(root.path(), arguments(&out, &["checkpoint=(keep: 9)"])).done();
    let first = checkpoint(&run, 4).display().to_string();
    disk.leave(0);
    let before = contents(disk.path());
    let refused = xtask(root.path(), resume(&first, &[])).refused();
    assert!(contents(disk.path()) == before, "{told}\n{refused}");
    // Room for a few lines, and for no checkpoint.
    disk.leave(40 << 10);
    let refused = xtask(root.path(), resume(&first, &[])).refused();
    assert!(refused.contains("make room") || refused.contains("free some space"), "{refused}");
    std::fs::remove_file(disk.path().join("fill")).unwrap();
    xtask(root.path(), resume(&first, &[])).done();
    assert_same_runs(&run, &root.path().join("run"));
    assert!(same_bytes(&checkpoint(&run, 8), &checkpoint(&root.path().join("run"), 8)));
}
