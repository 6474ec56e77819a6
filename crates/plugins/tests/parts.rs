//! A batch in parts has the gradients of the whole batch.

use std::collections::BTreeMap;

use plugins as _;
use tensor_ops::{Device, FeatureMap, Recording};
use train_core::checkpoint::{Snapshot, Stored};
use train_core::engine::{Engine, EngineError};
use train_core::pipeline::{Parts, PartsMethod, Pipeline};
use train_core::{Draws, SingleProcess};

const BATCH: usize = 32;

/// MoCo v2 on ResNet-18, with statistics over four parts of a batch and shuffled keys; symmetric, to have two losses.
const V2: &str = r#"
    modules: {
        "backbone": ("resnet", (depth: 18, width: 4, stem: Cifar, batch_norm_splits: 4)),
        "head": ("mlp", (out: 16)),
        "contrast": ("queue", (len: 128, temperature: 0.2)),
    },
    graph: [
        (id: "q1", run: ["backbone", "head"], on: ["x1"]),
        (id: "q2", run: ["backbone", "head"], on: ["x2"]),
        (id: "k1", run: ["backbone", "head"], on: ["x1"], weights: Momentum, shuffle_batch: true),
        (id: "k2", run: ["backbone", "head"], on: ["x2"], weights: Momentum, shuffle_batch: true),
        (id: "l12", run: ["contrast"], on: ["q1", "k2"]),
        (id: "l21", run: ["contrast"], on: ["q2", "k1"]),
    ],
    optimizer: ("sgd", (momentum: 0.9, weight_decay: 1e-4)),
"#;

fn pipeline(rest: &str, overrides: &[&str]) -> Pipeline {
    let text = format!(
        r#"Pipeline(
    name: "parts",
    data: (source: ("shapes", (train: 64, test: 0)), batch: {BATCH}),
    views: {{
        "x1": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
        "x2": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
    }},
    {rest}
    minimize: ["l12", "l21"],
    momentum: (start: 0.9),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("cosine", (per: Step)),
    epochs: 1,
)"#
    );
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    match Pipeline::parse("parts.ron", &text, &overrides, &Device::default()) {
        Ok(pipeline) => pipeline,
        Err(fault) => panic!("{fault}"),
    }
}

/// `(H, W)` values for each image of a view of a step.
fn image(view: usize, step: u64, image: usize) -> Vec<f32> {
    let mut draws = Draws::new(view as u64, "images of the test", &[step, image as u64]);
    (0..16 * 16 * 3).map(|_| draws.normal() as f32).collect()
}

/// Images of parts, in the order in which the loader would give them.
fn images(parts: &Parts, step: u64) -> impl Iterator<Item = Vec<FeatureMap>> {
    let mut given = Vec::new();
    let shuffle = Engine::shuffle(0, step, BATCH);
    for pass in &parts.passes {
        for part in 0..parts.n_parts {
            let places: Vec<usize> = parts
                .places(part, BATCH)
                .map(|place| if pass.is_shuffled { shuffle[place] } else { place })
                .collect();
            let view = |&view: &usize| {
                let values: Vec<f32> = places.iter().flat_map(|&place| image(view, step, place)).collect();
                FeatureMap::from_nhwc(&Device::default(), [places.len(), 16, 16, 3], &values, Recording::Off)
                    .unwrap()
            };
            given.push(pass.views.iter().map(view).collect());
        }
    }
    given.into_iter()
}

/// Losses and first gradients of two steps, and the state after them.
struct Outcome {
    losses: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    state: Snapshot,
}

fn train(pipeline: Pipeline) -> Outcome {
    let mut engine = Engine::new(pipeline.network, 0, Device::default(), Box::new(SingleProcess)).unwrap();
    let parts = engine.parts().clone();
    let (mut losses, mut gradients) = (Vec::new(), BTreeMap::new());
    for step in 0..2 {
        let mut images = images(&parts, step);
        let mut next = || Ok::<_, EngineError>(images.next().unwrap());
        let mut computed = engine.compute(BATCH, 0.9, &mut next).unwrap();
        assert!(images.next().is_none(), "every part was asked for");
        losses.extend(computed.losses.iter().flat_map(|loss| [loss.value, loss.top1]));
        engine.absorb(&computed.keys).unwrap();
        if step == 0 {
            engine
                .visit_gradients(&mut computed.gradients, |name, _, values| {
                    gradients.insert(name.to_owned(), values.to_vec());
                })
                .unwrap();
        }
        engine.update(&mut computed.gradients, 0.01).unwrap();
    }
    let mut state = Snapshot::default();
    engine.save(&mut state);
    Outcome { losses, gradients, state }
}

/// |a − b| / |b| over all tensors.
fn distance<'a>(a: impl Iterator<Item = &'a [f32]>, b: impl Iterator<Item = &'a [f32]>) -> f64 {
    let (mut difference, mut scale) = (0.0, 0.0);
    for (a, b) in a.zip(b) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            difference += f64::from(a - b).powi(2);
            scale += f64::from(*b).powi(2);
        }
    }
    (difference / scale).sqrt()
}

fn floats(state: &Snapshot) -> impl Iterator<Item = &[f32]> {
    state.tensors.values().filter_map(|stored| match stored {
        Stored::F32 { values, .. } => Some(values.as_slice()),
        Stored::U64(_) => None,
    })
}

#[track_caller]
fn assert_same(parts: &Outcome, whole: &Outcome) {
    for (a, b) in parts.losses.iter().zip(&whole.losses) {
        assert!((a - b).abs() < 2e-5 * b.abs().max(1.0), "{:?} {:?}", parts.losses, whole.losses);
    }
    assert!(parts.gradients.keys().eq(whole.gradients.keys()));
    let gradients = |outcome: &Outcome| outcome.gradients.values().cloned().collect::<Vec<_>>();
    let (a, b) = (gradients(parts), gradients(whole));
    let error = distance(a.iter().map(Vec::as_slice), b.iter().map(Vec::as_slice));
    assert!(error < 1e-5, "gradients differ by {error:e}");
    assert!(parts.state.tensors.keys().eq(whole.state.tensors.keys()));
    let error = distance(floats(&parts.state), floats(&whole.state));
    assert!(error < 1e-5, "states differ by {error:e}");
    for (name, stored) in &whole.state.tensors {
        if let Stored::U64(_) = stored {
            assert_eq!(parts.state.tensors[name], *stored, "{name}");
        }
    }
}

#[test]
fn v2_in_parts_is_v2_with_as_many_splits() {
    let whole = train(pipeline(V2, &[]));
    for micro_batch in [8, 16] {
        let pipeline = pipeline(V2, &[&format!("data.micro_batch={micro_batch}")]);
        assert_eq!(pipeline.network.parts.method, PartsMethod::Accumulate);
        assert_same(&train(pipeline), &whole);
    }
}
