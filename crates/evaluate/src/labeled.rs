//! Shared code of monitors that need labels.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plugin_api::{
    ConfigError, DatasetConfig, DatasetContext, Embed, Embedding, FeatureExtractor, Level, MonitorContext,
    MonitorError, OwnDataset, Split,
};

/// The least time between two questions whether a measurement is still wanted.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(500);

/// Features of both splits.
pub(crate) struct Labeled {
    pub(crate) train: Arc<Embedding>,
    pub(crate) test: Arc<Embedding>,
}

/// Features of `level` with `view`, or why there is nothing to measure.
///
/// # Errors
/// If the encoder or the images fail.
pub(crate) fn labeled(
    features: &mut dyn FeatureExtractor,
    view: &str,
    level: Level,
) -> Result<Result<Labeled, &'static str>, MonitorError> {
    // The small split first: if it is missing, the other one need not be computed.
    let Some(test) = features.embed(Embed { split: Split::Test, view, level })? else {
        return Ok(Err(
            "there is no test split: add one to the dataset, measure on another one with `source`, or use the monitor \
             `feature-collapse`, which needs none",
        ));
    };
    if test.labels.is_none() {
        return Ok(Err(
            "the images have no labels: use `class-folders` or a `list-file` with labels, as the run's dataset or as the `source` \
             of this monitor, or use the monitor `feature-collapse`, which needs none",
        ));
    }
    match features.embed(Embed { split: Split::Train, view, level })? {
        Some(train) if is_of_one_class(&train) && is_of_one_class(&test) => Ok(Err(
            "the images are all of one class, so that any encoder is right about all: measure on another dataset with `source`, \
             or use the monitor `feature-collapse`, which needs no labels",
        )),
        Some(train) => Ok(Ok(Labeled { train, test })),
        None => Ok(Err("there are no features of the training images to compare with")),
    }
}

/// Asks now and then whether a measurement is still wanted: features that are there already are asked for once more, and a run
/// that was asked to stop refuses them.
pub(crate) struct Wanted<'a> {
    features: &'a mut dyn FeatureExtractor,
    view: &'a str,
    level: Level,
    asked: Instant,
    outcome: Result<(), MonitorError>,
}

impl<'a> Wanted<'a> {
    /// For a measurement of features of `level` with `view`.
    pub(crate) fn new(features: &'a mut dyn FeatureExtractor, view: &'a str, level: Level) -> Self {
        Self { features, view, level, asked: Instant::now(), outcome: Ok(()) }
    }

    /// Whether it is, as far as is known.
    pub(crate) fn still(&mut self) -> ControlFlow<()> {
        if self.asked.elapsed() >= BETWEEN_QUESTIONS {
            let (view, level) = (self.view, self.level);
            self.outcome = self.features.embed(Embed { split: Split::Test, view, level }).map(drop);
            self.asked = Instant::now();
        }
        if self.outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// What the measurement has come to, `None` if it was stopped.
    ///
    /// # Errors
    /// Why it was.
    pub(crate) fn end<T>(self, outcome: Option<T>) -> Result<T, MonitorError> {
        self.outcome?;
        Ok(outcome.expect("what stops a measurement is an error"))
    }
}

/// Whether there is nothing to tell apart.
fn is_of_one_class(embedding: &Embedding) -> bool {
    embedding.labels.as_ref().is_some_and(|labels| labels.iter().all(|label| *label == labels[0]))
}

/// Every so many epochs, and always before the first and after the last.
pub(crate) fn is_due(every: usize, epochs_done: usize, epochs: usize) -> bool {
    epochs_done.is_multiple_of(every) || epochs_done == epochs
}

pub(crate) fn check_every(every: usize) -> Result<(), ConfigError> {
    if every == 0 { Err(ConfigError::field("every", every, "it must be at least 1")) } else { Ok(()) }
}

/// The dataset that the field `source` of a monitor names.
pub(crate) fn own_dataset(
    source: Option<&DatasetConfig>,
    context: &MonitorContext,
) -> Result<Option<OwnDataset>, ConfigError> {
    let context = DatasetContext { seed: context.seed };
    source.map(|source| source.clone().build_for("source", &context)).transpose()
}

pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Backbone => "backbone features",
        Level::Head => "head features",
    }
}
