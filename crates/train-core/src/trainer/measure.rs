//! Runs the monitors, with features of the dataset that are computed once for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::TrainError;
use super::observer::Measuring;
use super::own_data::{OwnData, OwnImages};
use super::past::PastBatches;
use super::spread::spread;
use super::together::tell_unreadable;
use crate::engine::{Engine, EngineError, KeptKeys};
use crate::features::{self, EncoderInTraining, FeaturesError};
use loader::{EvalPlan, LoaderError, UnreadableLog};
use pipeline::View;
use plugin_api::{
    Embed, EmbedViews, Embedding, Embeddings, FeatureExtractor, KeysAnew, Level, Metric, Monitor,
    MonitorError, Outcome, Rng, Split, Splits,
};
use processes::{ProcessesError, share};
use run_store::metrics::is_of_training;

/// What measuring needs besides the engine.
pub struct Measure<'a> {
    /// The dataset.
    pub splits: &'a Splits,
    /// The pipeline's views.
    pub views: &'a [View],
    /// `(H, W)` of the images that the encoder is trained on, in pixels.
    pub trained_size: (usize, usize),
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
    /// Takes the measurements of every monitor that `is_due`, each on its own dataset where it has one. After each batch of
    /// images, `watch` says whether to go on; if not, the error is [`FeaturesError::Stopped`].
    pub(super) fn metrics(
        &self,
        engine: &mut Engine,
        monitors: &mut [(String, Box<dyn Monitor>)],
        (own, past): (&OwnData, &PastBatches<'_>),
        is_due: impl Fn(&dyn Monitor) -> bool,
        watch: &mut Watch<'_>,
    ) -> Result<MonitorOutcomes, TrainError> {
        let mut outcomes = MonitorOutcomes::default();
        let mut features = CachingEncoder {
            measure: self,
            engine,
            own,
            past,
            place: None,
            cache: BTreeMap::new(),
            kept: None,
            monitor: String::new(),
            watch,
        };
        for (name, monitor) in monitors.iter_mut().filter(|(_, monitor)| is_due(monitor.as_ref())) {
            features.place = own.place_of(monitor.as_ref());
            features.monitor.clone_from(name);
            let failed = |source| TrainError::Monitor { monitor: name.clone(), source };
            match monitor.measure(&mut features).map_err(failed)? {
                Outcome::Measured(mut list) => {
                    check_metrics(&list, monitor.metrics()).map_err(failed)?;
                    self.note_sizes(monitor.as_ref(), &mut list);
                    features.note_images(&mut list);
                    outcomes.metrics.extend(list);
                }
                Outcome::Off { reason } => outcomes.off.push((name.clone(), reason)),
            }
        }
        Ok(outcomes)
    }

    /// Tells in the protocol if `monitor` saw images of another size than the encoder is trained on.
    fn note_sizes(&self, monitor: &dyn Monitor, metrics: &mut [Metric]) {
        let seen = |name| self.views.iter().find(|view| view.name == name);
        for note in monitor.views().into_iter().filter_map(|name| seen(name)?.size_note(self.trained_size)) {
            for metric in &mut *metrics {
                metric.protocol = format!("{}; {note}", metric.protocol);
            }
        }
    }

    /// Features of a split of the dataset; `None` if the dataset has no such split. Each of several processes computes those
    /// of its share of the images, and has all in the end.
    ///
    /// # Errors
    /// If images cannot be loaded, or the encoder rejects them.
    pub fn embed(&self, engine: &mut Engine, request: Embed<'_>) -> Result<Option<Embedding>, MonitorError> {
        self.embed_of(engine, self.splits, request, None, &mut |_, _| ControlFlow::Continue(()))
    }

    /// [`embed`](Self::embed) for a split of `splits`, or for a draw of a part of it.
    fn embed_of(
        &self,
        engine: &mut Engine,
        splits: &Splits,
        request: Embed<'_>,
        drawn: Option<Drawn>,
        watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Option<Embedding>, MonitorError> {
        let whole = match request.split {
            Split::Train => &splits.train,
            Split::Test => match &splits.test {
                Some(images) => images,
                None => return Ok(None),
            },
        };
        let (images, seed) = match drawn {
            None => (Arc::clone(whole), self.seed),
            Some(Drawn { n_images, draw }) => {
                (spread(whole, n_images), Rng::new(self.seed, "views to measure", &[draw]).bits())
            }
        };
        let view = self
            .views
            .iter()
            .find(|view| view.name == request.view)
            .ok_or_else(|| MonitorError::NoView { view: request.view.into() })?;
        // Whole batches, so that an image is in the same one for any number of processes.
        let batches =
            share(images.len().div_ceil(self.batch), engine.processes().rank(), engine.processes().n());
        let first = batches.start * self.batch;
        let plan = EvalPlan {
            images: Arc::clone(&images),
            range: first..(batches.end * self.batch).clamp(first, images.len().max(first)),
            view: (view.name.clone(), Arc::clone(&view.transform)),
            seed,
            batch: self.batch,
            n_workers: self.n_workers,
            prefetch_batches: 2,
            unreadable: Arc::clone(self.unreadable),
        };
        let mut encoder = EncoderInTraining { engine, level: request.level };
        let n_own = plan.range.len();
        let own = features::embed(&mut encoder, plan, &mut |end| watch(end - first, n_own));
        let embeddings = self.of_all(engine, own).map_err(|error| MonitorError::Features(error.into()))?;
        if !embeddings.values().iter().all(|value| value.is_finite()) {
            return Err(MonitorError::NotFinite);
        }
        Ok(Some(embeddings.with_labels(images.as_ref())))
    }

    /// The features of all processes, from those of this one.
    fn of_all(
        &self,
        engine: &Engine,
        own: Result<Embeddings, FeaturesError>,
    ) -> Result<Embeddings, FeaturesError> {
        let has_failed = !matches!(
            own,
            Ok(_)
                | Err(FeaturesError::Stopped { .. })
                | Err(FeaturesError::Loader(LoaderError::TooManyUnreadable { .. }))
        );
        // One that has failed ends all; those that wait for it here are told.
        if !has_failed && engine.processes().n() > 1 {
            let is_stopped = matches!(own, Err(FeaturesError::Stopped { .. }));
            let all = engine.processes().gather_bytes(&[u8::from(is_stopped)]).map_err(EngineError::from)?;
            if all.concat().contains(&1) {
                return Err(FeaturesError::Stopped { n_images: own.map_or(0, |own| own.n()) });
            }
        }
        if let Ok(_) | Err(FeaturesError::Loader(LoaderError::TooManyUnreadable { .. })) = own {
            // One process may have met too many by itself. All end then, and know of all.
            tell_unreadable(engine.processes(), self.unreadable, &mut BTreeSet::new())
                .map_err(EngineError::from)?;
            self.unreadable.check()?;
        }
        Ok(gathered(engine, own?).map_err(EngineError::from)?)
    }
}

/// Refuses monitors whose metrics could not be told from what a line of `metrics.jsonl` has anyway.
pub(super) fn check_declared(monitors: &[(String, Box<dyn Monitor>)]) -> Result<(), TrainError> {
    for (monitor, plugin) in monitors {
        if let Some(name) = plugin.metrics().iter().find(|name| is_of_training(name)) {
            let problem = match name.contains('.') {
                true => "has a dot, by which the values of single losses are told",
                false => "is called like a field of every line of `metrics.jsonl`",
            };
            let problem = problem.into();
            let source = MonitorError::Metric { name: (*name).to_owned(), problem };
            return Err(TrainError::Monitor { monitor: monitor.clone(), source });
        }
    }
    Ok(())
}

/// Whether `measured` are some of the metrics that were `declared`.
fn check_metrics(measured: &[Metric], declared: &[&str]) -> Result<(), MonitorError> {
    for (place, Metric { name, value, .. }) in measured.iter().enumerate() {
        let problem = if !declared.contains(&name.as_str()) {
            format!("is none of those that it declares: {}", declared.join(", "))
        } else if measured[..place].iter().any(|other| other.name == *name) {
            "is there twice".into()
        } else if !value.is_finite() {
            format!("is {value}")
        } else {
            continue;
        };
        return Err(MonitorError::Metric { name: name.clone(), problem });
    }
    Ok(())
}

/// The rows of all processes, in order.
fn gathered(engine: &Engine, own: Embeddings) -> Result<Embeddings, ProcessesError> {
    let processes = engine.processes();
    if processes.n() == 1 {
        return Ok(own);
    }
    let places: Vec<u8> = own.images().iter().flat_map(|place| (*place as u64).to_le_bytes()).collect();
    let places = processes.gather_bytes(&places)?.concat();
    let places: Vec<usize> =
        places.as_chunks().0.iter().map(|place| u64::from_le_bytes(*place) as usize).collect();
    let values = processes.gather(own.values())?;
    let mut all = Embeddings::new(values.len() / places.len().max(1));
    all.append(&places, &values);
    Ok(all)
}

/// Gets how far a measurement has come, and returns whether to go on.
pub(super) type Watch<'a> = dyn FnMut(&Measuring<'_>) -> ControlFlow<()> + 'a;

