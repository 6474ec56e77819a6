//! What is said of runs, by how they were trained and how they ended.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use moco::runs::{CheckpointKind, RunReport, RunState, list};
use moco::{Run, RunOptions, Silent};
// Without this line, no plugin would be linked in.
use plugins as _;

fn new_run(root: &Path, changes: &[&str]) -> Run {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny.ron");
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    let pipeline = moco::read_pipeline(file, &changes).unwrap();
    Run::create_with(pipeline, &RunOptions { root: root.into(), ..RunOptions::default() }).unwrap()
}

fn report(run: &Run) -> RunReport {
    RunReport::of(run.folder().clone())
}

#[test]
fn a_complete_run_tells_what_it_measured() {
    let root = tempfile::tempdir().unwrap();
    let mut run = new_run(root.path(), &["epochs=2", "checkpoint=(keep_every: 1, keep: 1)"]);
    assert_eq!(report(&run).state, RunState::NotStarted);
    let summary = run.train(&mut Silent).unwrap();
    let report = report(&run);
    assert_eq!(report.state, RunState::Complete);
    assert_eq!((report.epochs_done, report.epochs, report.steps_done), (2, Some(2), 4));
    assert_eq!(report.name(), "tiny-001");
    assert!(report.loss.unwrap() > 0.0 && report.took.as_secs_f64() > 0.0 && report.started.is_some());
    let [knn] = &report.metrics[..] else { panic!("{:?}", report.metrics) };
    assert_eq!((knn.name.as_str(), knn.last), ("knn_top1", summary.after[0].value));
    let best = knn.best.unwrap();
    assert!(best.value >= knn.last && (1..=2).contains(&best.epoch));
    let kinds: Vec<CheckpointKind> = report.checkpoints.iter().map(|file| file.kind).collect();
    assert_eq!(
        kinds,
        [CheckpointKind::Epoch(1), CheckpointKind::Epoch(2), CheckpointKind::Step(4), CheckpointKind::Best]
    );
    assert!(report.checkpoints.iter().all(|file| file.n_bytes > 0 && file.n_bytes < report.n_bytes));
    assert_eq!(report.problems, Vec::<String>::new());
}

#[test]
fn the_state_of_a_run_is_how_its_process_ended() {
    let root = tempfile::tempdir().unwrap();
    let mut run = new_run(root.path(), &[]);
    run.lock().unwrap();
    assert_eq!(report(&run).state, RunState::Training { pid: Some(std::process::id()) });
    run.train_until(&mut Silent, &AtomicBool::new(true)).unwrap();
    // Asked to stop before it could measure the untrained encoder.
    assert_eq!(report(&run).state, RunState::NotStarted);
    let stop = StopAfterAStep(AtomicBool::new(false));
    let mut run = new_run(root.path(), &[]);
    run.train_until(&mut &stop, &stop.0).unwrap();
    let stopped = report(&run);
    assert_eq!((&stopped.state, stopped.epochs_done, stopped.steps_done), (&RunState::Stopped, 0, 1));
    // As a process that is killed leaves it.
    std::fs::write(run.folder().path().join("lock"), "4321\n").unwrap();
    assert_eq!(report(&run).state, RunState::Interrupted);
    let mut run = Run::open(run.folder().path()).unwrap();
    run.resume(&mut Silent).unwrap();
    assert_eq!(report(&run).state, RunState::Complete);
}

struct StopAfterAStep(AtomicBool);

impl moco::Observer for &StopAfterAStep {
    fn step(&mut self, _: &moco::StepReport<'_>) -> Result<(), moco::ObserverError> {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_run_that_failed_says_why_until_it_goes_on() {
    struct Fails(bool);
    impl moco::Observer for Fails {
        fn step(&mut self, _: &moco::StepReport<'_>) -> Result<(), moco::ObserverError> {
            if self.0 { Err("the observer has enough".into()) } else { Ok(()) }
        }
    }
    let root = tempfile::tempdir().unwrap();
    let mut run = new_run(root.path(), &[]);
    run.train(&mut Fails(true)).unwrap_err();
    let RunState::Failed { error } = report(&run).state else { panic!("{:?}", report(&run).state) };
    assert!(error.contains("the observer has enough"), "{error}");
    run.resume(&mut Fails(false)).unwrap();
    assert_eq!((report(&run).state, run.folder().read_failure()), (RunState::Complete, None));
}

#[test]
fn a_run_that_ended_early_says_so() {
    let root = tempfile::tempdir().unwrap();
    let changes =
        ["epochs=30", "learning_rate.base=0.0", "early_stopping=(metric: \"knn_top1\", patience: 1)"];
    let mut run = new_run(root.path(), &changes);
    let summary = run.train(&mut Silent).unwrap();
    let expected = RunState::EndedEarly(summary.early_stop.expect("nothing changes, so nothing gets better"));
    let report = report(&run);
    assert_eq!(report.state, expected);
    assert!(report.state.to_string().starts_with("ended early: knn_top1 was best after epoch"));
    assert!(report.epochs_done < 30);
}

#[test]
fn what_cannot_be_read_of_a_run_is_told_and_the_rest_is_shown() {
    let root = tempfile::tempdir().unwrap();
    let mut run = new_run(root.path(), &[]);
    run.train(&mut Silent).unwrap();
    let folder = run.folder().clone();
    std::fs::write(folder.pipeline(), "Pipeline(").unwrap();
    let best = folder.checkpoints().join("best.safetensors");
    std::fs::write(&best, "not one").unwrap();
    let [folder] = &list(root.path()).unwrap().runs[..] else { panic!("one run") };
    let report = RunReport::of(folder.clone());
    assert_eq!((report.epochs, report.epochs_done), (None, 1));
    assert_eq!(report.problems.len(), 2, "{:?}", report.problems);
    assert!(report.problems[0].contains("is no pipeline") && report.problems[1].contains("best.safetensors"));
    assert_eq!(report.metrics[0].name, "knn_top1");
    // The pipeline does not tell how many epochs it was to have.
    assert_eq!(report.state, RunState::Stopped);
}

#[test]
fn a_removed_run_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let mut run = new_run(root.path(), &[]);
    run.train(&mut Silent).unwrap();
    let path = run.folder().path().to_owned();
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    let removed = moco::runs::remove(&path).unwrap();
    assert_eq!(removed.left, [path.join("notes.txt")]);
    assert_eq!(list(root.path()).unwrap().runs, []);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
}
