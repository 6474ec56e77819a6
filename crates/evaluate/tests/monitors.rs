//! The monitors as a training run sees them: built from RON text by name, with an encoder that gives made-up features.

use std::sync::Arc;

use evaluate as _;
use plugin_api::{
    Config, ConfigError, Embed, EmbedViews, Embedding, FeatureExtractor, KeysAnew, Level, Metric, Monitor,
    MonitorContext, MonitorError, Outcome, Plugin, Split, build,
};

/// Gives what it is told to, and writes down what it was asked for.
struct MadeUp {
    train: Option<Arc<Embedding>>,
    test: Option<Arc<Embedding>>,
    asked: Vec<(Split, String, Level)>,
    /// By steps ago.
    keys: Vec<KeysAnew>,
}

impl MadeUp {
    fn new(train: Option<Embedding>, test: Option<Embedding>) -> Self {
        Self { train: train.map(Arc::new), test: test.map(Arc::new), asked: Vec::new(), keys: Vec::new() }
    }
}

impl FeatureExtractor for MadeUp {
    fn embed(&mut self, request: Embed<'_>) -> Result<Option<Arc<Embedding>>, MonitorError> {
        self.asked.push((request.split, request.view.into(), request.level));
        Ok(match request.split {
            Split::Train => self.train.clone(),
            Split::Test => self.test.clone(),
        })
    }

    /// Views that differ from the features by a little along the second axis, in turn.
    fn embed_views(&mut self, request: EmbedViews<'_>) -> Result<Option<Vec<Arc<Embedding>>>, MonitorError> {
        let Some(embedding) = self.embed(request.of)? else { return Ok(None) };
        let n = request.n_images.min(embedding.n);
        let view = |draw: usize| {
            let mut rows = embedding.rows[..n * embedding.d].to_vec();
            rows.iter_mut().skip(1).step_by(embedding.d).for_each(|value| *value += 0.1 * draw as f32);
            Arc::new(Embedding { n, rows, labels: None, n_classes: 0, ..Embedding::clone(&embedding) })
        };
        Ok(Some((0..request.n_views).map(view).collect()))
    }

    fn kept_steps(&mut self) -> Result<usize, String> {
        if self.keys.is_empty() { Err("there is no queue".into()) } else { Ok(self.keys.len()) }
    }

    fn keys_anew(&mut self, steps_ago: usize) -> Result<KeysAnew, MonitorError> {
        self.keys.get(steps_ago).cloned().ok_or(MonitorError::NoKeys)
    }
}

/// `n` rows, each along the axis of its class, of 4.
fn separable(n: usize) -> Embedding {
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 4).collect();
    let rows =
        labels.iter().flat_map(|&label| (0..4).map(move |i| f32::from(u8::from(i == label)))).collect();
    Embedding { n, d: 4, rows, labels: Some(labels), n_classes: 4 }
}

fn unlabeled(n: usize) -> Embedding {
    Embedding { labels: None, n_classes: 0, ..separable(n) }
}

fn monitor(name: &str, config: &str) -> Result<Box<dyn Monitor>, ConfigError> {
    build::<dyn Monitor>(name, Config::new(config), &MonitorContext::default())
}

fn measured(outcome: Outcome) -> Vec<Metric> {
    match outcome {
        Outcome::Measured(metrics) => metrics,
        Outcome::Off { reason } => panic!("off: {reason}"),
    }
}

fn off(outcome: Outcome) -> String {
    match outcome {
        Outcome::Measured(_) => panic!("something was measured"),
        Outcome::Off { reason } => reason,
    }
}

#[test]
fn every_example_builds_and_every_field_is_explained() {
    let mut names = Vec::new();
    for plugin in plugin_api::inventory::iter::<Plugin<dyn Monitor>> {
        let built = (plugin.build)(Config::new(plugin.example), &MonitorContext::default());
        assert!(built.is_ok(), "{}: {}", plugin.name, built.err().unwrap());
        let schema = (plugin.schema)();
        for (field, property) in schema.as_value()["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}: {field}", plugin.name);
        }
        names.push(plugin.name);
    }
    names.sort_unstable();
    assert_eq!(
        names,
        ["alignment-uniformity", "feature-collapse", "key-drift", "knn", "lidar", "linear-probe"]
    );
}