/// One of several views of a part of the images.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Drawn {
    n_images: usize,
    /// Which of the views.
    draw: u64,
}

/// Which features: of which dataset, and of what of it.
type Key = (Option<usize>, Split, String, Level, Option<Drawn>);

struct CachingEncoder<'a> {
    measure: &'a Measure<'a>,
    engine: &'a mut Engine,
    own: &'a OwnData,
    past: &'a PastBatches<'a>,
    /// The dataset of the monitor that measures; `None` for the run's.
    place: Option<usize>,
    cache: BTreeMap<Key, Option<Arc<Embedding>>>,
    /// The keys of a queue, once they are asked for.
    kept: Option<KeptKeys>,
    /// The one that measures.
    monitor: String,
    watch: &'a mut Watch<'a>,
}

impl CachingEncoder<'_> {
    fn cached(
        &mut self,
        request: Embed<'_>,
        drawn: Option<Drawn>,
    ) -> Result<Option<Arc<Embedding>>, MonitorError> {
        let key = (self.place, request.split, request.view.to_owned(), request.level, drawn);
        if let Some(known) = self.cache.get(&key).cloned() {
            // A monitor asks again for what it has when it wants to know whether to go on.
            let n_images = known.as_ref().map_or(0, |known| known.n);
            self.go_on(n_images, n_images)?;
            return Ok(known);
        }
        let splits = own_images(self.own, self.place).map_or(self.measure.splits, |own| &own.splits);
        let (monitor, watch) = (&self.monitor, &mut *self.watch);
        let mut watch = |n_done, n_images| watch(&Measuring { monitor, n_done, n_images });
        let embedding = self.measure.embed_of(self.engine, splits, request, drawn, &mut watch)?.map(Arc::new);
        self.cache.insert(key, embedding.clone());
        Ok(embedding)
    }

    /// # Errors
    /// If the run was asked to stop. Several processes stop together, where they exchange features.
    fn go_on(&mut self, n_done: usize, n_images: usize) -> Result<(), MonitorError> {
        let is_over = (self.watch)(&Measuring { monitor: &self.monitor, n_done, n_images }).is_break();
        match is_over && self.engine.processes().n() == 1 {
            true => Err(MonitorError::Features(FeaturesError::Stopped { n_images: n_done }.into())),
            false => Ok(()),
        }
    }

    /// Names the images in the protocol, if they are not the run's.
    fn note_images(&self, metrics: &mut [Metric]) {
        let Some(own) = own_images(self.own, self.place) else { return };
        for metric in metrics {
            metric.protocol = format!("{}; {}", metric.protocol, own.description);
        }
    }
}

