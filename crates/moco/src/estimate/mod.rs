//! What a pipeline takes on this machine: layers, products, memory, time.
//!
//! [`estimate`] makes a few steps of the pipeline, throws away what they trained, and says what a whole run will take.
//! Nothing is written.

mod layers;
mod least;
mod plan;

use std::num::NonZeroUsize;
use std::time::Duration;

use pipeline::Pipeline;
use train_core::trainer::{MeasuringCost, TrialImages, TrialOptions, try_steps};

use crate::{Error, device};

pub use self::layers::{LayerCost, ModuleCost};
pub use self::least::{LeastMemory, MemoryShort, check_memory};
pub use self::plan::Plan;

/// How an estimate is made.
#[derive(Clone, Copy, Debug)]
pub struct EstimateOptions {
    /// Data loader workers; one per core if not given.
    pub workers: Option<NonZeroUsize>,
    /// About the longest that it may take; some steps are always made.
    pub limit: Duration,
}

impl Default for EstimateOptions {
    /// Ten seconds.
    fn default() -> Self {
        Self { workers: None, limit: Duration::from_secs(10) }
    }
}

/// What a pipeline takes.
pub struct Estimate {
    /// The modules, in the order in which they are visited, with their layers.
    pub modules: Vec<ModuleCost>,
    /// Multiplications, each with an addition, of one image on its way through the query encoder, its heads and the losses once:
    /// a forward pass.
    pub products_per_image: u64,
    /// Those of a whole training step, with keys and the backward pass.
    pub products_per_step: u64,
    /// Images in a step.
    pub batch: usize,
    /// Passes over the images.
    pub epochs: usize,
    /// Training and test images; `None` if the dataset cannot be opened here. Steps then got made-up images.
    pub n_images: Option<(usize, usize)>,
    /// Steps that were timed.
    pub n_timed: usize,
    /// The time of a step, with its wait for images.
    pub step: Duration,
    /// The part of it that is a wait for images.
    pub waited: Duration,
    /// The most memory while training and measuring, in bytes: of this process, or of the GPU that computes. `None` if the system does not say.
    pub peak_memory: Option<u64>,
    /// Bytes of a checkpoint, about.
    pub checkpoint_bytes: u64,
    /// Epochs between checkpoints.
    save_every: usize,
    measuring: MeasuringCost,
    /// Epochs between measurements, if the run is another than the one that was tried.
    measure_every: Option<usize>,
}

/// A disk writes at least so many bytes in a second.
const DISK_BYTES_PER_S: f64 = 3e8;

impl Estimate {
    /// Steps of an epoch; `None` if the dataset cannot be opened here.
    pub fn steps_per_epoch(&self) -> Option<usize> {
        self.n_images.map(|(n_train, _)| n_train / self.batch)
    }

    /// The estimate for another length of the same run, measured every `measure_every` epochs and saved every `save_every`.
    pub fn of_epochs(self, epochs: usize, measure_every: usize, save_every: usize) -> Self {
        Self { epochs, measure_every: Some(measure_every), save_every, ..self }
    }

    /// The time of an epoch without measurements; `None` if the dataset cannot be opened here.
    pub fn epoch(&self) -> Option<Duration> {
        self.steps_per_epoch().map(|n_steps| times(self.step, n_steps as f64))
    }

    /// The time of all measurements of a run.
    pub fn measuring(&self) -> Duration {
        self.measuring.of_run(self.epochs, self.measure_every)
    }

    /// The time of writing all checkpoints of a run, about.
    pub fn saving(&self) -> Duration {
        self.saving_of(self.epochs, self.save_every)
    }

    fn saving_of(&self, epochs: usize, every: usize) -> Duration {
        // One at the start.
        let n_saved = 1 + epochs.div_ceil(every.max(1));
        times(Duration::from_secs(1), n_saved as f64 * self.checkpoint_bytes as f64 / DISK_BYTES_PER_S)
    }

    /// The time of a whole run; `None` if the dataset cannot be opened here.
    pub fn total(&self) -> Option<Duration> {
        let epoch = self.epoch()?;
        Some(times(epoch, self.epochs as f64).saturating_add(self.measuring()).saturating_add(self.saving()))
    }
}

/// `time`, `n` times; the longest time there is, if it is longer.
fn times(time: Duration, n: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * n).unwrap_or(Duration::MAX)
}

/// Makes a few steps of `pipeline`, with the images of its dataset or, if that is not there, with made-up ones.
///
/// # Errors
/// If the dataset is too small for a batch, this machine has no memory for a step, or a step fails.
pub fn estimate(pipeline: Pipeline, options: &EstimateOptions) -> Result<Estimate, Error> {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let images = match pipeline.dataset.open() {
        Ok(splits) => {
            check_memory(&pipeline, splits.train.len())?;
            TrialImages::OfTheDataset
        }
        Err(_) => TrialImages::MadeUp,
    };
    let (batch, epochs, save_every) = (pipeline.batch, pipeline.epochs, pipeline.checkpoint.every_epochs);
    let mut modules = layers::modules_of(&pipeline);
    let n_parameters: usize = modules.iter().map(|module| module.n_trained + module.n_frozen).sum();
    let options =
        TrialOptions { n_workers: options.workers.unwrap_or_else(cores).get(), images, limit: options.limit };
    let losses = layers::losses_of(&pipeline);
    let trial = try_steps(pipeline, &device()?, &options)?;
    let products_per_image = layers::fill(&mut modules, &losses, &trial.counted, &trial.names);
    Ok(Estimate {
        modules,
        products_per_image,
        products_per_step: trial
            .counted
            .iter()
            .map(|counted| counted.products + counted.backward_products)
            .sum(),
        batch,
        epochs,
        n_images: trial.n_images,
        n_timed: trial.n_steps,
        step: trial.step,
        waited: trial.waited,
        peak_memory: trial.peak_memory,
        // Weights, their momentum copies, and what an optimizer keeps.
        checkpoint_bytes: 3 * 4 * n_parameters as u64,
        save_every,
        measuring: trial.measuring,
        measure_every: None,
    })
}
