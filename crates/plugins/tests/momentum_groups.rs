//! Momentum copies of which some have a coefficient of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use pipeline::Pipeline;
use plugin_api::Progress;
use plugins as _;
use processes::Alone;
use run_store::checkpoint::{Snapshot, Stored};
use tensor_ops::Device;
use train_core::engine::{Engine, EngineError};

use self::queue_pipeline::{BATCH, parse, view};

mod queue_pipeline;

fn pipeline(rest: &str) -> Result<Pipeline, String> {
    parse("0.2", "0.0", rest)
}

fn parameters(engine: &Engine) -> BTreeMap<String, Vec<f32>> {
    let mut snapshot = Snapshot::default();
    engine.save(&mut snapshot).unwrap();
    let values = |(name, stored)| match stored {
        Stored::F32 { values, .. } => Some((name, values)),
        _ => None,
    };
    snapshot.tensors.into_iter().filter_map(values).collect()
}

#[test]
fn copies_move_by_the_coefficient_of_their_group() {
    let rest = r#"momentum: (start: 0.75), groups: [
        (parameters: Named(["head"]), momentum: 0.5),
        (parameters: Named(["backbone.conv1"]), momentum: 1.0),
        (parameters: Named(["backbone.layer1"]), momentum: 0.0),
    ],"#;
    let mut engine =
        Engine::new(pipeline(rest).unwrap().network, 0, Device::default(), Arc::new(Alone)).unwrap();
    let mut step = || {
        engine.set_progress(Progress { epoch: 0, step: 0, steps_per_epoch: 4, epochs: 4 }).unwrap();
        let before = parameters(&engine);
        let mut next = || Ok::<_, EngineError>(vec![view("a"), view("b")]);
        let mut computed = engine.compute(BATCH, 0.75, &mut next).unwrap();
        let moved = parameters(&engine);
        engine.update(&mut computed.gradients, 0.1).unwrap();
        (before, moved)
    };
    // They begin as copies, whatever their coefficient.
    let (start, _) = step();
    let (before, moved) = step();
    let names = [
        ("head.weight", 0.5),
        ("backbone.conv1.weight", 1.0),
        ("backbone.layer1.0.conv1.weight", 0.0),
        ("backbone.layer2.0.conv1.weight", 0.75),
    ];
    for (name, momentum) in names {
        let [own, followed] = ["momentum", "query"].map(|which| format!("{which}.{name}"));
        assert_eq!(start[&own], start[&followed], "{name}");
        assert_ne!(before[&followed], start[&followed], "{name} is trained");
        for ((moved, own), followed) in moved[&own].iter().zip(&before[&own]).zip(&before[&followed]) {
            let expected = momentum * own + (1.0 - momentum) * followed;
            assert!((moved - expected).abs() < 1e-6, "{name}: {moved}, expected {expected}");
        }
    }
}

#[test]
fn a_coefficient_that_does_nothing_or_is_none_is_refused() {
    let cases = [
        (
            r#"momentum: (start: 0.9), groups: [(parameters: Vectors, momentum: 1.5)],"#,
            "is a share from 0 to 1",
        ),
        (r#"momentum: (start: 1.0), groups: [(parameters: Vectors, momentum: 0.5)],"#, "do not move at all"),
        (
            r#"momentum: (start: 0.9), groups: [(parameters: Named(["contrast"]), momentum: 0.5)],"#,
            "no parameter is named `contrast`",
        ),
    ];
    for (rest, told) in cases {
        let error = pipeline(rest).err().unwrap();
        assert!(error.contains(told), "{error}");
    }
}
