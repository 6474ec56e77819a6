//! Numbers that have a ramp are, at every step, as if the file had their values.

use std::sync::Arc;

use pipeline::Pipeline;
use plugin_api::{
    Config, ContrastiveLoss, InputShape, LossContext, Objective, ObjectiveContext, Optimizer,
    OptimizerContext, Progress, build,
};
use plugins as _;
use processes::Alone;
use run_store::checkpoint::Snapshot;
use tensor_ops::Device;
use train_core::engine::{Engine, EngineError};

use self::queue_pipeline::{BATCH, parse, view};

mod queue_pipeline;

fn pipeline(temperature: &str, decay: &str, ramps: &str) -> Pipeline {
    let rest = format!("momentum: (start: 0.9), ramps: [{ramps}],");
    parse(temperature, decay, &rest).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The loss of a step in `epoch`, and the state after it.
fn step(pipeline: Pipeline, epoch: usize) -> (f32, Snapshot) {
    let mut engine = Engine::new(pipeline.network, 0, Device::default(), Arc::new(Alone)).unwrap();
    engine.set_progress(Progress { epoch, step: 0, steps_per_epoch: 2, epochs: 4 }).unwrap();
    let mut next = || Ok::<_, EngineError>(vec![view("a"), view("b")]);
    let mut computed = engine.compute(BATCH, 0.9, &mut next).unwrap();
    engine.update(&mut computed.gradients, 0.1).unwrap();
    let mut state = Snapshot::default();
    engine.save(&mut state).unwrap();
    (computed.total(), state)
}

#[test]
fn a_step_is_as_if_the_file_had_the_values_of_that_step() {
    let ramps = r#"(what: "modules.contrast.temperature", to: 0.4, along: Linear, epochs: 2),
        (what: "optimizer.weight_decay", to: 0.3, along: Linear)"#;
    for (epoch, temperature, decay) in
        [(0, "0.2", "0.1"), (1, "0.30000000000000004", "0.15"), (2, "0.4", "0.2")]
    {
        let (ramped, same) = (pipeline("0.2", "0.1", ramps), pipeline(temperature, decay, ""));
        let ((loss, state), expected) = (step(ramped, epoch), step(same, epoch));
        assert_eq!((loss, &state.tensors), (expected.0, &expected.1.tensors), "epoch {epoch}");
    }
    let constant = step(pipeline("0.2", "0.1", ""), 2);
    assert_ne!(step(pipeline("0.2", "0.1", ramps), 2), constant);
}

#[test]
fn a_group_keeps_its_own_weight_decay() {
    let ramp = r#"(what: "optimizer.weight_decay", to: 0.3)"#;
    let all = r#"groups=[(parameters: Named(["backbone", "head"]), weight_decay: 0.1)]"#;
    let grouped = |ramps| {
        let text = pipeline("0.2", "0.1", ramps).text;
        Pipeline::parse("ramps.ron", &text, &[all.to_owned()], &Device::default()).unwrap()
    };
    assert_eq!(step(grouped(ramp), 3), step(grouped(""), 3));
    assert_ne!(step(pipeline("0.2", "0.1", ramp), 3), step(pipeline("0.2", "0.1", ""), 3));
}

#[test]
fn the_momentum_of_a_one_cycle_is_that_of_pytorch() {
    let ramp = r#"(what: "optimizer.momentum", to: 0.85, schedule: ("one-cycle", (start: 0, end: 0)))"#;
    let mut text = pipeline("0.2", "0.1", ramp).text;
    text = text.replace("momentum: 0.9,", "momentum: 0.95,");
    let pipeline = Pipeline::parse("ramps.ron", &text, &[], &Device::default()).unwrap();
    let [ramp] = &pipeline.network.ramps[..] else { panic!("{:?}", pipeline.network.ramps) };
    // o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1, momentum=0.9)
    // s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1, total_steps=200); o.param_groups[0]["momentum"], at each step
    for (step, expected) in [
        (0, 0.95),
        (1, 0.949929134783838),
        (30, 0.8986689739281112),
        (59, 0.85),
        (60, 0.8500125882528746),
        (130, 0.9011219032147902),
        (198, 0.9499874117471253),
        (199, 0.95),
    ] {
        let at = Progress { epoch: step / 50, step: step % 50, steps_per_epoch: 50, epochs: 4 };
        assert!((ramp.at(at) - expected).abs() < 1e-12, "{step}: {}", ramp.at(at));
    }
}

#[test]
fn losses_of_queries_take_what_their_configs_take() {
    let context = LossContext {
        device: Device::default(),
        n_inputs: 8,
        batch: 4,
        keys_per_step: 4,
        seed: 0,
        name: "contrast".into(),
    };
    for name in ["queue", "in-batch"] {
        let config = Config::new("(temperature: 0.2)");
        let mut loss = build::<dyn ContrastiveLoss>(name, config, &context).unwrap();
        let before = loss.loss_range(4);
        loss.set_number("temperature", 0.5).unwrap();
        assert_ne!(loss.loss_range(4), before, "{name}");
        let error = loss.set_number("temperature", 0.0).unwrap_err().to_string();
        assert!(error.starts_with("`temperature` is 0, but it must"), "{name}: {error}");
        assert!(loss.set_number("len", 8.0).is_err(), "{name}");
    }
}

#[test]
fn a_ramp_of_dino_does_not_fight_with_its_warm_up() {
    let input = |is_trained| InputShape { name: "x".into(), width: 8, map: None, is_trained };
    let context = ObjectiveContext {
        device: Device::default(),
        inputs: vec![input(true), input(true), input(false), input(false)],
        batch: 4,
        epochs: 4,
        seed: 0,
        name: "loss".into(),
    };
    let config = Config::new("(warmup_epochs: 2)");
    let mut dino = build::<dyn Objective>("dino", config, &context).unwrap();
    let error = dino.set_number("teacher_temperature", 0.07).unwrap_err().to_string();
    assert_eq!(error, "`teacher_temperature` is reached by `warmup_epochs` already");
}

/// Numbers that papers change while training.
const OF_OPTIMIZERS: [(&str, &[&str]); 4] = [
    ("sgd", &["momentum", "weight_decay"]),
    ("adamw", &["weight_decay"]),
    ("lars", &["momentum", "weight_decay", "trust"]),
    ("lion", &["weight_decay"]),
];

#[test]
fn optimizers_take_what_their_configs_take() {
    for (name, numbers) in OF_OPTIMIZERS {
        let mut optimizer = build::<dyn Optimizer>(name, Config::new("()"), &OptimizerContext).unwrap();
        for number in numbers {
            optimizer.set_number(number, 0.5).unwrap_or_else(|error| panic!("{name}, {number}: {error}"));
            let error = optimizer.set_number(number, -1.0).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{number}` is -1, but it must")), "{name}: {error}");
        }
        let error = optimizer.set_number("eps", 0.1).unwrap_err();
        assert_eq!(error.to_string(), "`eps` is no number that can change while training", "{name}");
        assert!(error.hint().is_some_and(|hint| hint.contains("weight_decay")), "{name}: {error:?}");
    }
}

#[test]
fn objectives_take_what_their_configs_take() {
    for (name, trained, fixed, numbers) in [
        ("nt-xent", 2, 0, &["temperature"][..]),
        ("dcl", 2, 0, &["temperature"]),
        ("sup-con", 2, 0, &["temperature"]),
        ("nnclr", 2, 2, &["temperature"]),
        ("mochi", 1, 1, &["temperature"]),
        ("ressl", 1, 1, &["temperature", "target_temperature"]),
        ("dino", 2, 2, &["student_temperature", "teacher_temperature", "center_momentum"]),
        ("swav", 2, 0, &["temperature", "sinkhorn_epsilon"]),
        ("barlow-twins", 2, 0, &["redundancy"]),
        ("vicreg", 2, 0, &["invariance", "variance", "covariance"]),
    ] {
        let input = |is_trained| InputShape { name: "x".into(), width: 8, map: None, is_trained };
        let inputs =
            std::iter::repeat_n(input(true), trained).chain(std::iter::repeat_n(input(false), fixed));
        let context = ObjectiveContext {
            device: Device::default(),
            inputs: inputs.collect(),
            batch: 4,
            epochs: 4,
            seed: 0,
            name: "loss".into(),
        };
        let mut objective = build::<dyn Objective>(name, Config::new("()"), &context).unwrap();
        for number in numbers {
            objective.set_number(number, 0.5).unwrap_or_else(|error| panic!("{name}, {number}: {error}"));
            let error = objective.set_number(number, -1.0).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{number}` is -1, but it must")), "{name}: {error}");
        }
        let error = objective.set_number("len", 64.0).unwrap_err().to_string();
        assert_eq!(error, "`len` is no number that can change while training", "{name}");
    }
}
