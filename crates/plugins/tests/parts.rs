//! A batch in parts has the gradients of the whole batch.
//!
//! To within 1e-5. Winograd's rounding alone comes to that, so the ResNets here convolve directly.

use std::collections::BTreeMap;

use pipeline::{Parts, PartsMethod, Pipeline};
use plugin_api::Rng;
use plugins as _;
use processes::Alone;
use run_store::checkpoint::{Snapshot, Stored};
use tensor_ops::{Device, FeatureMap, KeepLogits, Recording};
use train_core::engine::{Engine, EngineError, Loss};

const BATCH: usize = 64;

/// MoCo v2 on ResNet-18, with statistics over eight parts of a batch and shuffled keys; symmetric, to have two losses.
const V2: &str = r#"
    modules: {
        "backbone": ("resnet", (depth: 18, width: 4, stem: Cifar, batch_norm_splits: 8, conv: Direct)),
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

/// MoCo v3 on `backbone`: a predictor, negatives of the batch, batch norm in the heads.
fn v3(backbone: &str) -> String {
    format!(
        r#"
    modules: {{
        "backbone": {backbone},
        "projector": ("mlp", (layers: 2, hidden: 24, out: 16, norm: Batch, last_norm: true)),
        "predictor": ("mlp", (layers: 2, hidden: 24, out: 16, norm: Batch, last_norm: true)),
        "contrast": ("in-batch", (temperature: 0.2)),
    }},
    graph: [
        (id: "q1", run: ["backbone", "projector", "predictor"], on: ["x1"]),
        (id: "q2", run: ["backbone", "projector", "predictor"], on: ["x2"]),
        (id: "k1", run: ["backbone", "projector"], on: ["x1"], weights: Momentum),
        (id: "k2", run: ["backbone", "projector"], on: ["x2"], weights: Momentum),
        (id: "l12", run: ["contrast"], on: ["q1", "k2"]),
        (id: "l21", run: ["contrast"], on: ["q2", "k1"]),
    ],
    optimizer: ("sgd", (momentum: 0.9, weight_decay: 0.01)),
"#
    )
}

const VIT: &str = r#"("vit", (patch: 4, dim: 24, depth: 2, heads: 3, freeze_patch_projection: true))"#;
const DROPPING_VIT: &str = r#"("vit", (patch: 4, dim: 24, depth: 3, heads: 3, drop_path: 0.3))"#;
const CONV_VIT: &str =
    r#"("vit", (patch: 16, dim: 24, depth: 1, heads: 3, stem: Conv, batch_norm_splits: 8))"#;
const RESNET: &str = r#"("resnet", (depth: 18, width: 4, stem: Cifar, batch_norm_splits: 8, conv: Direct))"#;

fn pipeline(rest: &str, overrides: &[&str]) -> Pipeline {
    parse(rest, overrides).unwrap_or_else(|message| panic!("{message}"))
}

fn parse(rest: &str, overrides: &[&str]) -> Result<Pipeline, String> {
    let text = format!(
        r#"Pipeline(
    name: "parts",
    data: (source: ("shapes", (train: 64, test: 0)), batch: {BATCH}),
    views: {{
        "x1": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
        "x2": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
    }},
    {rest}
    momentum: (start: 0.9),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("cosine", (per: Step)),
    epochs: 1,
)"#
    );
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Pipeline::parse("parts.ron", &text, &overrides, &Device::default()).map_err(|fault| fault.to_string())
}

/// `(H, W)` values for each image of a view of a step; `set` numbers the draws.
fn image(set: u64, view: usize, step: u64, image: usize) -> Vec<f32> {
    let mut rng = Rng::new(set, "images of the test", &[view as u64, step, image as u64]);
    (0..16 * 16 * 3).map(|_| rng.normal() as f32).collect()
}

/// Images of parts, in the order in which the loader would give them.
fn images(parts: &Parts, set: u64, step: u64) -> impl Iterator<Item = Vec<FeatureMap>> {
    let mut given = Vec::new();
    let shuffle = pipeline::batch_shuffle(0, step, BATCH);
    for pass in &parts.passes {
        for part in 0..parts.n_parts {
            let places: Vec<usize> = parts
                .places(part, BATCH)
                .map(|place| if pass.is_shuffled { shuffle[place] } else { place })
                .collect();
            let view = |&view: &usize| {
                let values: Vec<f32> =
                    places.iter().flat_map(|&place| image(set, view, step, place)).collect();
                FeatureMap::from_nhwc(&Device::default(), [places.len(), 16, 16, 3], &values, Recording::Off)
                    .unwrap()
            };
            given.push(pass.views.iter().map(view).collect());
        }
    }
    given.into_iter()
}

