//! The runs of a sweep, with each combination checked.

use std::path::{Path, PathBuf};

use loader::LoaderError;
use pipeline::{Pipeline, PipelineError};
use tensor_ops::Device;

use crate::SweepError;
use crate::axes::{Axis, Combination, grid, overrides};
use crate::state::{Run, RunState, SweepState, folder_name};

/// What to vary in a pipeline.
#[derive(Clone, Debug)]
pub struct Variations {
    /// The pipeline file.
    pub file: PathBuf,
    /// Overrides for every run, as `path=value`.
    pub set: Vec<String>,
    /// Every combination of their values is tried.
    pub axes: Vec<Axis>,
    /// Runs per combination: with the pipeline's seed, the next one, and so on. At least 1.
    pub n_seeds: usize,
}

/// A checked sweep that has no folder yet.
pub(crate) struct Plan {
    pub(crate) state: SweepState,
    /// The text of the pipeline.
    pub(crate) pipeline: String,
}

impl Variations {
    /// Variations of the pipeline in `file`, at first with nothing varied and one seed.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), set: Vec::new(), axes: Vec::new(), n_seeds: 1 }
    }

    /// The sweep of these variations. Every combination has been checked.
    pub(crate) fn plan(&self, device: &Device) -> Result<Plan, SweepError> {
        let n_seeds = self.n_seeds.max(1);
        let grid = grid(&self.axes, n_seeds)?;
        let checks = self.check_all(&grid, device)?;
        let Some(first) = checks.first() else { unreachable!("a grid has at least one combination") };
        let (name, seed, best) = (first.name.clone(), first.seed, first.best.clone());
        let mut runs = Vec::new();
        for seed in (0..n_seeds as u64).map(|i| seed.wrapping_add(i)) {
            for (combination, check) in grid.iter().zip(&checks) {
                runs.push(Run {
                    folder: folder_name(runs.len() + 1, &self.axes, combination, seed),
                    combination: combination.clone(),
                    seed,
                    n_images: check.n_trained,
                    state: RunState::Waiting,
                    seconds: 0.0,
                });
            }
        }
        // Kept with the sweep, far from what it may start from.
        let pipeline = pipeline::standalone_text(&self.file)?;
        let (set, axes) = (self.set.clone(), self.axes.clone());
        let state = SweepState { name, set, axes, n_seeds, best, metrics: Vec::new(), runs };
        Ok(Plan { state, pipeline })
    }

    fn check_all(&self, grid: &[Combination], device: &Device) -> Result<Vec<Check>, SweepError> {
        let mut checks = Vec::new();
        // Listing a large dataset takes time, and most sweeps have only one.
        let varies_data =
            self.axes.iter().any(|axis| axis.path == "data" || axis.path.starts_with("data.source"));
        let mut n_images = None;
        for combination in grid {
            let changes = overrides(&self.axes, combination);
            let known = n_images.filter(|_| !varies_data);
            let all = [&self.set[..], &changes].concat();
            let check = check(&self.file, &all, known, device).map_err(|error| {
                if changes.is_empty() {
                    return error;
                }
                SweepError::Combination { combination: changes.join(", "), source: Box::new(error) }
            })?;
            n_images = Some(check.n_images);
            checks.push(check);
        }
        Ok(checks)
    }
}

/// Facts about one combination.
struct Check {
    name: String,
    seed: u64,
    best: Option<String>,
    /// The number of training images.
    n_images: usize,
    /// Over all epochs.
    n_trained: usize,
}

/// Checks as much as possible without training.
fn check(
    file: &Path,
    changes: &[String],
    n_images: Option<usize>,
    device: &Device,
) -> Result<Check, SweepError> {
    let pipeline = Pipeline::read(file, changes, device).map_err(|error| match error {
        PipelineError::Unreadable { reason, .. } => {
            SweepError::Io { action: "read", path: file.into(), source: reason }
        }
        error => error.into(),
    })?;
    let batch = pipeline.batch;
    let n_images = match n_images {
        Some(n_images) => n_images,
        None => pipeline.dataset.open()?.train.len(),
    };
    if n_images < batch {
        return Err(LoaderError::TooFewImages { n_images, batch }.into());
    }
    let n_trained = pipeline.epochs.saturating_mul(n_images / batch * batch);
    Ok(Check {
        name: pipeline.name,
        seed: pipeline.seed,
        best: pipeline.checkpoint.best,
        n_images,
        n_trained,
    })
}
