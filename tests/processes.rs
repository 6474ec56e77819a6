//! Several processes that train one network end with the bits of one.
//!
//! The processes are threads here; `crates/processes-mpi` has its own tests.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moco::processes::{Alone, Processes, ThreadGroup};
use moco::{Error, Finished, Observer, ObserverError, Pipeline, Run, RunOptions, Silent, StepReport};
use run_store::checkpoint::Stored;
use tempfile::tempdir;

use crate::support::{assert_same_runs, checkpoint, here, metrics};

/// Stops a run, or ends it with an error, after a step.
struct At<F>(u64, F);

impl<F: FnMut() -> Result<(), ObserverError>> Observer for At<F> {
    fn step(&mut self, step: &StepReport<'_>) -> Result<(), ObserverError> {
        if step.steps_done == self.0 { (self.1)() } else { Ok(()) }
    }
}

/// What every process of a group of `n` makes of `work`, in order of rank.
fn of_all<R: Send>(n: usize, work: impl Fn(Arc<dyn Processes>) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = match n {
            1 => vec![scope.spawn(move || work(Arc::new(Alone)))],
            _ => ThreadGroup::of(n)
                .into_iter()
                .map(|process| scope.spawn(move || work(Arc::new(process))))
                .collect(),
        };
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn pipeline_of(file: &str, sets: &[&str]) -> Pipeline {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    moco::read_pipeline(here(file), &sets).unwrap()
}

/// Trains `file` with `sets` in `folder`, or goes on with the run there, in `n` processes. `observer` and `stop` are given
/// by rank.
fn train(
    n: usize,
    folder: &Path,
    what: Option<(&str, &[&str])>,
    stop_at: Option<(usize, u64)>,
) -> Vec<Result<Finished, Error>> {
    of_all(n, |processes| {
        let stop = AtomicBool::new(false);
        let mut observer = At(stop_at.map_or(u64::MAX, |(_, step)| step), || {
            if stop_at.is_some_and(|(rank, _)| rank == processes.rank()) {
                stop.store(true, Ordering::Relaxed);
            }
            Ok(())
        });
        if !processes.is_first() {
            return Run::follow(Arc::clone(&processes), NonZeroUsize::MIN, &mut observer, &stop);
        }
        let processes = Arc::clone(&processes);
        match what {
            Some((file, sets)) => {
                let options = RunOptions { folder: Some(folder.into()), processes, ..RunOptions::default() };
                Run::create_with(pipeline_of(file, sets), &options)?.train_until(&mut observer, &stop)
            }
            None => Run::open_with(folder, processes)?.resume_until(&mut observer, &stop),
        }
    })
}

/// Trains to the end in `n` processes, in a folder of its own.
pub(crate) fn run(n: usize, root: &Path, file: &str, sets: &[&str]) -> PathBuf {
    let folder = root.join(format!("{n}-processes"));
    for finished in train(n, &folder, Some((file, sets)), None) {
        assert!(matches!(finished.unwrap(), Finished::Completed(_)));
    }
    folder
}

/// Batch norm split, keys shuffled, a queue; and a ViT with heads over the whole batch. Both monitored.
const PIPELINES: [(&str, &[&str]); 2] = [
    ("symmetric.ron", &["data.micro_batch=4", "data.source.train=96"]),
    ("v3.ron", &["data.micro_batch=4", "data.source.train=96"]),
];

#[test]
fn one_two_and_four_processes_end_with_the_same_bits() {
    for (file, sets) in PIPELINES {
        let root = tempdir().unwrap();
        let alone = run(1, root.path(), file, sets);
        for n in [2, 4] {
            assert_same_runs(&run(n, root.path(), file, sets), &alone);
        }
    }
}

/// Batches of twelve parts, for runs of `symmetric.ron`.
const TWELVE_PARTS: [&str; 5] = [
    "data.micro_batch=4",
    "data.batch=48",
    "modules.backbone.batch_norm_splits=12",
    "modules.contrast.len=96",
    "epochs=1",
];

#[test]
fn twelve_parts_go_to_three_and_six_processes() {
    let root = tempdir().unwrap();
    let sets = [&TWELVE_PARTS[..], &["data.source.train=96"]].concat();
    let alone = run(1, root.path(), "symmetric.ron", &sets);
    for n in [3, 6] {
        assert_same_runs(&run(n, root.path(), "symmetric.ron", &sets), &alone);
    }
}

/// What sums of gradients are after one step: the momentum of SGD.
fn gradients(run: &Path) -> BTreeMap<String, Vec<f32>> {
    let snapshot = run_store::checkpoint::read(&checkpoint(run, 1)).unwrap();
    let gradients = snapshot.tensors.into_iter().filter_map(|(name, stored)| match stored {
        Stored::F32 { values, .. } if name.starts_with("optimizer.") => Some((name, values)),
        _ => None,
    });
    gradients.collect()
}

#[test]
fn three_parts_a_process_give_the_same_gradients_to_within_rounding() {
    let root = tempdir().unwrap();
    let sets = [&TWELVE_PARTS[..], &["data.source.train=48"]].concat();
    let alone = gradients(&run(1, root.path(), "symmetric.ron", &sets));
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    for n in [2, 4] {
        let together = gradients(&run(n, root.path(), "symmetric.ron", &sets));
        assert_ne!(together, alone, "three is no power of two");
        assert!(together.keys().eq(alone.keys()));
        for (name, values) in &alone {
            let error = norm(&mut values.iter().zip(&together[name]).map(|(a, b)| a - b));
            let size = norm(&mut values.iter().copied());
            assert!(error <= 1e-5 * size, "{name}: {error} of {size}, {n} processes");
        }
    }
}

#[test]
fn a_run_that_one_process_stops_goes_on_in_any_number_of_them() {
    let (file, sets) = PIPELINES[0];
    let root = tempdir().unwrap();
    let alone = run(1, root.path(), file, sets);
    let folder = root.path().join("stopped");
    for finished in train(2, &folder, Some((file, sets)), Some((1, 3))) {
        let Finished::Stopped { steps_done, checkpoint } = finished.unwrap() else { panic!("it went on") };
        assert_eq!((steps_done, checkpoint), (3, folder.join("checkpoints/step-00000003.safetensors")));
    }
    for finished in train(4, &folder, None, None) {
        assert!(matches!(finished.unwrap(), Finished::Completed(_)));
    }
    assert_same_runs(&folder, &alone);
}

#[test]
fn spikes_have_the_same_consequences_in_two_processes() {
    let sets = ["data.micro_batch=4", "data.source.train=240", "epochs=1"];
    for on_spike in ["SkipStep", r#"Freeze(["backbone.conv1.weight"])"#] {
        let root = tempdir().unwrap();
        let stability = format!("stability=(spike: 1.05, window: 3, on_spike: {on_spike})");
        let sets = [&sets[..], &[&stability]].concat();
        let alone = run(1, root.path(), "symmetric.ron", &sets);
        let n_spikes = metrics(&alone).last().unwrap()["gradient_spikes"].as_f64().unwrap();
        assert!(n_spikes > 0.0, "nothing happened");
        assert_same_runs(&run(2, root.path(), "symmetric.ron", &sets), &alone);
    }
}

#[test]
fn what_diverges_rolls_back_in_all_processes() {
    let root = tempdir().unwrap();
    let mut finished = Vec::new();
    for n in [1, 2] {
        let folder = root.path().join(format!("{n}-processes"));
        let sets = [
            "data.micro_batch=4",
            "data.source.train=96",
            "learning_rate.base=1e30",
            "stability=(on_nonfinite: RollBack)",
        ];
        let messages = train(n, &folder, Some(("symmetric.ron", &sets)), None).into_iter().map(|finished| {
            let message = finished.unwrap_err().to_string();
            assert!(message.starts_with("training has diverged at epoch 1, step"), "{message}");
            message
        });
        finished.extend(messages);
    }
    assert!(finished.iter().all(|message| *message == finished[0]), "{finished:?}");
}

/// MoCo v3 on a ResNet whose batch norm is over the whole batch.
const WHOLE_NORM: [&str; 3] = [
    "data.source.train=16",
    "epochs=1",
    r#"modules.backbone=("resnet", (depth: 18, width: 4, stem: Cifar, conv: Direct))"#,
];

#[test]
fn batch_norm_over_the_whole_batch_is_so_in_several_processes() {
    let root = tempdir().unwrap();
    let alone = run(1, root.path(), "v3.ron", &WHOLE_NORM);
    let losses_alone = losses(&alone);
    for n in [2, 4] {
        let folder = run(n, root.path(), "v3.ron", &WHOLE_NORM);
        for (loss, alone) in losses(&folder).into_iter().zip(&losses_alone) {
            assert!((loss - alone).abs() < 1e-5 * alone, "{loss} in {n} processes, {alone} in one");
        }
        // What several processes have trained, one can use.
        let mut encoder = moco::Encoder::load(&folder).unwrap();
        assert_eq!(encoder.n_features(), 32);
        encoder.embed(&[image::RgbImage::new(20, 20)]).unwrap();
        let file = root.path().join(format!("{n}.safetensors"));
        moco::exchange::export(
            &folder,
            &file,
            &moco::exchange::ExportOptions::new(moco::exchange::Target::Torchvision),
        )
        .unwrap();
    }
    // With statistics of its own, each part has another loss.
    let split = [&WHOLE_NORM[..2], &[r#"modules.backbone=("resnet", (depth: 18, width: 4, stem: Cifar, conv: Direct, batch_norm_splits: 2))"#]].concat();
    let folder = root.path().join("split");
    train(2, &folder, Some(("v3.ron", &split)), None)
        .into_iter()
        .for_each(|finished| drop(finished.unwrap()));
    assert!((losses(&folder)[0] - losses_alone[0]).abs() > 1e-3 * losses_alone[0]);
}

fn losses(run: &Path) -> Vec<f64> {
    metrics(run).iter().filter_map(|line| line.get("loss")?.as_f64()).collect()
}

#[test]
fn an_error_in_one_process_is_one_in_all() {
    let (file, sets) = PIPELINES[1];
    let root = tempdir().unwrap();
    let folder = root.path().join("run");
    let outcomes = of_all(2, |processes| {
        let stop = AtomicBool::new(false);
        let first = processes.is_first();
        let outcome = if first {
            let pipeline = pipeline_of(file, sets);
            let options = RunOptions {
                folder: Some(folder.clone()),
                processes: Arc::clone(&processes),
                ..RunOptions::default()
            };
            Run::create_with(pipeline, &options).unwrap().train_until(&mut Silent, &stop)
        } else {
            let mut observer = At(2, || Err("the disk is gone".into()));
            Run::follow(Arc::clone(&processes), NonZeroUsize::MIN, &mut observer, &stop)
        };
        if let Err(error) = &outcome {
            processes.abort(&error.to_string());
        }
        outcome.map(drop).map_err(|error| error.to_string())
    });
    assert_eq!(
        outcomes,
        [
            "training has stopped at epoch 1, step 3: process 1 has ended: the disk is gone",
            "the disk is gone"
        ]
        .map(|message| Err(message.to_owned()))
    );
}

/// 40 images in two classes of `folder`, of which every fourth is none, and 8 to measure with.
fn write_images(folder: &Path) {
    for (split, n) in [("train", 20), ("val", 4)] {
        for class in ["one", "two"] {
            let folder = folder.join(split).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for i in 0..n {
                let file = folder.join(format!("{i}.png"));
                match i % 4 {
                    1 => std::fs::write(file, "no image").unwrap(),
                    _ => {
                        image::RgbImage::from_pixel(20, 20, image::Rgb([9 * i as u8; 3])).save(file).unwrap()
                    }
                }
            }
        }
    }
}

#[test]
fn unreadable_images_of_all_processes_are_listed_and_count_together() {
    let root = tempdir().unwrap();
    write_images(&root.path().join("images"));
    let source = format!(r#"data.source=("class-folders", (root: {:?}))"#, root.path().join("images"));
    let list = |folder: &Path| std::fs::read_to_string(folder.join("unreadable.txt")).unwrap();
    // Each epoch is one step, after which nothing is said before the end; and with monitors.
    for (name, monitor) in [("trained", "monitor=[]"), ("measured", r#"monitor=[("knn", (every: 1, k: 5))]"#)]
    {
        let sets = ["data.micro_batch=8", "data.batch=32", "epochs=1", &source, monitor];
        let sets = [&sets[..], &["modules.backbone.batch_norm_splits=4", "checkpoint.best=None"]].concat();
        let root = root.path().join(name);
        let alone = run(1, &root, "symmetric.ron", &sets);
        assert!(list(&alone).lines().count() > 5, "{}", list(&alone));
        for n in [2, 4] {
            let folder = run(n, &root, "symmetric.ron", &sets);
            assert_eq!(list(&folder), list(&alone), "{n} processes, {name}");
            let last = |run: &Path, what: &str| metrics(run).last().unwrap()[what].clone();
            for what in ["unreadable", "loss"] {
                assert_eq!(last(&folder, what), last(&alone, what), "{what} of {n} processes, {name}");
            }
        }
    }
}

#[test]
fn too_many_unreadable_images_end_all_processes_at_one_step_with_a_whole_list() {
    let root = tempdir().unwrap();
    let images = root.path().join("images");
    write_images(&images);
    for i in (0..20).filter(|i| i % 4 != 0) {
        std::fs::write(images.join(format!("train/one/{i}.png")), "no image").unwrap();
    }
    let source = format!(r#"data.source=("class-folders", (root: {images:?}))"#);
    let sets = ["data.micro_batch=8", "data.batch=32", &source, "monitor=[]", "checkpoint.best=None"];
    let mut ends = Vec::new();
    for n in [1, 2, 4] {
        let folder = root.path().join(format!("{n}-processes"));
        for finished in train(n, &folder, Some(("symmetric.ron", &sets)), None) {
            let list = std::fs::read_to_string(folder.join("unreadable.txt")).unwrap();
            ends.push((finished.unwrap_err().to_string(), list));
        }
    }
    let (error, list) = &ends[0];
    assert!(error.contains("of 48 images cannot be read, and at most 16 may be"), "{error}");
    assert!(error.starts_with(&list.lines().count().to_string()), "{error}\n{list}");
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

#[test]
fn batches_that_were_whole_are_dealt_out() {
    let root = tempdir().unwrap();
    let folder = root.path().join("run");
    let sets = ["data.source.train=64", "epochs=1"];
    for finished in train(2, &folder, Some(("symmetric.ron", &sets)), None) {
        finished.unwrap();
    }
    let text = std::fs::read_to_string(folder.join("pipeline.ron")).unwrap();
    assert!(text.contains("micro_batch: Some(8)") || text.contains("micro_batch: 8"), "{text}");

    let options = |n: usize, folder: &str| {
        let processes = ThreadGroup::of(n).swap_remove(0);
        RunOptions {
            folder: Some(root.path().join(folder)),
            processes: Arc::new(processes),
            ..RunOptions::default()
        }
    };
    let pipeline = moco::read_pipeline(here("symmetric.ron"), &[]).unwrap();
    let error = Run::create_with(pipeline, &options(3, "odd")).err().unwrap();
    assert_eq!(error.to_string(), "a batch of 16 images cannot be dealt to 3 processes");
    let pipeline = pipeline_of("symmetric.ron", &["data.micro_batch=4"]);
    let error = Run::create_with(pipeline, &options(3, "odd")).err().unwrap();
    assert_eq!(error.to_string(), "a batch in 4 parts cannot be dealt to 3 processes");
    assert!(!root.path().join("odd").exists(), "an error leaves no folder");

    // The same file goes on in any number of processes, and another does not.
    for n in [1, 2] {
        let mut run = Run::open_with(&folder, options(n, "").processes).unwrap();
        let pipeline = |sets: &[&str]| pipeline_of("symmetric.ron", &[sets, &["epochs=1"]].concat());
        assert!(run.was_started_with(&pipeline(&["data.source.train=64"])).unwrap());
        assert!(!run.was_started_with(&pipeline(&["data.source.train=65"])).unwrap());
        let parts = ["data.source.train=64", "data.micro_batch=4"];
        assert!(!run.was_started_with(&pipeline(&parts)).unwrap());
    }
}