/// Sets of images that parts are compared on.
const N_SETS: u64 = 4;

/// Losses of two steps; gradients of the first, and the state after it.
struct Outcome {
    losses: [Vec<f32>; 2],
    gradients: BTreeMap<String, Vec<f32>>,
    state: Snapshot,
}

fn train(pipeline: Pipeline, set: u64) -> Outcome {
    let mut engine = Engine::new(pipeline.network, 0, Device::default(), std::sync::Arc::new(Alone)).unwrap();
    let parts = engine.parts().clone();
    let (mut losses, mut gradients, mut state) = ([vec![], vec![]], BTreeMap::new(), Snapshot::default());
    for (step, losses) in (0..).zip(&mut losses) {
        let mut images = images(&parts, set, step);
        let mut next = || Ok::<_, EngineError>(images.next().unwrap());
        let mut computed = engine.compute(BATCH, 0.9, &mut next).unwrap();
        assert!(images.next().is_none(), "every part was asked for");
        let told = |loss: &Loss| [Some(loss.value), loss.top1].into_iter().flatten().collect::<Vec<_>>();
        losses.extend(computed.losses.iter().flat_map(told));
        engine.enqueue(&computed.keys).unwrap();
        if step == 0 {
            engine
                .visit_gradients(&mut computed.gradients, |name, _, values| {
                    gradients.insert(name.to_owned(), values.to_vec());
                })
                .unwrap();
        }
        engine.update(&mut computed.gradients, 0.01).unwrap();
        if step == 0 {
            engine.save(&mut state).unwrap();
        }
    }
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

/// The largest difference of two outcomes, whose losses before any weight has moved must be the same.
#[track_caller]
fn difference(parts: &Outcome, whole: &Outcome) -> f64 {
    let of_losses = |step: usize| {
        let pairs = parts.losses[step].iter().zip(&whole.losses[step]);
        pairs.map(|(a, b)| f64::from((a - b).abs() / b.abs().max(1.0))).fold(0.0, f64::max)
    };
    assert!(of_losses(0) < 2e-5, "{:?} {:?}", parts.losses, whole.losses);
    assert!(parts.gradients.keys().eq(whole.gradients.keys()));
    assert!(parts.state.tensors.keys().eq(whole.state.tensors.keys()));
    for (name, stored) in &whole.state.tensors {
        if let Stored::U64(_) = stored {
            assert_eq!(parts.state.tensors[name], *stored, "{name}");
        }
    }
    let gradients = |outcome: &Outcome| outcome.gradients.values().cloned().collect::<Vec<_>>();
    let (a, b) = (gradients(parts), gradients(whole));
    let of_gradients = distance(a.iter().map(Vec::as_slice), b.iter().map(Vec::as_slice));
    let of_states = distance(floats(&parts.state), floats(&whole.state));
    of_losses(1).max(of_gradients).max(of_states)
}

/// Asserts that a batch in parts trains `text` as a whole batch does.
///
/// A ReLU whose input is 0 but for rounding may switch, and moves gradients by more than the order of sums does. On which
/// images one does depends on the kernels; so all sets of images must be close, and one as close as floats are.
#[track_caller]
fn assert_same(text: &str, micro_batches: &[usize], method: PartsMethod) {
    let wholes: Vec<Outcome> = (0..N_SETS).map(|set| train(pipeline(text, &[]), set)).collect();
    for micro_batch in micro_batches {
        let parts = || {
            let pipeline = pipeline(text, &[&format!("data.micro_batch={micro_batch}")]);
            assert_eq!(pipeline.network.parts.method, method);
            pipeline
        };
        let differences: Vec<f64> =
            (0..).zip(&wholes).map(|(set, whole)| difference(&train(parts(), set), whole)).collect();
        assert!(differences.iter().all(|difference| *difference < 0.02), "{differences:?}");
        assert!(differences.iter().any(|difference| *difference < 1e-5), "{differences:?}");
    }
}

#[test]
fn v2_in_parts_is_v2_with_as_many_splits() {
    assert_same(V2, &[8, 32], PartsMethod::Accumulate);
}

#[test]
fn v3_in_parts_has_the_gradients_of_the_whole_batch() {
    for (backbone, micro_batches) in [(VIT, &[8, 32, 2][..]), (CONV_VIT, &[8, 32]), (RESNET, &[8, 32])] {
        assert_same(&v3(backbone), micro_batches, PartsMethod::CacheFeatures);
    }
}

#[test]
fn dropped_paths_follow_the_place_in_the_batch_and_not_the_part() {
    assert_same(&v3(DROPPING_VIT), &[8], PartsMethod::CacheFeatures);
    let losses = |set: &str| train(pipeline(&v3(DROPPING_VIT), &[set]), 0).losses;
    let rate = |rate: &str| losses(&format!("modules.backbone.drop_path={rate}"));
    assert_ne!(rate("0.3"), rate("0"));
}

/// `text` with steps that make queries, and steps that make keys, in one pass each.
fn shared(text: &str) -> String {
    let text = text.replace("weights: Momentum)", "weights: Momentum, shared_pass: \"keys\")");
    ["x1", "x2"].iter().fold(text, |text, view| {
        text.replace(&format!("on: [\"{view}\"])"), &format!("on: [\"{view}\"], shared_pass: \"queries\")"))
    })
}

#[test]
fn steps_that_share_a_pass_are_one_batch_for_the_backbone() {
    for (backbone, is_same) in [(VIT, true), (RESNET, false)] {
        let text = v3(backbone);
        let (apart, together) = (train(pipeline(&text, &[]), 0), train(pipeline(&shared(&text), &[]), 0));
        if is_same {
            assert!(difference(&together, &apart) < 1e-5, "nothing looks at other images");
        } else {
            assert_ne!(together.losses, apart.losses, "statistics are those of both views");
        }
    }
    for (backbone, micro_batches) in [(VIT, &[8, 32, 2][..]), (DROPPING_VIT, &[8]), (RESNET, &[8, 32])] {
        assert_same(&shared(&v3(backbone)), micro_batches, PartsMethod::CacheFeatures);
    }
    let in_turn = shared(&V2.replace(", shuffle_batch: true", ""));
    assert_same(&in_turn, &[8, 32], PartsMethod::Accumulate);
}

/// MoCo's loss on the features of `backbone`, and another on the positions of its map; nothing but the heads looks at more than
/// one image.
fn dense(backbone: &str) -> String {
    format!(
        r#"
    modules: {{
        "backbone": {backbone},
        "head": ("mlp", (out: 16)),
        "dense": ("dense-mlp", (layers: 2, hidden: 24, out: 16)),
        "contrast": ("queue", (len: 128, temperature: 0.2)),
        "dense-cl": ("dense-cl", (len: 128, temperature: 0.2)),
    }},
    graph: [
        (id: "b1", run: ["backbone"], on: ["x1"], gives: FeaturesAndMap),
        (id: "b2", run: ["backbone"], on: ["x2"], weights: Momentum, gives: FeaturesAndMap),
        (id: "q", run: ["head"], on: ["b1"]),
        (id: "k", run: ["head"], on: ["b2"], weights: Momentum),
        (id: "dense_q", run: ["dense"], on: ["b1"]),
        (id: "dense_k", run: ["dense"], on: ["b2"], weights: Momentum),
        (id: "map", run: [], on: ["b1"], gradient: None),
        (id: "l12", run: ["contrast"], on: ["q", "k"], weight: 0.5),
        (id: "dense_l12", run: ["dense-cl"], on: ["dense_q", "dense_k", "map", "b2"], weight: 0.5),
    ],
    optimizer: ("sgd", (momentum: 0.9, weight_decay: 1e-4)),
"#
    )
}

#[test]
fn maps_go_through_in_parts_as_well() {
    for backbone in [VIT, DROPPING_VIT, RESNET] {
        assert_same(&dense(backbone), &[8, 32], PartsMethod::CacheFeatures);
    }
}

/// The map beside the features changes nothing for a loss that does not use it.
#[test]
fn features_are_the_same_beside_a_map() {
    for backbone in [VIT, RESNET] {
        let with_map = dense(backbone);
        let lines = with_map.lines().filter(|line| !line.contains("dense") && !line.contains("\"map\""));
        let with_map: String = lines.map(|line| format!("{line}\n")).collect();
        let without = with_map.replace(", gives: FeaturesAndMap", "");
        let (with_map, without) = (train(pipeline(&with_map, &[]), 0), train(pipeline(&without, &[]), 0));
        assert_eq!(with_map.losses, without.losses, "{backbone}");
        assert!(difference(&with_map, &without) < 1e-6, "{backbone}");
    }
}

/// What `micro_batch` is not: parts as batches of their own, whose gradients are averaged. Each query would meet only the
/// negatives of its part.
#[test]
fn averaging_the_gradients_of_small_batches_is_something_else() {
    let text = v3(VIT);
    let whole = train(pipeline(&text, &[]), 0);
    let mut network = pipeline(&text, &["data.micro_batch=8"]).network;
    network.parts.method = PartsMethod::Accumulate;
    network.parts.passes[0].views = vec![0, 1];
    let parts = network.parts.clone();
    let mut engine = Engine::new(network, 0, Device::default(), std::sync::Arc::new(Alone)).unwrap();
    let mut images = images(&parts, 0, 0);
    let mut computed =
        engine.compute(BATCH, 0.9, &mut || Ok::<_, EngineError>(images.next().unwrap())).unwrap();
    let mut naive = BTreeMap::new();
    let keep = |name: &str, _: &[usize], values: &[f32]| drop(naive.insert(name.to_owned(), values.to_vec()));
    engine.visit_gradients(&mut computed.gradients, keep).unwrap();
    let error = distance(naive.values().map(Vec::as_slice), whole.gradients.values().map(Vec::as_slice));
    assert!(error > 0.1, "{error}");
}

#[test]
fn a_batch_that_cannot_be_cut_exactly_is_refused() {
    let refused =
        |rest: &str, set: &str| parse(rest, &[set]).err().unwrap_or_else(|| panic!("{set} is taken"));
    let message = refused(V2, "data.micro_batch=12");
    assert!(message.contains("a batch of 64 images cannot be cut into parts of 12"), "{message}");
    assert!(message.contains("choose from 8, 16, 32, 64"), "{message}");
    for rest in [V2.to_owned(), v3(RESNET), v3(CONV_VIT)] {
        let rest = rest.replace(", batch_norm_splits: 8", "");
        // Shuffling needs splits, whatever the parts.
        let rest = rest.replace(", shuffle_batch: true", "");
        let message = refused(&rest, "data.micro_batch=8");
        assert!(message.contains("`batch_norm_splits` is 1, but it must be a multiple of 8"), "{message}");
        assert!(message.contains("ghost batch norm"), "{message}");
    }
    let shuffled = v3(RESNET)
        .replace("on: [\"x1\"], weights: Momentum", "on: [\"x1\"], weights: Momentum, shuffle_batch: true");
    let message = refused(&shuffled, "data.micro_batch=8");
    assert!(message.contains("must all be shuffled or none"), "{message}");
}

#[test]
fn the_weight_of_a_loss_scales_its_share_of_sum_range_and_gradients() {
    let halves: &[&str] = &["graph.l12.weight=0.5", "graph.l21.weight=0.5"];
    let one: &[&str] = &["graph.l21.weight=0"];
    let engine = |set: &[&str]| {
        Engine::new(pipeline(V2, set).network, 0, Device::default(), std::sync::Arc::new(Alone)).unwrap()
    };
    let range = |set: &[&str]| engine(set).loss_range(BATCH).unwrap();
    assert_eq!(range(halves).chance, range(&[]).chance / 2.0);
    assert_eq!(range(one), range(halves));
    for in_parts in [None, Some("data.micro_batch=8")] {
        for text in [V2, &v3(RESNET)] {
            let outcome = |set: &[&str]| {
                let set: Vec<&str> = set.iter().copied().chain(in_parts).collect();
                train(pipeline(text, &set), 0)
            };
            let (whole, halved, one) = (outcome(&[]), outcome(halves), outcome(one));
            // Halves are exact in floats.
            assert_eq!(halved.losses[0], whole.losses[0]);
            for (name, gradient) in &whole.gradients {
                let half: Vec<f32> = gradient.iter().map(|value| value / 2.0).collect();
                assert_eq!(halved.gradients[name], half, "{name}");
            }
            assert_ne!(one.gradients, whole.gradients);
        }
    }
    let mut engine = engine(halves);
    let views = (0..2).map(|view| {
        let values: Vec<f32> = (0..BATCH).flat_map(|place| image(0, view, 0, place)).collect();
        FeatureMap::from_nhwc(&Device::default(), [BATCH, 16, 16, 3], &values, Recording::Off).unwrap()
    });
    let computed = engine.compute_whole(views.collect::<Vec<_>>(), 0.9, KeepLogits::No).unwrap();
    assert_eq!(computed.total(), computed.losses.iter().map(|loss| loss.value / 2.0).sum::<f32>());
}
