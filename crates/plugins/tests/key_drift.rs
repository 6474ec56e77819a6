//! The monitor `key-drift`: keys of earlier steps are made again, and the run does not notice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pipeline::{PartsMethod, Pipeline, Site};
use plugin_api::processes::{Alone, Processes, ThreadGroup, ThreadProcess};
use plugins as _;
use run_store::RunFolder;
use run_store::checkpoint::{self, Snapshot};
use tensor_ops::Device;
use train_core::trainer::{self, EpochReport, Finished, Note, Observer, ObserverError, TrainOptions};

const TEXT: &str = r#"Pipeline(
    name: "drift",
    data: (source: ("shapes", (train: 160, test: 0)), batch: 16),
    views: {
        "query": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
        "key": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
    },
    modules: {
        "backbone": ("resnet", (depth: 18, width: 4, stem: Cifar, batch_norm_splits: 4)),
        "head": ("mlp", (out: 16)),
        "contrast": ("queue", (len: 200, temperature: 0.2)),
    },
    graph: [
        (id: "q", run: ["backbone", "head"], on: ["query"]),
        (id: "k", run: ["backbone", "head"], on: ["key"], weights: Momentum, shuffle_batch: true),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    momentum: (start: 0.9),
    optimizer: ("sgd", ()),
    learning_rate: (base: 0.1, scale: Absolute),
    schedule: ("constant", ()),
    epochs: 2,
    checkpoint: (best: None),
)"#;

const MONITOR: &str = r#"monitor=[("key-drift", (every: 1))]"#;

/// Two losses on one queue: the keys of both arrive in each step.
const SYMMETRIC: &str = r#"graph=[
    (id: "q1", run: ["backbone", "head"], on: ["query"]),
    (id: "q2", run: ["backbone", "head"], on: ["key"]),
    (id: "k1", run: ["backbone", "head"], on: ["query"], weights: Momentum, shuffle_batch: true),
    (id: "k2", run: ["backbone", "head"], on: ["key"], weights: Momentum, shuffle_batch: true),
    (id: "l12", run: ["contrast"], on: ["q1", "k2"]),
    (id: "l21", run: ["contrast"], on: ["q2", "k1"]),
]"#;

/// What each measurement says: the epoch, and the metrics in their order.
#[derive(Default)]
struct Told {
    measured: Vec<(usize, Vec<f64>)>,
    protocol: String,
    off: Vec<String>,
}

impl Observer for Told {
    fn measured(&mut self, report: &EpochReport<'_>) -> Result<(), ObserverError> {
        if !report.metrics.is_empty() {
            let values = report.metrics.iter().map(|metric| metric.value).collect();
            self.measured.push((report.epochs_done, values));
            self.protocol = report.metrics.iter().map(|metric| format!("{}\n", metric.protocol)).collect();
        }
        Ok(())
    }

    fn note(&mut self, note: &Note<'_>) -> Result<(), ObserverError> {
        if let Note::MonitorOff { .. } = note {
            self.off.push(note.to_string());
        }
        Ok(())
    }
}

fn pipeline(sets: &[&str], site: impl Into<Site>) -> Pipeline {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Pipeline::parse("drift.ron", TEXT, &sets, site).unwrap_or_else(|fault| panic!("{fault}"))
}

fn train(root: &Path, name: &str, pipeline: Pipeline, resume: Option<&Snapshot>) -> (Snapshot, Told) {
    let run = RunFolder::create(root, name, None).unwrap();
    let (last, told) = train_in(&run, pipeline, resume, Arc::new(Alone));
    (checkpoint::read(&last).unwrap(), told)
}

/// The last checkpoint, and what was told.
fn train_in(
    run: &RunFolder,
    pipeline: Pipeline,
    resume: Option<&Snapshot>,
    processes: Arc<dyn Processes>,
) -> (PathBuf, Told) {
    let options = TrainOptions { n_workers: 2, processes, accept_changed_images: false };
    let mut told = Told::default();
    let stop = AtomicBool::new(false);
    let finished = trainer::train(pipeline, &Device::default(), run, resume, &options, &mut told, &stop);
    let Finished::Completed(summary) = finished.unwrap() else { panic!("it was stopped") };
    (summary.checkpoint, told)
}

#[test]
fn a_run_has_the_same_bits_with_and_without_the_monitor() {
    let root = tempfile::tempdir().unwrap();
    let all_at_once: &[&str] = &[];
    let ways: [(&str, &[&str], PartsMethod); 5] = [
        ("whole", all_at_once, PartsMethod::Whole),
        ("symmetric", &[SYMMETRIC], PartsMethod::Whole),
        ("accumulated", &["data.micro_batch=4"], PartsMethod::Accumulate),
        ("symmetric-accumulated", &[SYMMETRIC, "data.micro_batch=4"], PartsMethod::Accumulate),
        (
            "cached",
            &[
                "data.micro_batch=4",
                "graph.k.shuffle_batch=false",
                "modules.head=(\"mlp\", (out: 16, norm: Batch))",
            ],
            PartsMethod::CacheFeatures,
        ),
    ];
    for (name, sets, method) in ways {
        let device = Device::default();
        let without = pipeline(sets, &device);
        assert_eq!(without.network.parts.method, method, "{name}");
        let with = pipeline(&[sets, &[MONITOR]].concat(), &device);
        let (without, _) = train(root.path(), &format!("{name}-without"), without, None);
        let (with, told) = train(root.path(), &format!("{name}-with"), with, None);
        assert!(with.tensors == without.tensors, "{name}");
        assert_eq!(told.measured.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [1, 2], "{name}");
        for (_, values) in &told.measured {
            let [newest, quarter, half, three_quarters, oldest, gap] = values[..] else {
                panic!("{values:?}")
            };
            // The encoder of the last step has not moved: its keys are the same to rounding.
            assert!(newest < 1e-9, "{name}: {values:?}");
            assert!(
                [quarter, half, three_quarters, oldest].iter().all(|drift| *drift > 1e-4),
                "{name}: {values:?}"
            );
            assert!(gap.is_finite(), "{name}: {values:?}");
        }
    }
}

