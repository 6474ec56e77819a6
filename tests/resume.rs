//! A run that is stopped and goes on ends with the bits of one that is not.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::support::{
    Outcome, assert_same_runs, checkpoint, checkpoint_steps, here, start, workspace, xtask,
};

/// Of the runs that are interrupted here.
const STEPS_PER_EPOCH: u64 = 40;
const N_STEPS: u64 = 2 * STEPS_PER_EPOCH;

/// `small.ron` with the steps and checkpoints of `symmetric.ron`, in which interruptions have something to interrupt.
fn longer_small() -> Vec<String> {
    let set = ["data.source.train=640", "epochs=2", "checkpoint=(every_minutes: 0.001)"];
    [here("small.ron")]
        .into_iter()
        .chain(set.iter().flat_map(|set| ["--set".into(), (*set).into()]))
        .collect()
}

fn run_arguments(pipeline: &[String], out: &str, workers: &str, threads: &str) -> Vec<String> {
    let options = ["--out", out, "--workers", workers, "--threads", threads];
    ["run".to_owned()].into_iter().chain(pipeline.iter().cloned()).chain(options.map(str::to_owned)).collect()
}

/// Waits until `is_so`, while `child` runs.
#[track_caller]
fn wait_until(child: &mut Child, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(120), "nothing happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn send(signal: &str, child: &Child) {
    // It may have ended by itself.
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).output().unwrap();
}

/// A run of `pipeline` that `signal` ended between two epochs' ends, and how it ended.
///
/// On a busy machine, a run may be further than it seems: then another is tried.
fn interrupted(root: &Path, pipeline: &[String], signal: &str) -> (PathBuf, Outcome) {
    for attempt in 0..10 {
        let name = format!("interrupted-{attempt}");
        let run = root.join(&name);
        let mut child = start(root, run_arguments(pipeline, &name, "2", "1"));
        wait_until(&mut child, || checkpoint_steps(&run).last().is_some_and(|step| *step > 0));
        send(signal, &child);
        let outcome = Outcome::from(child.wait_with_output().unwrap());
        let newest = *checkpoint_steps(&run).last().unwrap();
        if !newest.is_multiple_of(STEPS_PER_EPOCH) {
            assert!(newest < N_STEPS);
            return (run, outcome);
        }
    }
    panic!("no run could be interrupted within an epoch");
}

#[track_caller]
fn assert_same_end(run: &Path, straight: &Path) {
    for run in [run, straight] {
        assert_eq!(checkpoint_steps(run).last(), Some(&N_STEPS), "{}", run.display());
    }
    assert_same_runs(run, straight);
}

#[test]
fn a_run_stopped_within_an_epoch_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    let pipeline = [here("symmetric.ron")];
    xtask(root.path(), run_arguments(&pipeline, "straight", "1", "2")).done();
    let (run, outcome) = interrupted(root.path(), &pipeline, "-TERM");
    assert_eq!(outcome.code, Some(130), "{outcome}");
    assert!(outcome.stderr.contains("stopping after this step and saving a checkpoint"), "{outcome}");
    let newest = *checkpoint_steps(&run).last().unwrap();
    let name = run.file_name().unwrap().to_str().unwrap();
    assert!(outcome.stdout.contains(&format!("stopped after step {newest}, checkpoint")), "{outcome}");
    assert!(outcome.stdout.contains(&format!("resume with: cargo xtask run --resume {name}")), "{outcome}");

    let outcome = xtask(root.path(), ["run", "--resume", name, "--workers", "3", "--threads", "2"]).done();
    assert!(outcome.stdout.contains(&format!("step-{newest:08}.safetensors")), "{outcome}");
    assert_same_end(&run, &root.path().join("straight"));
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    let pipeline = longer_small();
    xtask(root.path(), run_arguments(&pipeline, "straight", "3", "1")).done();
    let (run, outcome) = interrupted(root.path(), &pipeline, "-KILL");
    assert_eq!(outcome.code, None, "{outcome}");
    let name = run.file_name().unwrap().to_str().unwrap();
    xtask(root.path(), ["run", "--resume", name, "--workers", "1", "--threads", "2"]).done();
    assert_same_end(&run, &root.path().join("straight"));
}