#[test]
fn the_untrained_encoder_and_the_last_epoch_are_measured_in_any_case() {
    for name in ["knn", "linear-probe", "feature-collapse"] {
        let monitor = monitor(name, "(every: 3)").unwrap();
        let due: Vec<usize> = (0..=8).filter(|&epoch| monitor.is_due(epoch, 8)).collect();
        assert_eq!(due, [0, 3, 6, 8], "{name}");
    }
}

#[test]
fn what_is_measured_has_the_names_that_are_announced() {
    for name in ["knn", "linear-probe", "feature-collapse"] {
        let mut monitor = monitor(name, "()").unwrap();
        let metrics =
            measured(monitor.measure(&mut MadeUp::new(Some(separable(40)), Some(separable(8)))).unwrap());
        let names: Vec<&str> = metrics.iter().map(|measurement| measurement.name.as_str()).collect();
        assert_eq!(names, monitor.metrics());
    }
}

#[test]
fn knn_states_its_protocol() {
    let mut monitor = monitor("knn", "(k: 5, view: \"plain\", level: Head)").unwrap();
    assert_eq!(monitor.views(), ["plain"]);
    let mut encoder = MadeUp::new(Some(separable(40)), Some(separable(8)));
    let metrics = measured(monitor.measure(&mut encoder).unwrap());
    let [metric] = &metrics[..] else { panic!("{metrics:?}") };
    assert_eq!((metric.name.as_str(), metric.value, metric.is_share), ("knn_top1", 1.0, true));
    assert_eq!(
        metric.protocol,
        "head features, k 5, T 0.1, 8 test images against 40 train images, view `plain`"
    );
    assert_eq!(encoder.asked[0], (Split::Test, "plain".into(), Level::Head));
}

#[test]
fn the_linear_probe_states_its_protocol_and_finds_classes_that_lie_apart() {
    let mut monitor = monitor("linear-probe", "(epochs: 30, learning_rates: [3, 0.01])").unwrap();
    let mut encoder = MadeUp::new(Some(separable(400)), Some(separable(80)));
    let metrics = measured(monitor.measure(&mut encoder).unwrap());
    let [metric] = &metrics[..] else { panic!("{metrics:?}") };
    assert_eq!((metric.name.as_str(), metric.value, metric.is_share), ("probe_top1", 1.0, true));
    assert_eq!(
        metric.protocol,
        "backbone features, linear classifier, cached features without augmentation, 30 epochs, batch 256, learning rate \
         chosen of 2 on 40 held-out train images, 80 test images against 360 train images, view `eval`"
    );
    let again = measured(monitor.measure(&mut encoder).unwrap());
    assert_eq!(again[0].value.to_bits(), metric.value.to_bits());
}

#[test]
fn the_linear_probe_is_off_without_labels_or_a_test_split() {
    let mut monitor = monitor("linear-probe", "()").unwrap();
    let reason = off(monitor.measure(&mut MadeUp::new(Some(separable(40)), None)).unwrap());
    assert!(reason.starts_with("there is no test split: "), "{reason}");
    let reason = off(monitor.measure(&mut MadeUp::new(Some(unlabeled(40)), Some(unlabeled(8)))).unwrap());
    assert!(reason.starts_with("the images have no labels: "), "{reason}");
    let error = monitor_error("linear-probe", "(learning_rates: [])");
    assert!(error.starts_with("`learning_rates` is []"), "{error}");
}

fn monitor_error(name: &str, config: &str) -> String {
    monitor(name, config).err().unwrap().to_string()
}

#[test]
fn more_neighbors_than_images_are_all_images() {
    let mut monitor = monitor("knn", "()").unwrap();
    let metrics =
        measured(monitor.measure(&mut MadeUp::new(Some(separable(40)), Some(separable(8)))).unwrap());
    assert!(metrics[0].protocol.starts_with("backbone features, k 40, "), "{}", metrics[0].protocol);
}

