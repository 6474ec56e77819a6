//! Runs the monitors, with features of the dataset that are computed once for all of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::TrainError;
use crate::engine::Engine;
use crate::features::{self, EncoderInTraining};
use loader::{EvalPlan, UnreadableLog};
use pipeline::View;
use plugin_api::{
    Embed, Embedding, FeatureExtractor, Level, Metric, Monitor, MonitorError, Outcome, Split, Splits,
};

/// What measuring needs besides the engine.
pub struct Measure<'a> {
    /// The dataset.
    pub splits: &'a Splits,
    /// The pipeline's views.
    pub views: &'a [View],
    /// The pipeline's seed, for random views.
    pub seed: u64,
    /// Images per forward pass.
    pub batch: usize,
    /// Data loader workers.
    pub n_workers: usize,
    /// Where unreadable images are counted.
    pub unreadable: &'a Arc<UnreadableLog>,
}

/// The metrics of the monitors that are due, and the monitors that are off.
#[derive(Debug, Default)]
pub(super) struct MonitorOutcomes {
    pub(super) metrics: Vec<Metric>,
    /// Monitors that cannot measure anything, with the reason.
    pub(super) off: Vec<(String, String)>,
}

impl Measure<'_> {
    /// Takes the measurements of every monitor that `is_due`.
    pub(super) fn metrics(
        &self,
        engine: &mut Engine,
        monitors: &mut [(String, Box<dyn Monitor>)],
        is_due: impl Fn(&dyn Monitor) -> bool,
    ) -> Result<MonitorOutcomes, TrainError> {
        let mut outcomes = MonitorOutcomes::default();
        let mut features = CachingEncoder { measure: self, engine, cache: BTreeMap::new() };
        for (name, monitor) in monitors.iter_mut().filter(|(_, monitor)| is_due(monitor.as_ref())) {
            let failed = |source| TrainError::Monitor { monitor: name.clone(), source };
            match monitor.measure(&mut features).map_err(failed)? {
                Outcome::Measured(list) => outcomes.metrics.extend(list),
                Outcome::Off { reason } => outcomes.off.push((name.clone(), reason)),
            }
        }
        Ok(outcomes)
    }

    /// Features of a split of the dataset; `None` if the dataset has no such split.
    ///
    /// # Errors
    /// If images cannot be loaded, or the encoder rejects them.
    pub fn embed(&self, engine: &mut Engine, request: Embed<'_>) -> Result<Option<Embedding>, MonitorError> {
        let images = match request.split {
            Split::Train => &self.splits.train,
            Split::Test => match &self.splits.test {
                Some(images) => images,
                None => return Ok(None),
            },
        };
        let view = self
            .views
            .iter()
            .find(|view| view.name == request.view)
            .ok_or_else(|| MonitorError::NoView { view: request.view.into() })?;
        let plan = EvalPlan {
            images: Arc::clone(images),
            view: (view.name.clone(), Arc::clone(&view.transform)),
            seed: self.seed,
            batch: self.batch,
            n_workers: self.n_workers,
            prefetch_batches: 2,
            unreadable: Arc::clone(self.unreadable),
        };
        let mut encoder = EncoderInTraining { engine, level: request.level };
        let embeddings = features::embed(&mut encoder, plan, &mut |_| ControlFlow::Continue(()));
        let embeddings = embeddings.map_err(|error| MonitorError::Features(error.into()))?;
        Ok(Some(embeddings.with_labels(images.as_ref())))
    }
}

struct CachingEncoder<'a> {
    measure: &'a Measure<'a>,
    engine: &'a mut Engine,
    cache: BTreeMap<(Split, String, Level), Option<Arc<Embedding>>>,
}

impl FeatureExtractor for CachingEncoder<'_> {
    fn embed(&mut self, request: Embed<'_>) -> Result<Option<Arc<Embedding>>, MonitorError> {
        let key = (request.split, request.view.to_owned(), request.level);
        if let Some(known) = self.cache.get(&key) {
            return Ok(known.clone());
        }
        let embedding = self.measure.embed(self.engine, request)?.map(Arc::new);
        self.cache.insert(key, embedding.clone());
        Ok(embedding)
    }
}
