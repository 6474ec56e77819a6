//! A few steps of a pipeline, to know what a run of it takes on this machine.
//!
//! What is trained is thrown away, and nothing is written.

mod measuring;
mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pipeline::Pipeline;
use plugin_api::Entry;
use processes::Alone;
use tensor_ops::{Counted, Device, OpError, ParameterId, count_products};

use super::course::Course;
use super::data::Data;
use super::feed::{Fed, Feed};
use super::fit::{made_up, of_one_class};
use super::own_data::OwnData;
use super::position::Position;
use super::{Measure, TrainError};
use crate::engine::{Engine, EngineError, Images};
use loader::{LoaderError, keep_small};

pub use self::measuring::MeasuringCost;

/// How a trial is made.
#[derive(Clone, Copy, Debug)]
pub struct TrialOptions {
    /// Data loader workers.
    pub n_workers: usize,
    /// Where images are from.
    pub images: TrialImages,
    /// About the longest that it may take; two steps are always made.
    pub limit: Duration,
}

/// Where the images of a trial are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialImages {
    /// From the dataset of the pipeline, loaded and augmented as in a run.
    OfTheDataset,
    /// They are made up, of the right shape, and take no time.
    MadeUp,
}

/// What a few steps took.
pub struct Trial {
    /// Steps that were timed, after some that were not.
    pub n_steps: usize,
    /// The mean time of a step, with its wait for images.
    pub step: Duration,
    /// The part of it that was a wait.
    pub waited: Duration,
    /// What measurements take.
    pub measuring: MeasuringCost,
    /// The most memory that this process has had while it trained and measured, in bytes, or the GPU that computes; `None` if the
    /// system does not say.
    pub peak_memory: Option<u64>,
    /// Training and test images, if the dataset was opened.
    pub n_images: Option<(usize, usize)>,
    /// What one step multiplied, in order.
    pub counted: Vec<Counted>,
    /// The name of each trained parameter: its module in the pipeline, and its own name in that.
    pub names: BTreeMap<ParameterId, (String, String)>,
}

/// Steps before the clock counts: memory is taken, and batches that were loaded ahead are used up.
const MOST_WARM_UP: usize = 5;
const FEWEST_TIMED: usize = 3;
const MOST_TIMED: usize = 40;