#[test]
fn knn_is_off_without_labels_or_a_test_split_and_says_what_would_help() {
    let mut monitor = monitor("knn", "()").unwrap();
    let mut encoder = MadeUp::new(Some(separable(40)), None);
    let reason = off(monitor.measure(&mut encoder).unwrap());
    assert!(
        reason.starts_with("there is no test split: ") && reason.contains("`feature-collapse`"),
        "{reason}"
    );
    assert_eq!(encoder.asked.len(), 1, "the training images are not embedded in vain");
    let reason = off(monitor.measure(&mut MadeUp::new(Some(unlabeled(40)), Some(unlabeled(8)))).unwrap());
    assert!(
        reason.starts_with("the images have no labels: ") && reason.contains("`class-folders`"),
        "{reason}"
    );
}

#[test]
fn images_of_one_class_say_nothing_about_features_with_labels() {
    let one_class = |n| Embedding { labels: Some(vec![0; n]), n_classes: 1, ..separable(n) };
    for name in ["knn", "linear-probe"] {
        let mut monitor = monitor(name, "()").unwrap();
        let mut measure = |train, test| monitor.measure(&mut MadeUp::new(Some(train), Some(test))).unwrap();
        let reason = off(measure(one_class(40), one_class(8)));
        assert!(reason.starts_with("the images are all of one class, "), "{name}: {reason}");
        // Test images of one class among training images of several can be taken for others.
        measured(measure(separable(40), Embedding { n_classes: 4, ..one_class(8) }));
    }
}

#[test]
fn collapse_is_measured_without_labels_and_on_training_images_if_need_be() {
    let mut monitor = monitor("feature-collapse", "(images: 16)").unwrap();
    let metrics = measured(monitor.measure(&mut MadeUp::new(Some(unlabeled(100)), None)).unwrap());
    let rank = &metrics[1];
    assert!((rank.value - 4.0).abs() < 1e-6, "{}", rank.value);
    let protocol = "backbone features, 16 train images, view `eval`; 1 is collapsed, 4 is the most";
    assert_eq!(rank.protocol, protocol);
    assert!(!rank.is_share && rank.more_is_better);
}

#[test]
fn alignment_uniformity_and_lidar_are_measured_without_labels_and_state_their_protocol() {
    let mut encoder = MadeUp::new(Some(unlabeled(100)), None);
    let mut monitor = monitor("alignment-uniformity", "(view: \"query\", images: 16)").unwrap();
    assert_eq!(monitor.views(), ["query"]);
    let metrics = measured(monitor.measure(&mut encoder).unwrap());
    assert_eq!(encoder.asked[1], (Split::Train, "query".into(), Level::Head));
    let protocol =
        "head features, 16 train images, two draws of view `query`; α 2, 0 is the same, 2 at right angles";
    assert_eq!(metrics[0].protocol, protocol);
    // A quarter of the rows keep their direction, the others turn by atan 0.1: 2 - 2 cos.
    let turned = 2.0 - 2.0 / 1.01_f64.sqrt();
    assert!((metrics[0].value - 0.75 * turned).abs() < 1e-6, "{}", metrics[0].value);
    assert!(metrics.iter().all(|metric| !metric.is_share && !metric.more_is_better));

    let mut monitor = crate::monitor("lidar", "(view: \"query\", images: 16, views: 3)").unwrap();
    let metrics = measured(monitor.measure(&mut encoder).unwrap());
    let [lidar] = &metrics[..] else { panic!("{metrics:?}") };
    // Four classes in three directions, of which the views blur one.
    assert!(lidar.value > 1.9 && lidar.value < 3.0 && lidar.more_is_better, "{lidar}");
    let protocol = "backbone features, 16 train images, 3 draws of view `query`; 1 is the least, 4 the most";
    assert_eq!(lidar.protocol, protocol);
}

#[test]
fn views_of_a_single_image_tell_nothing() {
    for name in ["alignment-uniformity", "lidar"] {
        let mut monitor = monitor(name, "(view: \"query\")").unwrap();
        let reason = off(monitor.measure(&mut MadeUp::new(Some(unlabeled(1)), None)).unwrap());
        assert_eq!(reason, "there are fewer than two images to measure on", "{name}");
    }
}

