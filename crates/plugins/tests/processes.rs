//! Processes that have a part of a batch each compute what one computes that has all of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use pipeline::{EncoderPipeline, Pipeline, Site};
use plugin_api::processes::{Alone, Processes, ThreadGroup};
use plugin_api::{Backbone, Config, Entry, Level, ModuleContext, Rng, build};
use plugins as _;
use tensor_ops::{Device, FeatureMap, Mode, Recording, backward, to_rows, weighted_sum};

const BATCH: usize = 16;
const SIDE: usize = 16;

/// Convolutions by Winograd's algorithm have rounding errors of their own.
const RESNET: (&str, &str) = ("resnet", "(depth: 18, width: 8, stem: Cifar, conv: Direct)");
const CONV_VIT: (&str, &str) = ("vit", "(patch: 16, dim: 16, depth: 1, heads: 2, stem: Conv)");

/// What one of `n` processes, or all of them, make of a batch.
struct Outcome {
    /// By image.
    features: Vec<Vec<f32>>,
    gradients: BTreeMap<String, Vec<f32>>,
    running: Vec<f32>,
}

fn context(parts: usize, processes: Arc<dyn Processes>) -> ModuleContext {
    ModuleContext {
        device: Device::default(),
        n_inputs: 3,
        map: None,
        image_size: (SIDE, SIDE),
        batch: BATCH,
        parts,
        processes,
        seed: 3,
        name: "backbone".into(),
    }
}

/// Numbers for image number `image` of set `set`.
fn normal(kind: &str, set: u64, image: usize, len: usize) -> Vec<f32> {
    let mut rng = Rng::new(set, kind, &[image as u64]);
    (0..len).map(|_| rng.normal() as f32).collect()
}

/// A step on images `rank`, `rank + n`, ... of a set.
fn step((plugin, config): (&str, &str), set: u64, processes: Arc<dyn Processes>) -> Outcome {
    let (rank, n) = (processes.rank(), processes.n());
    let mut backbone = build::<dyn Backbone>(plugin, Config::new(config), &context(n, processes)).unwrap();
    let own: Vec<usize> = (rank..BATCH).step_by(n).collect();
    let of = |kind: &str, len| own.iter().flat_map(|&i| normal(kind, set, i, len)).collect::<Vec<f32>>();
    let shape = [own.len(), SIDE, SIDE, 3];
    let images =
        FeatureMap::from_nhwc(&Device::default(), shape, &of("image", SIDE * SIDE * 3), Recording::start());
    let features = backbone.forward(images.unwrap(), Mode::Train).unwrap();
    let width = backbone.n_features();
    let rows = to_rows(&features).chunks(width).map(<[f32]>::to_vec).collect();
    let mut of_step = backward(weighted_sum(features, &of("weight", width)).unwrap()).unwrap();
    let (mut gradients, mut running) = (BTreeMap::new(), Vec::new());
    backbone.visit(&mut |name, entry| match entry {
        Entry::Parameter(parameter) => {
            if let Some(gradient) = parameter.gradient(&mut of_step).unwrap() {
                gradients.insert(name.to_owned(), gradient);
            }
        }
        Entry::Buffer(buffer) => running.extend(buffer.to_vec()),
        Entry::Counter(count) => running.push(count as f32),
    });
    Outcome { features: rows, gradients, running }
}

