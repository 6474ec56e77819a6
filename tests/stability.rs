//! Runs that become unstable: what is told, and what freezing the first layer does.

use std::path::Path;

use run_store::checkpoint::Stored;
use tempfile::tempdir;

use crate::support::{Outcome, here, metrics, xtask};

/// `v3.ron`, deeper, with a learning rate a thousand times too high, and an epoch of 8 steps.
fn run(root: &Path, out: &str, sets: &[&str]) -> Outcome {
    let file = here("v3.ron");
    let mut arguments = vec!["run", &file, "--out", out];
    let unstable = [
        "data.source.train=128",
        "modules.backbone.depth=4",
        "modules.backbone.freeze_patch_projection=false",
        "learning_rate=(base: 1.0, scale: Absolute)",
        r#"schedule=("cosine", (per: Step, warmup_epochs: 20))"#,
        "epochs=40",
        "monitor.knn.every=40",
        "checkpoint=(every_epochs: 40, best: None)",
    ];
    for set in unstable.iter().chain(sets) {
        arguments.extend(["--set", set]);
    }
    xtask(root, arguments)
}

/// Loss and steps with a spike of each epoch.
fn epochs(run: &Path) -> Vec<(f64, f64)> {
    let metric = |line: &serde_json::Map<String, serde_json::Value>, name: &str| line.get(name)?.as_f64();
    metrics(run)
        .iter()
        .filter_map(|line| Some((metric(line, "loss")?, metric(line, "gradient_spikes")?)))
        .collect()
}

/// The first epoch whose loss is a quarter higher than the lowest one before.
fn loss_shows_it(epochs: &[(f64, f64)]) -> Option<usize> {
    let mut lowest = f64::INFINITY;
    epochs.iter().position(|(loss, _)| {
        lowest = lowest.min(*loss);
        *loss > 1.25 * lowest
    })
}

#[test]
fn spikes_in_the_first_layer_come_before_the_loss_shows_them() {
    let root = tempdir().unwrap();
    let watched = "stability=(spike: 4.0)";
    // Whether so short a run gets as far as to show it is chance, which falls otherwise with other kernels.
    let became_unstable = (6..10).find_map(|seed| {
        let out = format!("unstable-{seed}");
        let outcome = run(root.path(), &out, &[watched, &format!("seed={seed}")]).done();
        let epochs = epochs(&root.path().join(out));
        Some((outcome, loss_shows_it(&epochs)?, epochs))
    });
    let (outcome, shown, unstable) = became_unstable.expect("some run becomes unstable");
    let told = "the gradient of backbone.patch_embed.proj.weight jumps to ";
    assert!(outcome.stderr.contains(told), "{outcome}");
    let first_spike = unstable.iter().position(|(_, spikes)| *spikes > 0.0).unwrap();
    assert!(first_spike < shown, "{unstable:?}");

    // Frozen, the first layer is never what spikes, and the run goes on to its end. Whether its loss rises less is
    // chance at a rate that every other layer suffers from too.
    let outcome = run(root.path(), "frozen", &[watched, r#"freeze=["backbone.stem"]"#]).done();
    assert!(!outcome.stderr.contains("backbone.patch_embed"), "{outcome}");
    let frozen = epochs(&root.path().join("frozen"));
    assert_eq!(frozen.len(), 40);
    assert!(frozen.iter().all(|(loss, _)| loss.is_finite()), "{frozen:?}");
}

#[test]
fn a_spike_skips_its_step_or_freezes_the_first_layer() {
    let root = tempdir().unwrap();
    let skipped = run(root.path(), "skipped", &["stability=(spike: 4.0, on_spike: SkipStep)"]).done();
    assert!(skipped.stderr.contains("this step changes no weights"), "{skipped}");
    let freeze = r#"stability=(spike: 4.0, on_spike: Freeze(["backbone.stem"]))"#;
    let frozen = run(root.path(), "frozen", &[freeze]).done();
    let names = "frozen from now on: backbone.patch_embed.proj.weight, backbone.patch_embed.proj.bias";
    assert!(frozen.stderr.contains(names), "{frozen}");
    // Without a gradient, there is nothing to spike any more.
    assert_eq!(epochs(&root.path().join("frozen")).iter().map(|(_, spikes)| spikes).sum::<f64>(), 1.0);
}

#[test]
fn a_run_that_diverges_names_what_is_wrong_and_where_to_go_on() {
    let root = tempdir().unwrap();
    let sets = [
        r#"optimizer=("sgd", (momentum: 0.9))"#,
        "learning_rate=(base: 1e30, scale: Absolute)",
        r#"schedule=("constant", ())"#,
    ];
    let stderr = run(root.path(), "diverged", &sets).refused();
    assert!(stderr.contains("error: training has diverged at epoch 1, step "), "{stderr}");
    assert!(stderr.contains("is not finite"), "{stderr}");
    assert!(stderr.contains("hint: the last good checkpoint is `diverged/checkpoints/step-"), "{stderr}");
}

/// Checks that the checkpoint which the hint names is there.
fn check_last_good(root: &Path, stderr: &str) {
    let (_, rest) = stderr.split_once("hint: the last good checkpoint is `").expect(stderr);
    let (path, _) = rest.split_once('`').expect(stderr);
    assert!(root.join(path).is_file(), "{stderr}");
}

/// `small.ron` with a learning rate at which the features overflow though the loss does not, measured every epoch.
fn diverging_features(monitor: &str) -> Vec<String> {
    let sets = [
        "learning_rate.base=1e6",
        "epochs=4",
        "data.source.train=32",
        r#"schedule=("constant", ())"#,
        &format!("monitor=[{monitor}]"),
    ];
    sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]).collect()
}