#[test]
fn an_encoder_that_does_not_move_makes_the_same_keys_at_every_age() {
    let root = tempfile::tempdir().unwrap();
    for (name, sets) in [("whole", &[][..]), ("parts", &["data.micro_batch=8"][..])] {
        let still = pipeline(&[sets, &[MONITOR, "momentum.start=1.0"]].concat(), &Device::default());
        let (_, told) = train(root.path(), name, still, None);
        for (_, values) in told.measured {
            assert!(values[..5].iter().all(|drift| *drift < 1e-9), "{name}: {values:?}");
        }
    }
}

#[test]
fn ages_reach_over_the_batches_that_the_queue_has_whole() {
    let root = tempfile::tempdir().unwrap();
    // After one epoch, 10 steps; then, of 200 keys, 12 steps of 16.
    let (_, told) = train(root.path(), "a", pipeline(&[MONITOR], &Device::default()), None);
    assert!(told.protocol.contains("16 keys of 11 steps before the last, 1 - cosine"), "{}", told.protocol);
    assert!(told.protocol.contains("16 keys of 5 steps before the last, 1 - cosine"), "{}", told.protocol);
    assert_eq!(told.off, <[String; 0]>::default());
    let short = pipeline(&[MONITOR, "modules.contrast.len=31"], &Device::default());
    let (_, told) = train(root.path(), "b", short, None);
    assert_eq!(told.measured, []);
    assert_eq!(told.off.len(), 1);
    assert!(
        told.off[0].starts_with("monitor key-drift is off: the queue holds the keys of a single step"),
        "{:?}",
        told.off
    );
    let no_queue =
        pipeline(&[MONITOR, r#"modules.contrast=("in-batch", (temperature: 0.2))"#], &Device::default());
    let (_, told) = train(root.path(), "c", no_queue, None);
    assert!(told.off[0].contains("no loss of the graph keeps keys"), "{:?}", told.off);
}

#[test]
fn a_resumed_run_measures_what_the_whole_one_does() {
    let root = tempfile::tempdir().unwrap();
    let whole = RunFolder::create(root.path(), "whole", None).unwrap();
    let of = |sets: &[&str]| pipeline(&[&[MONITOR, "checkpoint.keep=9"], sets].concat(), &Device::default());
    let (_, straight) = train_in(&whole, of(&[]), None, Arc::new(Alone));
    let middle = checkpoint::read(&whole.checkpoints().join("step-00000010.safetensors")).unwrap();
    let (_, resumed) = train(root.path(), "resumed", of(&[]), Some(&middle));
    assert_eq!(resumed.measured[..], straight.measured[1..]);
    // Another run's checkpoint has keys of images that this one may not know: only later ones are looked at.
    let of_another = trainer::continued(of(&[]), &Device::default(), &middle).unwrap();
    let (_, continued) = train(root.path(), "continued", of(&["epochs=3"]), Some(&of_another));
    assert_eq!(continued.measured.len(), 2);
    let [first, second] = [0, 1].map(|i| continued.measured[i].1[0]);
    assert!(first < 1e-9 && second < 1e-9);
}

#[test]
fn several_processes_measure_what_one_does_in_as_many_parts() {
    let root = tempfile::tempdir().unwrap();
    let parts: &[&str] = &[MONITOR, "data.micro_batch=8"];
    let (state, alone) = train(root.path(), "alone", pipeline(parts, &Device::default()), None);
    let threads: Vec<_> = ThreadGroup::of(2).into_iter().map(Arc::new).collect();
    let folder = RunFolder::create(root.path(), "together", None).unwrap();
    let path = folder.path().to_owned();
    let mut runs = vec![folder];
    runs.push(RunFolder::of_another(&path));
    let told: Vec<(PathBuf, Told)> = std::thread::scope(|scope| {
        let start = |(process, run): (Arc<ThreadProcess>, RunFolder)| {
            scope.spawn(move || {
                let site = Site::of_processes(&Device::default(), Arc::clone(&process) as Arc<dyn Processes>);
                let pipeline = pipeline(parts, site);
                train_in(&run, pipeline, None, process)
            })
        };
        let threads: Vec<_> = threads.into_iter().zip(runs).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (last, told) in told {
        assert!(checkpoint::read(&last).unwrap().tensors == state.tensors);
        assert_eq!(told.measured, alone.measured);
    }
}