/// Keys along one axis that were made `degrees` away from where they are made now.
fn turned(degrees: f32) -> KeysAnew {
    let (sin, cos) = degrees.to_radians().sin_cos();
    KeysAnew { d: 2, kept: [cos, sin].repeat(4), anew: [3.0, 0.0].repeat(4) }
}

#[test]
fn keys_drift_with_their_age_and_tell_it() {
    let mut monitor = monitor("key-drift", "(every: 3)").unwrap();
    assert_eq!((0..=8).filter(|&epoch| monitor.is_due(epoch, 8)).collect::<Vec<_>>(), [3, 6, 8]);
    let mut encoder = MadeUp::new(None, None);
    encoder.keys = (0..9).map(|age| turned(10.0 * age as f32)).collect();
    let metrics = measured(monitor.measure(&mut encoder).unwrap());
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, monitor.metrics());
    let of = |degrees: f64| 1.0 - degrees.to_radians().cos();
    for (metric, expected) in metrics.iter().zip([of(0.0), of(20.0), of(40.0), of(60.0), of(80.0), of(80.0)])
    {
        assert!((metric.value - expected).abs() < 1e-6 && !metric.more_is_better, "{metric}");
    }
    assert_eq!(metrics[0].protocol, "4 keys of the last step, 1 - cosine; 0 is none");
    assert_eq!(metrics[4].protocol, "4 keys of 8 steps before the last, 1 - cosine; 0 is none");
    assert_eq!(
        metrics[5].protocol,
        "mean cosine among the 4 newest keys, less that with the 4 of 8 steps before the last; over the temperature, nats by \
         which old negatives are too easy"
    );
}

#[test]
fn key_drift_is_off_without_a_queue_or_with_one_that_holds_a_single_step() {
    let mut monitor = monitor("key-drift", "()").unwrap();
    let mut encoder = MadeUp::new(None, None);
    assert_eq!(off(monitor.measure(&mut encoder).unwrap()), "there is no queue");
    encoder.keys = vec![turned(0.0)];
    assert!(
        off(monitor.measure(&mut encoder).unwrap()).starts_with("the queue holds the keys of a single step")
    );
    encoder.keys = vec![turned(0.0), turned(60.0)];
    assert_eq!(measured(monitor.measure(&mut encoder).unwrap()).len(), 6);
}

#[test]
fn features_that_are_not_numbers_are_an_error() {
    for name in ["knn", "linear-probe", "feature-collapse"] {
        let mut broken = separable(40);
        broken.rows[17] = f32::NAN;
        let mut monitor = monitor(name, "()").unwrap();
        let error = monitor.measure(&mut MadeUp::new(Some(broken.clone()), Some(broken))).unwrap_err();
        assert_eq!(error.to_string(), "a feature is infinite or not a number", "{name}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for (name, config, field) in [
        ("knn", "(every: 0)", "every"),
        ("knn", "(k: 0)", "k"),
        ("knn", "(temperature: 0)", "temperature"),
        ("linear-probe", "(every: 0)", "every"),
        ("linear-probe", "(epochs: 0)", "epochs"),
        ("linear-probe", "(batch: 0)", "batch"),
        ("feature-collapse", "(every: 0)", "every"),
        ("key-drift", "(every: 0)", "every"),
        ("alignment-uniformity", "(view: \"x\", every: 0)", "every"),
        ("alignment-uniformity", "(view: \"x\", images: 1)", "images"),
        ("lidar", "(view: \"x\", every: 0)", "every"),
        ("lidar", "(view: \"x\", views: 0)", "views"),
        ("feature-collapse", "(images: 1)", "images"),
    ] {
        let error = monitor(name, config).err().unwrap_or_else(|| panic!("{config} builds")).to_string();
        assert!(
            error.starts_with(&format!("`{field}` is 0")) || error.starts_with("`images` is 1"),
            "{error}"
        );
    }
}
