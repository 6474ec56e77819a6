/// Writes a run under `root` whose encoder was not trained, in no time, and gives its folder.
///
/// The momentum encoder's backbone has other values than the trained one, and so has the best checkpoint.
pub(crate) fn write(root: &std::path::Path) -> std::path::PathBuf {
    write_with(root, r#"("shapes", (train: 32, test: 16))"#)
}

/// [`write`] with a dataset.
pub(crate) fn write_with(root: &std::path::Path, source: &str) -> std::path::PathBuf {
    use run_store::checkpoint::{CheckpointFolder, Score, Snapshot, Stored};

    let text = format!(
        r#"Pipeline(
    name: "tiny",
    seed: 0,
    data: (source: {source}, batch: 16),
    views: {{
        "query": [("random-resized-crop", (size: 32, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
        "key": [("random-resized-crop", (size: 32, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
        "eval": [("resize", (shorter: 32)), ("center-crop", (size: 32)), ("normalize", (statistics: Cifar10))],
    }},
    modules: {{
        "backbone": ("resnet", (depth: 18, width: 4, stem: Cifar)),
        "projector": ("mlp", (out: 16)),
        "predictor": ("mlp", (out: 16)),
        "contrast": ("queue", (len: 64, temperature: 0.2)),
    }},
    graph: [
        (id: "q", run: ["backbone", "projector", "predictor"], on: ["query"]),
        (id: "k", run: ["backbone", "projector"], on: ["key"], weights: Momentum),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    momentum: (start: 0.99),
    optimizer: ("sgd", (momentum: 0.9, weight_decay: 1e-4)),
    learning_rate: (base: 0.06, scale: Absolute),
    schedule: ("cosine", (per: Step)),
    epochs: 1,
    monitor: [("knn", (every: 1, k: 5))],
)
"#
    );
    let device = moco::device().unwrap();
    let pipeline = pipeline::Pipeline::parse("tiny", &text, &[], &device).unwrap();
    let run = run_store::RunFolder::create(root, &pipeline.name, None).unwrap();
    run.write_pipeline(&text).unwrap();
    let engine =
        train_core::engine::Engine::new(pipeline.network, 0, device, std::sync::Arc::new(processes::Alone))
            .unwrap();
    let mut snapshot = Snapshot::default();
    engine.save(&mut snapshot).unwrap();
    let mut scale = |prefix: &str, factor: f32| {
        for (name, stored) in &mut snapshot.tensors {
            if let Stored::F32 { values, .. } = stored
                && name.starts_with(prefix)
            {
                values.iter_mut().for_each(|value| *value *= factor);
            }
        }
        snapshot.clone()
    };
    let mut checkpoints = CheckpointFolder::new(run.checkpoints(), 2);
    checkpoints.save(1, &scale("momentum.backbone.", 1.25)).unwrap();
    let score = Score { metric: "knn_top1".into(), value: 0.5, stands_in: 0 };
    checkpoints.save_best(score, &scale("query.backbone.", 0.75)).unwrap();
    run.path().to_owned()
}
