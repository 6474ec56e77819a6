//! Graphs with objectives: what passes a gradient and what does not, whole batches from parts, state, and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::{Parts, PartsMethod, Pipeline};
use plugin_api::schemars::JsonSchema;
use plugin_api::serde::Deserialize;
use plugin_api::{
    ConfigError, Evaluated, Input, Module, Objective, ObjectiveContext, ObjectiveStep, Progress, Rng,
};
use plugins as _;
use processes::{Alone, Processes, ThreadGroup};
use run_store::checkpoint::{Snapshot, Stored};
use tensor_ops::{
    Buffer, Device, FeatureMap, KeepLogits, OpError, Recording, Rows as _, loss_with_gradient, scale_loss,
    sum_losses,
};
use train_core::engine::{Engine, EngineError, Images};

const BATCH: usize = 16;

plugin_api::register! {
    dyn Objective {
        name: "test-distance",
        summary: "the mean squared distance of two values, for the tests of the engine",
        source: "a test",
        example: "()",
        build: |config: DistanceConfig, context| Distance::new(config, context),
    }
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
struct DistanceConfig {
    /// Whether a metric is not a number.
    breaks: bool,
}

/// `mean((a - b)^2)`, with a count of the steps that it has seen, and what it was told of the last one as metrics.
struct Distance {
    n_seen: Buffer,
    put_aside: Option<f32>,
    breaks: bool,
}

impl Distance {
    fn new(config: DistanceConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        match &context.inputs[..] {
            [a, b] if a.width == b.width => {}
            _ => return Err(ConfigError::unfit("it takes two values of one width", "name two")),
        }
        Ok(Self { n_seen: Buffer::zeros(&[1]), put_aside: None, breaks: config.breaks })
    }
}

impl Module for Distance {
    plugin_api::visit! { self;
        "n_seen" => self.n_seen,
    }
}

fn rows(input: &Input) -> Vec<f32> {
    match input {
        Input::Trained(features) => features.rows(),
        Input::Fixed(matrix) => matrix.rows(),
    }
}

impl Objective for Distance {
    fn evaluate(&mut self, inputs: Vec<Input>, step: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let [a, b] = <[Input; 2]>::try_from(inputs).unwrap_or_else(|_| panic!("two were declared"));
        let difference: Vec<f32> = rows(&a).iter().zip(rows(&b)).map(|(a, b)| a - b).collect();
        let share = 1.0 / difference.len() as f32;
        let value = difference.iter().map(|d| d * d).sum::<f32>() * share;
        let mut losses = Vec::new();
        for (input, sign) in [(a, 1.0), (b, -1.0)] {
            let Input::Trained(features) = input else { continue };
            let gradient = difference.iter().map(|d| sign * 2.0 * share * d).collect();
            losses.push(loss_with_gradient(features, value, gradient)?);
        }
        let n = losses.len() as f32;
        self.put_aside = Some(1.0);
        let indices: usize = step.indices.iter().enumerate().map(|(row, index)| (row + 1) * index).sum();
        let labels: u32 = step.labels.unwrap_or_default().iter().sum();
        let broken = if self.breaks { f32::NAN } else { step.at.epoch as f32 };
        Ok(Evaluated {
            loss: scale_loss(sum_losses(losses)?, 1.0 / n)?,
            value,
            metrics: vec![indices as f32, labels as f32, broken, self.n_seen.to_vec()[0]],
        })
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        let seen = self.n_seen.to_vec()[0] + self.put_aside.take().unwrap_or(0.0);
        self.n_seen.set(&[seen])
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["indices", "labels", "epoch", "n_seen"]
    }

    fn needs_labels(&self) -> bool {
        true
    }
}

/// What surrounds a graph of the backbone, a projector, a predictor and the objective.
fn parse(graph: &str, overrides: &[&str]) -> Result<Pipeline, String> {
    let text = format!(
        r#"Pipeline(
    name: "objectives",
    data: (source: ("shapes", (train: 64, test: 0)), batch: {BATCH}),
    views: {{
        "x1": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
        "x2": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
    }},
    modules: {{
        "backbone": ("vit", (patch: 4, dim: 24, depth: 2, heads: 3)),
        "projector": ("mlp", (layers: 2, hidden: 24, out: 16, norm: Batch, last_norm: true)),
        "predictor": ("mlp", (layers: 2, hidden: 24, out: 16, norm: Batch, last_norm: true)),
        "distance": ("test-distance", ()),
    }},
    graph: [{graph}],
    optimizer: ("sgd", (momentum: 0.9)),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("cosine", (per: Step)),
    epochs: 1,
)"#
    );
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Pipeline::parse("objectives.ron", &text, &overrides, &Device::default())
        .map_err(|fault| fault.to_string())
}