#[test]
fn v3_goes_on_to_the_same_bits_with_each_optimizer_and_in_parts() {
    // Spikes are looked for, and every step may be skipped, so the state of the watch counts as well.
    let watched = "stability=(spike: 1.5, window: 5, on_spike: SkipStep)";
    let lars = r#"optimizer=("lars", (momentum: 0.9, weight_decay: 1e-6))"#;
    for (signal, sets) in
        [("-TERM", &[watched][..]), ("-KILL", &[lars, "data.micro_batch=4", "learning_rate.base=0.3"])]
    {
        let root = tempdir().unwrap();
        let mut pipeline = vec![here("v3.ron")];
        pipeline.extend(sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
        xtask(root.path(), run_arguments(&pipeline, "straight", "1", "2")).done();
        let (run, _) = interrupted(root.path(), &pipeline, signal);
        let name = run.file_name().unwrap().to_str().unwrap();
        xtask(root.path(), ["run", "--resume", name, "--workers", "3", "--threads", "1"]).done();
        assert_same_end(&run, &root.path().join("straight"));
    }
}

#[test]
fn mixed_negatives_and_ramps_go_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    let mut pipeline = longer_small();
    let mochi = "(len: 64, temperature: 0.2, hardest: 16, mixed: 16, mixed_with_query: 4)";
    let ramps =
        r#"ramps=[(what: "modules.contrast.temperature", to: 0.4), (what: "optimizer.momentum", to: 0.5)]"#;
    for set in [&format!(r#"modules.contrast=("mochi", {mochi})"#), ramps] {
        pipeline.extend(["--set".into(), set.into()]);
    }
    xtask(root.path(), run_arguments(&pipeline, "straight", "3", "1")).done();
    let (run, _) = interrupted(root.path(), &pipeline, "-KILL");
    let name = run.file_name().unwrap().to_str().unwrap();
    xtask(root.path(), ["run", "--resume", name, "--workers", "1", "--threads", "2"]).done();
    assert_same_end(&run, &root.path().join("straight"));
}

#[test]
fn a_folder_is_trained_in_by_one_process_at_a_time() {
    let root = tempdir().unwrap();
    let run = root.path().join("run");
    let pipeline = here("small.ron");
    let many_steps =
        ["--set", "data.source.train=640", "--set", "epochs=1000", "--set", "monitor.knn.every=100"];
    let arguments = ["run", &pipeline, "--out", "run"].into_iter().chain(many_steps);
    let mut first = start(root.path(), arguments);
    wait_until(&mut first, || !checkpoint_steps(&run).is_empty());
    let second = xtask(root.path(), ["run", "--resume", "run"]);
    let third = xtask(root.path(), ["run", &pipeline, "--out", "run"]);
    let pid = first.id();
    send("-TERM", &first);
    let first = Outcome::from(first.wait_with_output().unwrap());
    assert_eq!(first.code, Some(130), "{first}");

    let stderr = second.refused();
    assert!(stderr.contains(&format!("error: folder `run` is in use by process {pid}")), "{stderr}");
    assert!(stderr.contains("hint: wait for the other run to end"), "{stderr}");
    let stderr = third.refused();
    assert!(stderr.contains("error: folder `run` is not empty"), "{stderr}");
}

/// A finished run of `small.ron`, and its checkpoints' steps.
fn finished(root: &Path) -> (PathBuf, u64, u64) {
    xtask(root, ["run", &here("small.ron")]).done();
    let run = root.join("runs/small-001");
    let [before, last] = checkpoint_steps(&run)[..] else { panic!("two checkpoints are kept") };
    (run, before, last)
}

#[test]
fn a_damaged_newest_checkpoint_is_refused_and_the_one_before_it_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    let (run, before, last) = finished(root.path());
    let path = checkpoint(&run, last);
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let damages = [
        (&flipped[..], "is damaged: its checksum does not match its contents"),
        (&whole[..whole.len() / 3], "is truncated"),
        (&[], "is truncated"),
        (&[b'x'; 4096], "is not a safetensors file"),
    ];
    for (bytes, reason) in damages {
        std::fs::write(&path, bytes).unwrap();
        let stderr = xtask(root.path(), ["run", "--resume", "runs/small-001"]).refused();
        let newest = format!(
            "error: the newest checkpoint cannot be used: `runs/small-001/checkpoints/step-{last:08}"
        );
        let offered = format!("--resume runs/small-001/checkpoints/step-{before:08}.safetensors`");
        for piece in [&newest, reason, &offered] {
            assert!(stderr.contains(piece), "{piece:?} is not in\n{stderr}");
        }
    }
    let from = format!("runs/small-001/checkpoints/step-{before:08}.safetensors");
    xtask(root.path(), ["run", "--resume", &from]).done();
    assert!(std::fs::read(&path).unwrap() == whole, "the last step differs");
}

