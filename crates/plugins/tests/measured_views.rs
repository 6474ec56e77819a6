//! Monitors that look at several views of an image.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use pipeline::Pipeline;
use plugin_api::{
    ConfigError, Embed, EmbedViews, Embedding, FeatureExtractor, Level, Monitor, MonitorError, Outcome, Split,
};
use plugins as _;
use run_store::RunFolder;
use run_store::metrics::MetricsLog;
use tensor_ops::Device;
use train_core::trainer::{self, Silent, TrainOptions};

plugin_api::register! {
    dyn Monitor {
        name: "beholder",
        summary: "keeps what it sees, for this test",
        source: "",
        example: "()",
        build: |_config: BeholderConfig, _context| Ok::<_, ConfigError>(Beholder),
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct BeholderConfig {}

struct Beholder;

/// What a [`Beholder`] has seen at each measurement.
static SEEN: Mutex<Vec<Vec<Arc<Embedding>>>> = Mutex::new(Vec::new());

impl Monitor for Beholder {
    fn views(&self) -> Vec<&str> {
        vec!["query"]
    }

    fn metrics(&self) -> &[&'static str] {
        &[]
    }

    fn is_due(&self, _: usize, _: usize) -> bool {
        true
    }

    fn measure(&mut self, encoder: &mut dyn FeatureExtractor) -> Result<Outcome, MonitorError> {
        let of = Embed { split: Split::Test, view: "query", level: Level::Head };
        let views = encoder.embed_views(EmbedViews { of, n_images: 10, n_views: 3 })?.unwrap();
        SEEN.lock().unwrap().push(views);
        Ok(Outcome::Measured(Vec::new()))
    }
}

/// An encoder without running statistics that does not move.
const TEXT: &str = r#"Pipeline(
    name: "views",
    data: (source: ("shapes", (train: 32, test: 25)), batch: 16),
    views: {
        "query": [("random-resized-crop", (size: 16, scale: (0.2, 1.0))), ("normalize", (statistics: Cifar10))],
    },
    modules: {
        "backbone": ("vit", (patch: 4, dim: 24, depth: 1, heads: 3)),
        "head": ("linear", (out: 8)),
        "contrast": ("queue", (len: 64, temperature: 0.2)),
    },
    graph: [
        (id: "q", run: ["backbone", "head"], on: ["query"]),
        (id: "k", run: ["backbone", "head"], on: ["query"], weights: Momentum),
        (id: "loss", run: ["contrast"], on: ["q", "k"]),
    ],
    momentum: (start: 0.9),
    optimizer: ("sgd", ()),
    learning_rate: (base: 1e-30, scale: Absolute),
    schedule: ("constant", ()),
    epochs: 1,
    monitor: [
        ("beholder", ()),
        ("alignment-uniformity", (view: "query", images: 16)),
        ("lidar", (view: "query", images: 16, views: 4)),
    ],
    checkpoint: (best: None),
)"#;

#[test]
fn views_to_measure_are_drawn_apart_and_alike_at_each_measurement() {
    let root = tempfile::tempdir().unwrap();
    let device = Device::default();
    let pipeline = Pipeline::parse("views.ron", TEXT, &[], &device).unwrap_or_else(|fault| panic!("{fault}"));
    let run = RunFolder::create(root.path(), "views", None).unwrap();
    let options =
        TrainOptions { n_workers: 2, processes: Arc::new(processes::Alone), accept_changed_images: false };
    trainer::train(pipeline, &device, &run, None, &options, &mut Silent, &AtomicBool::new(false)).unwrap();
    let seen = SEEN.lock().unwrap();
    let [before, after] = &seen[..] else { panic!("measured {} times", seen.len()) };
    let rows = |view: &Embedding| {
        assert_eq!((view.n, view.d), (10, 8));
        view.rows.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
    };
    for (before, after) in before.iter().zip(after) {
        assert!(rows(before) == rows(after), "the same draws");
    }
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        let pairs = before[i].rows.chunks(8).zip(before[j].rows.chunks(8));
        assert!(pairs.into_iter().all(|(a, b)| a != b), "views {i} and {j} of each image differ");
    }
    let lines = MetricsLog::read(&run.metrics()).unwrap();
    for line in &lines {
        let number = |name: &str| line[name].as_f64().unwrap();
        assert!(number("alignment") > 0.0 && number("uniformity") < 0.0 && number("lidar") > 1.0, "{line:?}");
        assert_eq!(number("lidar"), lines[0]["lidar"].as_f64().unwrap());
    }
}
