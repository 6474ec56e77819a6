//! The order of work in a step: what is in memory at a time.

use std::sync::Mutex;

use dfdx::tensor::{PutTape as _, SplitTape as _, Tape as _};
use pipeline::Pipeline;
use plugin_api::{Head, Module};
use plugins as _;
use processes::Alone;
use tensor_ops::{Device, FeatureMap, Features, Mode, OpError, Recording};
use train_core::engine::{Engine, EngineError};

plugin_api::register! {
    dyn Head {
        name: "witness",
        summary: "returns its input, and notes when it does so",
        source: "",
        example: "()",
        build: |_config: WitnessConfig, context| Ok(Witness { n_features: context.n_inputs }),
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct WitnessConfig {}

struct Witness {
    n_features: usize,
}

/// What went through a [`Witness`].
static SEEN: Mutex<Vec<&str>> = Mutex::new(Vec::new());

fn note(event: &'static str) {
    SEEN.lock().unwrap().push(event);
}

impl Module for Witness {
    plugin_api::visit! { self; }
}

impl Head for Witness {
    fn n_outputs(&self) -> usize {
        self.n_features
    }

    fn forward(&mut self, features: Features, _: Mode) -> Result<Features, OpError> {
        let (features, mut recording) = features.split_tape();
        note(if recording.is_on() { "query" } else { "key" });
        recording.add_backward_op(|_| {
            note("backward");
            Ok(())
        });
        Ok(features.put_tape(recording))
    }
}

const BATCH: usize = 8;

fn pipeline(overrides: &[&str]) -> Pipeline {
    let text = format!(
        r#"Pipeline(
    name: "order",
    data: (source: ("shapes", (train: 64, test: 0)), batch: {BATCH}),
    views: {{
        "x1": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
        "x2": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
    }},
    modules: {{
        "backbone": ("vit", (patch: 4, dim: 24, depth: 1, heads: 3)),
        "head": ("witness", ()),
        "contrast": ("queue", (len: 64, temperature: 0.2)),
    }},
    graph: [
        (id: "q1", run: ["backbone", "head"], on: ["x1"]),
        (id: "q2", run: ["backbone", "head"], on: ["x2"]),
        (id: "k1", run: ["backbone", "head"], on: ["x1"], weights: Momentum),
        (id: "k2", run: ["backbone", "head"], on: ["x2"], weights: Momentum),
        (id: "l12", run: ["contrast"], on: ["q1", "k2"]),
        (id: "l21", run: ["contrast"], on: ["q2", "k1"]),
    ],
    momentum: (start: 0.9),
    optimizer: ("sgd", ()),
    learning_rate: (base: 0.01, scale: Absolute),
    schedule: ("constant", ()),
    epochs: 1,
)"#
    );
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Pipeline::parse("order.ron", &text, &overrides, &Device::default())
        .unwrap_or_else(|fault| panic!("{fault}"))
}

#[test]
fn keys_come_first_and_a_query_after_the_backward_pass_of_the_one_before() {
    let queries = ["query", "backward", "query", "backward"];
    let whole = [&["key", "key"], &queries[..]].concat();
    let halves = [&["key"; 4], &queries[..], &queries[..]].concat();
    for (overrides, expected) in [(&[][..], whole), (&["data.micro_batch=4"], halves)] {
        let mut engine =
            Engine::new(pipeline(overrides).network, 0, Device::default(), std::sync::Arc::new(Alone))
                .unwrap();
        let n = BATCH / engine.parts().n_parts;
        let passes: Vec<usize> = engine.parts().passes.iter().map(|pass| pass.views.len()).collect();
        let mut n_views = passes.iter().flat_map(|&views| vec![views; BATCH / n]);
        let mut next = || -> Result<Vec<FeatureMap>, EngineError> {
            let view = |i| {
                let values: Vec<f32> = (0..n * 16 * 16 * 3).map(|j| ((i + j) % 7) as f32).collect();
                FeatureMap::from_nhwc(&Device::default(), [n, 16, 16, 3], &values, Recording::Off)
            };
            Ok((0..n_views.next().expect("no more than the passes")).map(view).collect::<Result<_, _>>()?)
        };
        SEEN.lock().unwrap().clear();
        let computed = engine.compute(BATCH, 0.9, &mut next).unwrap();
        assert_eq!(*SEEN.lock().unwrap(), expected, "{overrides:?}");
        let ids: Vec<&str> = computed.losses.iter().map(|loss| &*loss.id).collect();
        assert_eq!(ids, ["l12", "l21"]);
    }
}