#[test]
fn a_foreign_file_among_the_checkpoints_is_refused() {
    let root = tempdir().unwrap();
    let (run, _, last) = finished(root.path());
    let values = [0; 8];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &values).unwrap();
    let foreign = safetensors::serialize([("fc.weight", view)], None).unwrap();
    std::fs::write(checkpoint(&run, last + 1), foreign).unwrap();
    let stderr = xtask(root.path(), ["run", "--resume", "runs/small-001"]).refused();
    let offered = format!("step-{last:08}.safetensors`");
    for piece in ["is a safetensors file, but not a checkpoint of this program", &offered] {
        assert!(stderr.contains(piece), "{piece:?} is not in\n{stderr}");
    }
}

#[test]
fn a_checkpoint_of_another_pipeline_is_refused() {
    let root = tempdir().unwrap();
    let (run, _, last) = finished(root.path());
    xtask(root.path(), ["run", &here("small.ron"), "--set", "modules.head.out=8"]).done();
    let other = checkpoint(&root.path().join("runs/small-002"), last);
    std::fs::copy(other, checkpoint(&run, last + 1)).unwrap();
    let stderr = xtask(root.path(), ["run", "--resume", "runs/small-001"]).refused();
    let said = "is not the pipeline that the checkpoint was written with: `modules.head.out` was 8 and is 16";
    assert!(stderr.contains(said) && stderr.contains("hint: undo the changes"), "{stderr}");
}

#[test]
fn going_on_without_a_run_says_how_to_start_one() {
    let root = tempdir().unwrap();
    let stderr = xtask(root.path(), ["run", "--resume"]).refused();
    assert!(stderr.contains("there is no run in `runs`") && stderr.contains("hint: start one"), "{stderr}");
    let stderr = xtask(root.path(), ["run", &here("small.ron"), "--resume"]).refused();
    assert!(stderr.contains("no run of the pipeline `small`"), "{stderr}");
    let stderr = xtask(root.path(), ["run", "--resume", &here("small.ron")]).refused();
    assert!(stderr.contains("is a pipeline file, not a run"), "{stderr}");
    let pipelines = workspace().join("pipelines").display().to_string();
    let stderr = xtask(root.path(), ["run", "--resume", &pipelines]).refused();
    assert!(stderr.contains("is not a run folder"), "{stderr}");
}

#[test]
fn a_finished_run_goes_on_to_nothing_and_stays_as_it_is() {
    let root = tempdir().unwrap();
    let (run, before, last) = finished(root.path());
    let bytes = std::fs::read(checkpoint(&run, last)).unwrap();
    xtask(root.path(), ["run", "--resume"]).done();
    assert_eq!(checkpoint_steps(&run), [before, last]);
    assert!(std::fs::read(checkpoint(&run, last)).unwrap() == bytes);
}