/// Makes a few steps of `pipeline`.
///
/// # Errors
/// If the dataset cannot be opened or is too small, or a step fails.
pub fn try_steps(pipeline: Pipeline, device: &Device, options: &TrialOptions) -> Result<Trial, TrainError> {
    let began = Instant::now();
    let splits = match options.images {
        TrialImages::OfTheDataset => Some(keep_small(pipeline.dataset.open()?)),
        TrialImages::MadeUp => None,
    };
    let n_images =
        splits.as_ref().map(|splits| (splits.train.len(), splits.test.as_ref().map_or(0, |test| test.len())));
    if let Some((n_images, _)) = n_images
        && n_images < pipeline.batch
    {
        return Err(LoaderError::TooFewImages { n_images, batch: pipeline.batch }.into());
    }
    let names = names(&pipeline);
    let monitors = pipeline.monitors;
    let own = if splits.is_some() { OwnData::open(&monitors)? } else { OwnData::default() };
    let mut engine = Engine::new(pipeline.network, pipeline.seed, device.clone(), Arc::new(Alone))?;
    let course = Course {
        seed: pipeline.seed,
        batch: pipeline.batch,
        // A few images may be through in less time than a trial takes.
        epochs: u32::MAX as usize,
        steps_per_epoch: n_images.map_or(1, |(n, _)| n / pipeline.batch),
        momentum: pipeline.momentum,
        learning_rate: pipeline.learning_rate,
        schedule: pipeline.schedule,
    };
    let shapes: Vec<[usize; 3]> = engine
        .graph()
        .views
        .iter()
        .filter_map(|name| pipeline.views.iter().find(|view| view.name == *name))
        .map(|view| [view.size.0, view.size.1, view.channels])
        .collect();
    let (views, trained_size) = (pipeline.views, pipeline.trained_size);
    let data = splits.map(|splits| {
        Data::new((splits, own), (views, trained_size), options.n_workers, pipeline.max_unreadable)
    });
    let mut feed = match &data {
        Some(data) => {
            let (graph, parts) = (engine.graph(), engine.parts());
            Some(Feed::new(data.loader(graph, parts, engine.own_parts(), &course, &Position::default())?))
        }
        None => None,
    };
    let memory = memory::Peak::start();
    let mut step = |engine: &mut Engine| one_step(engine, &mut feed, &course, &shapes, device);
    let (first, counted) = count_products(|| step(&mut engine));
    first?;
    let fraction = |share: f64| options.limit.mul_f64(share);
    for _ in 1..MOST_WARM_UP {
        if began.elapsed() > fraction(0.3) {
            break;
        }
        step(&mut engine)?;
    }
    let (start, mut waited, mut n_steps) = (Instant::now(), Duration::ZERO, 0);
    loop {
        waited += step(&mut engine)?;
        n_steps += 1;
        let is_enough = n_steps >= FEWEST_TIMED && start.elapsed() > fraction(0.4);
        if n_steps == MOST_TIMED || is_enough || began.elapsed() > fraction(0.8) {
            break;
        }
    }
    let elapsed = start.elapsed();
    drop(feed);
    let measuring = match &data {
        Some(data) => {
            let measure = Measure {
                splits: &data.splits,
                views: &data.views,
                trained_size: data.trained_size,
                seed: course.seed,
                batch: course.batch,
                n_workers: options.n_workers,
                unreadable: &data.unreadable,
            };
            measuring::cost(monitors, &mut engine, &measure, &data.own, fraction(0.2))?
        }
        None => MeasuringCost::default(),
    };
    let peak_memory = memory.bytes();
    Ok(Trial {
        n_steps,
        step: elapsed / n_steps as u32,
        waited: waited / n_steps as u32,
        measuring,
        peak_memory,
        n_images,
        counted,
        names,
    })
}

/// A step as the trainer makes it, but with a learning rate of 0; gives how long it waited for images.
fn one_step(
    engine: &mut Engine,
    feed: &mut Option<Feed>,
    course: &Course,
    shapes: &[[usize; 3]],
    device: &Device,
) -> Result<Duration, TrainError> {
    let parts = engine.parts().clone();
    let mut waited = Duration::ZERO;
    let mut n_given = 0;
    let mut next = || -> Result<Images, TrainError> {
        if let Some(feed) = feed {
            let Fed { views, images, waited: here } = feed.next(device)?;
            waited += here;
            return Ok(of_one_class(images.len(), views));
        }
        let pass = &parts.passes[n_given / parts.n_parts];
        n_given += 1;
        let n = course.batch / parts.n_parts;
        let views = pass.views.iter().map(|&view| made_up(device, n, shapes[view]));
        Ok(of_one_class(n, views.collect::<Result<_, OpError>>().map_err(EngineError::from)?))
    };
    let momentum = course.momentum.map_or(0.0, |momentum| momentum.start);
    let mut computed = engine.compute(course.batch, momentum as f32, &mut next)?;
    // Whether they are finite does not matter here.
    let _ = engine.gradient_norms(&mut computed.gradients)?;
    engine.enqueue(&computed.keys)?;
    engine.update(&mut computed.gradients, 0.0)?;
    tensor_ops::synchronize().map_err(EngineError::from)?;
    Ok(waited)
}

fn names(pipeline: &Pipeline) -> BTreeMap<ParameterId, (String, String)> {
    let mut names = BTreeMap::new();
    for (module, entries) in pipeline.network.modules.named() {
        entries.visit(&mut |name, entry| {
            if let Entry::Parameter(parameter) = entry {
                names.insert(parameter.id(), (module.to_owned(), name.to_owned()));
            }
        });
    }
    names
}