/// Two views, of which one passes a predictor; `first` and `second` are what the loss is on, each trained or its target.
fn siamese(first: &str, second: &str) -> String {
    let targets = [("t1", "p1"), ("t2", "z2")].into_iter().filter(|(id, _)| [first, second].contains(id));
    let targets = targets.map(|(id, on)| format!(r#"(id: "{id}", run: [], on: ["{on}"], gradient: None),"#));
    format!(
        r#"
        (id: "z1", run: ["backbone", "projector"], on: ["x1"]),
        (id: "z2", run: ["backbone", "projector"], on: ["x2"]),
        (id: "p1", run: ["predictor"], on: ["z1"]),
        {}
        (id: "distance", run: ["distance"], on: ["{first}", "{second}"]),
        "#,
        targets.collect::<String>()
    )
}

/// What a step computes.
struct Outcome {
    value: f32,
    metrics: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
}

/// The images at `places` of a batch, as the views of a pass.
fn images(views: &[usize], places: &[usize]) -> Images {
    let pixels = |view: usize, place: usize| -> Vec<f32> {
        let mut rng = Rng::new(7, "images of the test", &[view as u64, place as u64]);
        (0..16 * 16 * 3).map(|_| rng.normal() as f32).collect()
    };
    let view = |&view: &usize| {
        let values: Vec<f32> = places.iter().flat_map(|&place| pixels(view, place)).collect();
        let shape = [places.len(), 16, 16, 3];
        FeatureMap::from_nhwc(&Device::default(), shape, &values, Recording::Off).unwrap()
    };
    Images {
        views: views.iter().map(view).collect(),
        indices: places.iter().map(|place| 100 + place).collect(),
        labels: places.iter().map(|&place| place as u32 % 3).collect(),
    }
}

/// The first two steps of a graph, which move no weight.
fn two_steps(pipeline: Pipeline, processes: Arc<dyn Processes>) -> Result<[Outcome; 2], EngineError> {
    let mut engine = Engine::new(pipeline.network, 0, Device::default(), processes)?;
    let parts: Parts = engine.parts().clone();
    let mut step = |epoch| {
        engine.set_progress(Progress { epoch, step: 0, steps_per_epoch: 1, epochs: 4 })?;
        let own = engine.own_parts();
        let mut given = parts.passes.iter().flat_map(|pass| {
            own.clone().map(|part| images(&pass.views, &parts.places(part, BATCH).collect::<Vec<_>>()))
        });
        let mut next = || Ok::<_, EngineError>(given.next().unwrap());
        let mut computed = engine.compute(BATCH, 0.9, &mut next)?;
        engine.enqueue(&computed.keys)?;
        let mut gradients = BTreeMap::new();
        engine.visit_gradients(&mut computed.gradients, |name, _, values| {
            gradients.insert(name.to_owned(), values.to_vec());
        })?;
        let loss = &computed.losses[0];
        assert_eq!(loss.top1, None);
        let metrics = loss.metrics.iter().map(|(_, value)| *value).collect();
        Ok::<_, EngineError>(Outcome { value: loss.value, metrics, gradients })
    };
    Ok([step(2)?, step(3)?])
}

fn alone(graph: &str) -> [Outcome; 2] {
    two_steps(parse(graph, &[]).unwrap(), Arc::new(Alone)).unwrap()
}

/// The length of the difference over that of what is right.
fn distance(got: &BTreeMap<String, Vec<f32>>, right: &BTreeMap<String, Vec<f32>>) -> f64 {
    assert!(got.keys().eq(right.keys()));
    let pairs = got.values().flatten().zip(right.values().flatten());
    let (mut error, mut length) = (0.0, 0.0);
    for (&got, &right) in pairs {
        error += f64::from(got - right).powi(2);
        length += f64::from(right).powi(2);
    }
    f64::sqrt(error / length)
}

#[test]
fn a_target_passes_no_gradient_and_the_gradients_of_both_sides_make_that_of_both() {
    let [both, _] = alone(&siamese("p1", "z2"));
    let [left, _] = alone(&siamese("p1", "t2"));
    let [right, _] = alone(&siamese("t1", "z2"));
    assert_eq!((left.value, right.value), (both.value, both.value));
    let of = |outcome: &Outcome, start: &str| -> f32 {
        let named = outcome.gradients.iter().filter(|(name, _)| name.starts_with(start));
        named.flat_map(|(_, values)| values).map(|value| value.abs()).sum()
    };
    assert!(of(&left, "predictor") > 0.0 && of(&left, "backbone") > 0.0);
    assert_eq!(of(&right, "predictor"), 0.0, "the predictor is on the side of the target");
    assert!(of(&right, "backbone") > 0.0);
    let value = |outcome: &Outcome, name: &str, i: usize| {
        outcome.gradients.get(name).and_then(|values| values.get(i)).copied().unwrap_or(0.0)
    };
    // The objective halves the gradient of two trained sides; that of one is whole.
    let sum = |name: &str, i: usize| (value(&left, name, i) + value(&right, name, i)) / 2.0;
    let sums = both.gradients.iter().map(|(name, values)| {
        let summed: Vec<f32> = (0..values.len()).map(|i| sum(name, i)).collect();
        (name.clone(), summed)
    });
    let apart = distance(&sums.collect(), &both.gradients);
    assert!(apart < 1e-5, "{apart}");
}

/// A value is used twice, first by a step whose result is only a target.
#[test]
fn a_use_that_reaches_no_loss_takes_no_gradient_from_another() {
    let lost = r#"
        (id: "z1", run: ["backbone", "projector"], on: ["x1"]),
        (id: "p1", run: ["predictor"], on: ["z1"]),
        (id: "t1", run: [], on: ["p1"], gradient: None),
        (id: "distance", run: ["distance"], on: ["z1", "t1"]),
        (id: "other", run: ["backbone", "projector"], on: ["x2"], gradient: None),
        (id: "also", run: ["distance"], on: ["z1", "other"]),
    "#;
    // The target has a pass of its own.
    let apart = r#"
        (id: "z1", run: ["backbone", "projector"], on: ["x1"]),
        (id: "z2", run: ["backbone", "projector"], on: ["x1"], gradient: None),
        (id: "t1", run: ["predictor"], on: ["z2"], gradient: None),
        (id: "distance", run: ["distance"], on: ["z1", "t1"]),
        (id: "other", run: ["backbone", "projector"], on: ["x2"], gradient: None),
        (id: "also", run: ["distance"], on: ["z1", "other"]),
    "#;
    let right = &alone(apart)[0];
    let in_parts = two_steps(parse(lost, &["data.micro_batch=8"]).unwrap(), Arc::new(Alone)).unwrap();
    for got in [&alone(lost)[0], &in_parts[0]] {
        assert!((got.value - right.value).abs() < 1e-5 * right.value);
        let of = |outcome: &Outcome, start: &str| -> BTreeMap<String, Vec<f32>> {
            let named = outcome.gradients.clone().into_iter();
            named.filter(|(name, _)| name.starts_with(start)).collect()
        };
        for module in ["backbone", "projector"] {
            let off = distance(&of(got, module), &of(right, module));
            assert!(off < 1e-4, "{module}: {off}");
        }
    }
}

#[test]
fn a_batch_in_parts_and_over_processes_is_seen_whole_and_in_its_order() {
    let graph = siamese("p1", "z2");
    let whole = alone(&graph);
    let (indices, labels): (usize, usize) = (0..BATCH)
        .map(|place| ((place + 1) * (100 + place), place % 3))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(whole[0].metrics, [indices as f32, labels as f32, 2.0, 0.0]);
    assert_eq!(whole[1].metrics, [indices as f32, labels as f32, 3.0, 1.0]);
    for micro_batch in [8, 4] {
        let overrides = format!("data.micro_batch={micro_batch}");
        let in_parts = || parse(&graph, &[&overrides]).unwrap();
        assert_eq!(in_parts().network.parts.method, PartsMethod::CacheFeatures);
        let mut outcomes = vec![two_steps(in_parts(), Arc::new(Alone)).unwrap()];
        let ranks = ThreadGroup::of(2).into_iter().map(|rank| Arc::new(rank) as Arc<dyn Processes>);
        std::thread::scope(|scope| {
            let step = |rank: Arc<dyn Processes>| {
                let overrides = format!("data.micro_batch={micro_batch}");
                scope.spawn(move || {
                    let pipeline = parse(&siamese("p1", "z2"), &[&overrides]).unwrap();
                    two_steps(pipeline, rank).unwrap()
                })
            };
            let threads: Vec<_> = ranks.map(step).collect();
            outcomes.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        });
        for outcome in outcomes {
            for (step, whole) in outcome.iter().zip(&whole) {
                assert_eq!(step.metrics, whole.metrics);
                assert!((step.value - whole.value).abs() < 1e-5 * whole.value);
                let apart = distance(&step.gradients, &whole.gradients);
                assert!(apart < 1e-4, "micro-batches of {micro_batch}: {apart}");
            }
        }
    }
}

#[test]
fn a_metric_that_is_no_number_beside_a_finite_loss_is_refused() {
    let graph = siamese("p1", "z2");
    let pipeline = parse(&graph, &["modules.distance=(\"test-distance\", (breaks: true))"]).unwrap();
    let error = two_steps(pipeline, Arc::new(Alone)).err().unwrap().to_string();
    assert_eq!(
        error,
        "step `distance` of the graph: objective: epoch is NaN, but metrics must be finite where the loss is"
    );
}

#[test]
fn the_encoder_is_the_first_that_is_trained() {
    let graph = r#"
        (id: "t", run: ["backbone"], on: ["x2"], gradient: None),
        (id: "t1", run: ["projector"], on: ["t"], gradient: None),
        (id: "p1", run: ["backbone", "projector", "predictor"], on: ["x1"]),
        (id: "distance", run: ["distance"], on: ["p1", "t1"]),
    "#;
    let pipeline = parse(graph, &[]).unwrap();
    let encoder = pipeline.network.graph.encoder();
    assert_eq!(pipeline.network.graph.views[encoder.view], "x1");
    assert_eq!(encoder.heads.len(), 2);
    assert_eq!(
        pipeline.network.graph.to_text(),
        "t = backbone(x2)  [no gradient]\n\
         t1 = projector(t)  [no gradient]\n\
         p1 = backbone → projector → predictor(x1)\n\
         distance = distance(p1, t1)\n\
         minimize distance\n"
    );
    let mermaid = pipeline.network.graph.to_mermaid();
    assert!(mermaid.contains("n_t1 -.-> n_distance") && mermaid.contains("n_p1 --> n_distance"), "{mermaid}");
}

#[test]
fn what_would_train_nothing_is_refused() {
    let refused = |steps: &str| {
        let first = r#"(id: "z1", run: ["backbone", "projector", "predictor"], on: ["x1"]),"#;
        parse(&format!("{first} {steps}"), &[]).err().unwrap()
    };
    let cases = [
        (r#"(id: "l", run: ["distance"], on: ["x1", "z1"])"#, "`x1` is a view, and a loss takes features"),
        (
            r#"(id: "t", run: [], on: ["z1"], gradient: None), (id: "l", run: ["distance"], on: ["t", "t"])"#,
            "no gradient passes through any of these, so nothing would train",
        ),
        (r#"(id: "t", run: [], on: ["z1"])"#, "this step runs nothing"),
        (
            r#"(id: "t", run: [], on: ["x1"], gradient: None)"#,
            "`x1` is a view, and images alone are no target",
        ),
        (
            r#"(id: "k", run: ["backbone"], on: ["x1"], weights: Momentum, gradient: None)"#,
            "no gradient passes through momentum weights anyway",
        ),
        (
            r#"(id: "l", run: ["distance"], on: ["z1", "z1"], gradient: None)"#,
            "a loss without a gradient trains nothing",
        ),
        (r#"(id: "l", run: ["distance"], on: ["z1"])"#, "it takes two values of one width"),
        (
            r#"(id: "t", run: [], on: ["z1"], gradient: None), (id: "l", run: ["distance"], on: ["z1", "z1"]),
               (id: "l2", run: ["distance"], on: ["z1", "t"])"#,
            "`distance` takes 16 features, 16 features in an earlier step, and 16 features, 16 features without a \
             gradient here",
        ),
    ];
    for (steps, expected) in cases {
        let error = refused(steps);
        assert!(error.contains(expected), "{steps}: {error}");
    }
}

#[test]
fn parameters_that_no_gradient_reaches_are_named() {
    let graph = siamese("t1", "z2");
    let mut engine =
        Engine::new(parse(&graph, &[]).unwrap().network, 0, Device::default(), Arc::new(Alone)).unwrap();
    let places: Vec<usize> = (0..BATCH).collect();
    let mut computed = engine.compute_whole(images(&[0, 1], &places), 0.9, KeepLogits::No).unwrap();
    let norms = engine.gradient_norms(&mut computed.gradients).unwrap().unwrap();
    let missing = engine.without_gradient(&norms).unwrap();
    assert!(!missing.is_empty() && missing.iter().all(|name| name.starts_with("predictor.")), "{missing:?}");
}

#[test]
fn a_group_is_frozen_for_its_first_epochs() {
    let groups = r#"groups=[(parameters: Named(["predictor"]), frozen_epochs: 1)]"#;
    let pipeline = parse(&siamese("p1", "z2"), &[groups]).unwrap();
    let mut engine = Engine::new(pipeline.network, 0, Device::default(), Arc::new(Alone)).unwrap();
    let places: Vec<usize> = (0..BATCH).collect();
    let mut step = |epoch| {
        let values = |engine: &Engine, name: &str| {
            let mut snapshot = Snapshot::default();
            engine.save(&mut snapshot).unwrap();
            match &snapshot.tensors[name] {
                Stored::F32 { values, .. } => values.clone(),
                _ => panic!("{name} is no parameter"),
            }
        };
        let names = ["query.predictor.0.weight", "query.projector.0.weight"];
        let before = names.map(|name| values(&engine, name));
        engine.set_progress(Progress { epoch, step: 0, steps_per_epoch: 1, epochs: 4 }).unwrap();
        let mut computed = engine.compute_whole(images(&[0, 1], &places), 0.9, KeepLogits::No).unwrap();
        engine.update(&mut computed.gradients, 0.1).unwrap();
        [0, 1].map(|i| values(&engine, names[i]) != before[i])
    };
    assert_eq!(step(0), [false, true]);
    assert_eq!(step(1), [true, true]);
}