/// What threads in place of processes make of a batch together, with the running statistics of them all one after the other.
fn together(plugin: (&str, &str), set: u64, n: usize) -> Outcome {
    let threads: Vec<_> = ThreadGroup::of(n).into_iter().map(Arc::new).collect();
    let of_ranks: Vec<Outcome> = thread::scope(|scope| {
        let threads: Vec<_> =
            threads.into_iter().map(|process| scope.spawn(move || step(plugin, set, process))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let features = (0..BATCH).map(|i| of_ranks[i % n].features[i / n].clone()).collect();
    let mut of_ranks = of_ranks.into_iter();
    let Outcome { mut gradients, mut running, .. } = of_ranks.next().unwrap();
    for own in of_ranks {
        running.extend(own.running);
        assert!(own.gradients.keys().eq(gradients.keys()));
        for (sum, own) in gradients.values_mut().zip(own.gradients.values()) {
            sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
    }
    Outcome { features, gradients, running }
}

/// The length of the difference, as a share of what is right.
fn distance<'a>(
    got: impl IntoIterator<Item = &'a Vec<f32>>,
    right: impl IntoIterator<Item = &'a Vec<f32>>,
) -> f64 {
    let (mut error, mut length) = (0.0, 0.0);
    for (got, right) in got.into_iter().zip(right) {
        assert_eq!(got.len(), right.len());
        for (&got, &right) in got.iter().zip(right) {
            error += f64::from(got - right).powi(2);
            length += f64::from(right).powi(2);
        }
    }
    f64::sqrt(error / length)
}

/// A ReLU whose input is 0 but for rounding may switch, and moves gradients by more than the order of sums does. On which
/// images one does depends on the kernels; so all sets of images must be close, and one as close as floats are.
fn assert_whole(plugin: (&str, &str), n: usize) {
    let mut distances = Vec::new();
    for set in 0..4 {
        let whole = step(plugin, set, Arc::new(Alone));
        let got = together(plugin, set, n);
        let (first, others) = got.running.split_at(whole.running.len());
        assert!(others.chunks(first.len()).all(|other| other == first), "the same on all processes");
        let running = distance([&first.to_vec()], [&whole.running]);
        assert!(running < 1e-5, "running statistics: {running}");
        let features = distance(&got.features, &whole.features);
        assert!(features < 1e-5, "features: {features}");
        assert!(got.gradients.keys().eq(whole.gradients.keys()));
        distances.push(distance(got.gradients.values(), whole.gradients.values()));
    }
    assert!(distances.iter().all(|distance| *distance < 0.02), "{distances:?}");
    assert!(distances.iter().any(|distance| *distance < 1e-4), "{distances:?}");
}

#[test]
fn a_resnet_in_several_processes_has_the_gradients_of_the_whole_batch() {
    assert_whole(RESNET, 2);
    assert_whole(RESNET, 4);
}

#[test]
fn the_convolution_stem_of_a_vit_in_several_processes_has_them_too() {
    assert_whole(CONV_VIT, 2);
}

/// Without an exchange, the parts have statistics of their own, and the test would see it.
#[test]
fn parts_with_statistics_of_their_own_have_other_gradients() {
    let of_parts = ("resnet", "(depth: 18, width: 8, stem: Cifar, conv: Direct, batch_norm_splits: 2)");
    let (whole, parts) = (step(RESNET, 0, Arc::new(Alone)), together(of_parts, 0, 2));
    let distance = distance(parts.gradients.values(), whole.gradients.values());
    assert!(distance > 0.1, "{distance}");
}

#[test]
fn statistics_over_the_batch_take_as_many_processes_as_parts() {
    let refused = |splits: usize, parts: usize, n: usize| {
        let process: Arc<dyn Processes> = match n {
            1 => Arc::new(Alone),
            _ => Arc::new(ThreadGroup::of(n).remove(0)),
        };
        let config = format!("(depth: 18, width: 4, stem: Cifar, batch_norm_splits: {splits})");
        let built = build::<dyn Backbone>("resnet", Config::new(&config), &context(parts, process));
        built.map(drop).err().map(|error| error.to_string())
    };
    for (splits, parts, n) in [(1, 1, 1), (1, 4, 4), (4, 4, 1), (4, 4, 2), (8, 4, 4)] {
        assert_eq!(refused(splits, parts, n), None, "{splits} splits, {parts} parts, {n} processes");
    }
    for (splits, parts, n) in [(1, 4, 1), (1, 4, 2), (2, 4, 4), (1, 2, 4)] {
        let message = refused(splits, parts, n).unwrap();
        let must = format!("`batch_norm_splits` is {splits}, but it must be a multiple of {parts}");
        assert!(message.contains(&must), "{message}");
        assert!(message.contains("or train in as many processes as parts"), "{message}");
    }
}

/// MoCo v3 in two parts, with statistics over both.
const PIPELINE: &str = r#"Pipeline(
    name: "processes",
    data: (source: ("shapes", (train: 16, test: 0)), batch: 16, micro_batch: 8),
    views: {
        "x1": [("random-resized-crop", (size: 16)), ("normalize", (statistics: Cifar10))],
        "x2": [("random-resized-crop", (size: 16)), ("normalize", (statistics: Cifar10))],
    },
    modules: {
        "backbone": ("resnet", (depth: 18, width: 4, stem: Cifar)),
        "head": ("mlp", (out: 16)),
        "contrast": ("in-batch", (temperature: 0.2)),
    },
    graph: [
        (id: "q1", run: ["backbone", "head"], on: ["x1"]),
        (id: "k2", run: ["backbone", "head"], on: ["x2"], weights: Momentum),
        (id: "l12", run: ["contrast"], on: ["q1", "k2"]),
    ],
    optimizer: ("sgd", ()),
    momentum: (start: 0.9),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("cosine", (per: Step)),
    epochs: 1,
)"#;

#[test]
fn a_pipeline_is_built_for_the_processes_that_train_it() {
    let device = Device::default();
    let alone = Pipeline::parse("processes.ron", PIPELINE, &[], &device).map(drop).unwrap_err();
    assert!(alone.to_string().contains("train in as many processes as parts, 2"), "{alone}");
    for process in ThreadGroup::of(2) {
        let site = Site::of_processes(&device, Arc::new(process));
        let pipeline = Pipeline::parse("processes.ron", PIPELINE, &[], &site).unwrap();
        assert_eq!(pipeline.network.parts.n_parts, 2);
    }
    // Whoever only uses the encoder is one process.
    let level = Level::Backbone;
    assert!(EncoderPipeline::parse("processes.ron", PIPELINE, level, &device).is_ok());
}