#[test]
fn signals_of_schedulers_and_the_end_of_its_time_stop_a_run_with_a_checkpoint() {
    let root = tempdir().unwrap();
    let root = root.path();
    let endless = [
        "--set",
        "epochs=100000",
        "--set",
        "monitor=[]",
        "--set",
        "checkpoint=(every_epochs: 100000, best: None)",
    ];
    let arguments = |out: &str| {
        let start = ["run", &here("small.ron"), "--out", out].map(str::to_owned);
        start.into_iter().chain(endless.map(str::to_owned)).collect::<Vec<_>>()
    };
    for signal in ["-USR1", "-USR2"] {
        let run = root.join(signal);
        let mut child = start(root, arguments(run.to_str().unwrap()));
        wait_until(&mut child, || !checkpoint_steps(&run).is_empty());
        // The first checkpoint is written before the run listens.
        std::thread::sleep(Duration::from_millis(300));
        send(signal, &child);
        let outcome = Outcome::from(child.wait_with_output().unwrap());
        assert_eq!(outcome.code, Some(130), "{signal}: {outcome}");
        assert!(checkpoint_steps(&run).last().is_some_and(|step| *step > 0), "{signal}: {outcome}");
    }
    let timed = arguments("timed").into_iter().chain(["--for".to_owned(), "1s".to_owned()]);
    let outcome = xtask(root, timed);
    assert_eq!(outcome.code, Some(75), "{outcome}");
    assert!(outcome.stderr.contains("the time is up"), "{outcome}");
    let newest = checkpoint_steps(&root.join("timed")).last().copied().unwrap();
    assert!(newest > 0, "{outcome}");
    let outcome = xtask(root, ["run", "--resume", "timed", "--for", "500ms"]);
    assert_eq!(outcome.code, Some(75), "{outcome}");
    assert!(checkpoint_steps(&root.join("timed")).last().is_some_and(|step| *step > newest), "{outcome}");
    let outcome = xtask(root, ["run", "--resume", "timed", "--for", "soon"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    assert!(outcome.stderr.contains("write for instance `90s`, `45m`, `2h` or `1d 12h`"), "{outcome}");
}

#[test]
fn a_run_ends_early_when_its_metric_gets_no_better_and_stays_ended() {
    let root = tempdir().unwrap();
    let root = root.path();
    let small = here("small.ron");
    // With a learning rate of 0 nothing gets better.
    let sets = [
        "learning_rate.base=0",
        "epochs=20",
        r#"early_stopping=(metric: "feature_std", patience: 2)"#,
        "checkpoint=(keep_every: 2)",
        r#"monitor=[("feature-collapse", (every: 1)), ("knn", (every: 1, k: 5))]"#,
    ];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let outcome = xtask(root, ["run", &small, "--out", "run"].into_iter().chain(sets)).done();
    let said = "ended early: feature_std was best after epoch ";
    assert!(outcome.stdout.contains(said), "{outcome}");
    let epochs = crate::support::metrics(&root.join("run")).len() - 1;
    assert!((3..20).contains(&epochs), "{outcome}");
    // Every second checkpoint is kept, besides the newest two.
    let kept = |epoch: usize| root.join(format!("run/checkpoints/epoch-{epoch:04}.safetensors"));
    assert!(kept(2).is_file() && !kept(3).is_file());
    let outcome = xtask(root, ["run", "--resume", "run"]).done();
    assert!(outcome.stdout.contains("already complete") && outcome.stdout.contains(said), "{outcome}");

    // From an earlier checkpoint, the later one that was kept is set aside, and comes again.
    let outcome = xtask(root, ["run", "--resume", "run/checkpoints/epoch-0002.safetensors"]).done();
    assert!(outcome.stdout.contains(said), "{outcome}");
    let refused =
        xtask(root, ["run", &small, "--set", r#"early_stopping=(metric: "knn_top2", patience: 2)"#])
            .refused();
    assert!(refused.contains("no monitor measures `knn_top2`"), "{refused}");
}
