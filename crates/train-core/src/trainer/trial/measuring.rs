//! What measurements of a run take, from a part of one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loader::{EvalLoader, EvalPlan};
use plugin_api::{
    Embed, Embedding, FeatureExtractor, Images, Level, Monitor, MonitorError, Rng, Split, Splits,
};

use super::super::own_data::OwnData;
use super::super::{Measure, TrainError};
use crate::engine::Engine;
use crate::features::{BatchEncoder as _, EncoderInTraining};

/// Rows of made-up features that a monitor gets, at most.
const MOST_ROWS: usize = 2048;

/// What measurements take.
#[derive(Default)]
pub struct MeasuringCost {
    /// To compute the features of one image.
    image: Duration,
    monitors: Vec<OfMonitor>,
}

/// Features that are computed once for all monitors of an epoch: of which dataset, what of it.
type Features = (Option<usize>, Split, String, Level);

struct OfMonitor {
    monitor: Box<dyn Monitor>,
    /// Images that each of its requests is for.
    requests: BTreeMap<Features, usize>,
    /// What it does with the features.
    compute: Duration,
}

impl MeasuringCost {
    /// The time of all measurements of a run of `epochs`: of the untrained encoder, in between, and at the end. `every` is the
    /// number of epochs between two of them, in place of what the monitors of the trial say.
    pub fn of_run(&self, epochs: usize, every: Option<usize>) -> Duration {
        match every {
            Some(every) => {
                // At 0, at each multiple, and at the end.
                let n = 1 + epochs.div_ceil(every.max(1)) as u32;
                self.of(self.monitors.iter()) * n
            }
            None => (0..=epochs)
                .map(|done| self.of(self.monitors.iter().filter(|of| of.monitor.is_due(done, epochs))))
                .sum(),
        }
    }

    /// The time of measuring once with some monitors.
    fn of<'a>(&self, monitors: impl Iterator<Item = &'a OfMonitor>) -> Duration {
        let mut images: BTreeMap<&Features, usize> = BTreeMap::new();
        let mut total = Duration::ZERO;
        for OfMonitor { requests, compute, .. } in monitors {
            total += *compute;
            images.extend(requests.iter().map(|(features, n)| (features, *n)));
        }
        let n_images: usize = images.values().sum();
        total + self.image.mul_f64(n_images as f64)
    }
}

/// Finds out what the measurements of `monitors` take, in about `limit`.
pub(super) fn cost(
    monitors: Vec<(String, Box<dyn Monitor>)>,
    engine: &mut Engine,
    measure: &Measure<'_>,
    own: &OwnData,
    limit: Duration,
) -> Result<MeasuringCost, TrainError> {
    let Some(view) =
        monitors.iter().find_map(|(_, monitor)| monitor.views().first().map(ToString::to_string))
    else {
        return Ok(MeasuringCost::default());
    };
    let (image, d) = of_an_image(engine, measure, &view, limit)?;
    let of_monitor = |(_, mut monitor): (String, Box<dyn Monitor>)| {
        let place = own.place_of(&*monitor);
        let splits = place.and_then(|place| own.all().get(place)).map_or(measure.splits, |own| &own.splits);
        let mut made_up = MadeUp { splits, place, d, requests: BTreeMap::new(), spent: Duration::ZERO };
        let start = Instant::now();
        // One that cannot measure these features takes no time in a run either.
        let is_measured = monitor.measure(&mut made_up).is_ok();
        let own_time = start.elapsed().saturating_sub(made_up.spent);
        let compute = if is_measured { own_time.mul_f64(made_up.growth()) } else { Duration::ZERO };
        OfMonitor { monitor, requests: made_up.requests, compute }
    };
    Ok(MeasuringCost { image, monitors: monitors.into_iter().map(of_monitor).collect() })
}

/// The time for the features of one image, loaded and computed, and how many features that are.
fn of_an_image(
    engine: &mut Engine,
    measure: &Measure<'_>,
    view: &str,
    limit: Duration,
) -> Result<(Duration, usize), TrainError> {
    let images = measure.splits.test.as_ref().unwrap_or(&measure.splits.train);
    let Some(view) = measure.views.iter().find(|known| known.name == view) else {
        return Ok((Duration::ZERO, 1));
    };
    let plan = EvalPlan {
        images: Arc::clone(images),
        range: 0..images.len().min(4 * measure.batch),
        view: (view.name.clone(), Arc::clone(&view.transform)),
        seed: measure.seed,
        batch: measure.batch,
        n_workers: measure.n_workers,
        prefetch_batches: 2,
        unreadable: Arc::clone(measure.unreadable),
    };
    let mut encoder = EncoderInTraining { engine, level: Level::Backbone };
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| TrainError::Monitor {
        monitor: "features".into(),
        source: MonitorError::Features(error),
    };
    let mut loader = EvalLoader::start(plan).map_err(|error| failed(error.into()))?;
    let (start, mut first, mut n, mut d) = (Instant::now(), None, 0, 1);
    while let Some(batch) = loader.next().map_err(|error| failed(error.into()))? {
        let shape = [batch.size.0, batch.size.1, batch.channels];
        (_, d) = encoder.features(shape, &batch.values)?;
        n += batch.images.len();
        first.get_or_insert((start.elapsed(), n));
        if start.elapsed() > limit {
            break;
        }
    }
    let elapsed = start.elapsed();
    // The first batch is waited for as a whole; where there are more, they tell better.
    let (time, n) = match first {
        Some((before, n_before)) if n > n_before => (elapsed - before, n - n_before),
        _ => (elapsed, n),
    };
    Ok((time.checked_div(n as u32).unwrap_or_default(), d))
}

/// Features that are made up, and what was asked for.
struct MadeUp<'a> {
    splits: &'a Splits,
    place: Option<usize>,
    d: usize,
    requests: BTreeMap<Features, usize>,
    /// Time for making them up.
    spent: Duration,
}

impl MadeUp<'_> {
    /// By how much more there is to compute with all images than with those that were made up: each test image is compared with
    /// each training image.
    fn growth(&self) -> f64 {
        let of = |split| {
            let n = self.requests.iter().filter(|((_, of, ..), _)| *of == split).map(|(_, n)| *n).max();
            (n.unwrap_or(1) as f64 / MOST_ROWS as f64).max(1.0)
        };
        of(Split::Train) * of(Split::Test)
    }
}

impl FeatureExtractor for MadeUp<'_> {
    fn embed(&mut self, request: Embed<'_>) -> Result<Option<Arc<Embedding>>, MonitorError> {
        let images: &dyn Images = match (request.split, &self.splits.test) {
            (Split::Train, _) => &*self.splits.train,
            (Split::Test, Some(test)) => &**test,
            (Split::Test, None) => return Ok(None),
        };
        let start = Instant::now();
        self.requests
            .insert((self.place, request.split, request.view.to_owned(), request.level), images.len());
        let n = images.len().min(MOST_ROWS);
        let mut rng = Rng::new(request.split as u64, "made-up features", &[]);
        let rows = (0..n * self.d).map(|_| rng.unit() as f32 - 0.5).collect();
        // As many of each class as there are, and none left out.
        let labels: Option<Vec<u32>> = (0..n).map(|row| images.label(row * images.len() / n)).collect();
        let n_classes = images.class_names().len();
        let labels = labels.filter(|_| n_classes > 0);
        self.spent += start.elapsed();
        Ok(Some(Arc::new(Embedding { n, d: self.d, rows, labels, n_classes })))
    }
}