/// The images of a monitor, if they are not the run's.
fn own_images(own: &OwnData, place: Option<usize>) -> Option<&OwnImages> {
    own.all().get(place?)
}

impl FeatureExtractor for CachingEncoder<'_> {
    fn embed(&mut self, request: Embed<'_>) -> Result<Option<Arc<Embedding>>, MonitorError> {
        self.cached(request, None)
    }

    fn embed_views(&mut self, request: EmbedViews<'_>) -> Result<Option<Vec<Arc<Embedding>>>, MonitorError> {
        let EmbedViews { of, n_images, n_views } = request;
        let draws = 0..n_views as u64;
        draws.map(|draw| self.cached(of, Some(Drawn { n_images, draw }))).collect()
    }

    fn kept_steps(&mut self) -> Result<usize, String> {
        if self.kept.is_none() {
            self.kept = self.engine.kept_keys(self.measure.batch);
        }
        let Some(kept) = &self.kept else {
            return Err("no loss of the graph keeps keys of earlier steps, as `queue` does".into());
        };
        match kept.n_steps().min(self.past.n_steps()) {
            0 => Err("the batches whose keys are kept can no longer be made again: they were drawn before a rollback, from other \
                      images or by another run"
                .into()),
            n_steps => Ok(n_steps),
        }
    }

    fn keys_anew(&mut self, steps_ago: usize) -> Result<KeysAnew, MonitorError> {
        if self.kept_steps().is_ok_and(|n_steps| steps_ago >= n_steps) {
            return Err(MonitorError::NoKeys);
        }
        self.go_on(0, 0)?;
        let kept = self.kept.as_ref().ok_or(MonitorError::NoKeys)?;
        let rows = kept.of_step(steps_ago).ok_or(MonitorError::NoKeys)?.to_vec();
        let anew = self.past.keys_anew(self.engine, kept, steps_ago);
        let anew = anew.map_err(|error| MonitorError::Features(Box::new(error)))?;
        if !anew.iter().all(|value| value.is_finite()) {
            return Err(MonitorError::NotFinite);
        }
        Ok(KeysAnew { d: kept.width(), kept: rows, anew })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_is_undeclared_or_twice_there_or_no_number_is_an_error() {
        let metric = |name: &str, value| Metric {
            name: name.into(),
            value,
            is_share: false,
            more_is_better: true,
            protocol: "a test".into(),
        };
        let told =
            |metrics: &[Metric]| check_metrics(metrics, &["a", "b"]).err().map(|error| error.to_string());
        assert_eq!(told(&[metric("b", 1.0), metric("a", 0.0)]), None);
        let cases = [
            (vec![metric("c", 1.0)], "its metric `c` is none of those that it declares: a, b"),
            (vec![metric("a", 1.0), metric("a", 1.0)], "its metric `a` is there twice"),
            (vec![metric("a", f64::NAN)], "its metric `a` is NaN"),
        ];
        for (metrics, expected) in cases {
            assert_eq!(told(&metrics).as_deref(), Some(expected));
        }
    }
}