#[test]
fn divergence_that_only_a_monitor_meets_is_divergence() {
    let root = tempdir().unwrap();
    let root = root.path();
    let small = here("small.ron");
    for (name, monitor) in [
        ("knn", r#"("knn", (every: 1, k: 5))"#),
        ("linear-probe", r#"("linear-probe", (every: 1, epochs: 2))"#),
        ("feature-collapse", r#"("feature-collapse", (every: 1))"#),
    ] {
        let sets = diverging_features(monitor);
        let arguments = ["run", &small, "--out", name].map(str::to_owned).into_iter();
        let stderr = xtask(root, arguments.chain(sets)).refused();
        assert!(stderr.contains("error: training has diverged at epoch "), "{stderr}");
        let what = format!("a feature that the monitor `{name}` measures is not finite");
        assert!(stderr.contains(&what), "{stderr}");
        check_last_good(root, &stderr);
    }
    let monitor = r#"("feature-collapse", (every: 1))"#;
    let mut sets = diverging_features(monitor);
    sets.extend(["--set".into(), "stability=(on_nonfinite: RollBack)".into()]);
    let arguments = ["run", &small, "--out", "back"].map(str::to_owned).into_iter();
    let stderr = xtask(root, arguments.chain(sets)).refused();
    assert!(stderr.contains("with a different random seed"), "{stderr}");
    check_last_good(root, &stderr);
    assert!(stderr.contains("from which this run went on as often as it may"), "{stderr}");
    assert!(!stderr.contains("stability:"), "{stderr}");

    let arguments =
        ["sweep", &small, "--out", "sweep", "--vary", "learning_rate.base=0.03,1e6"].map(str::to_owned);
    let sets = diverging_features(monitor);
    let outcome = xtask(root, arguments.into_iter().chain(sets.into_iter().skip(2)));
    assert!(outcome.stdout.contains("diverged"), "{outcome}");
}

#[test]
fn a_step_with_clipped_gradients_is_as_long_as_the_norm_and_the_rate_allow() {
    let root = tempdir().unwrap();
    let small = here("small.ron");
    let sets = [
        "data.source.train=16",
        "epochs=1",
        r#"optimizer=("sgd", (momentum: 0.0, weight_decay: 0.0))"#,
        "learning_rate.base=0.5",
        r#"schedule=("constant", ())"#,
        "stability=(clip_norm: 0.01)",
        "checkpoint=(best: None)",
    ];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    xtask(root.path(), ["run", &small, "--out", "run"].into_iter().chain(sets)).done();
    let [before, after] = [0, 1].map(|step| {
        run_store::checkpoint::read(&crate::support::checkpoint(&root.path().join("run"), step))
            .unwrap()
            .tensors
    });
    let mut squares = 0.0;
    for (name, value) in &before {
        let is_statistic = name.contains("running_") || name.contains("contrast");
        let (Stored::F32 { values: before, .. }, Stored::F32 { values: after, .. }) = (value, &after[name])
        else {
            continue;
        };
        if name.starts_with("query.") && !is_statistic {
            squares += before.iter().zip(after).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        }
    }
    assert!((squares.sqrt() / (0.5 * 0.01) - 1.0).abs() < 1e-3, "{}", squares.sqrt());
}
