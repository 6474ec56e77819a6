//! Which runs a sweep has: a new one's, each combination checked, or those of one that goes on.

use std::num::NonZeroUsize;
use std::path::Path;

use tensor_ops::Device;
use train_core::loader::LoaderError;

use super::Arguments;
use super::axes::{Axis, Combination, grid, overrides};
use super::folder::{Run, State, Sweep, SweepFolder, folder_name};
use crate::failure::{self, Failure};
use crate::pipeline_file;

/// The sweep that the arguments ask for, and the text of its pipeline. Every combination has passed its check.
pub(super) fn planned(arguments: &Arguments, device: &Device) -> anyhow::Result<(Sweep, String)> {
    let file = arguments.file.as_deref().unwrap_or(Path::new(""));
    let n_seeds = arguments.seeds.map_or(1, NonZeroUsize::get);
    let axes = arguments.vary.iter().map(|argument| Axis::parse(argument)).collect::<Result<Vec<_>, _>>()?;
    let grid = grid(&axes, n_seeds)?;
    pipeline_file::check_file(file)?;
    let checks = check_all(file, &arguments.set, &axes, &grid, device)?;
    let first = checks.first().expect("a grid has at least one combination");
    let (name, seed, best) = (first.name.clone(), first.seed, first.best.clone());
    let mut runs = Vec::new();
    for seed in (0..n_seeds as u64).map(|i| seed.wrapping_add(i)) {
        for (combination, check) in grid.iter().zip(&checks) {
            runs.push(Run {
                folder: folder_name(runs.len() + 1, &axes, combination, seed),
                combination: combination.clone(),
                seed,
                n_images: check.n_trained,
                state: State::Waiting,
                seconds: 0.0,
            });
        }
    }
    let pipeline = std::fs::read_to_string(file)
        .map_err(|error| Failure::plain(format!("`{}` cannot be read: {error}", file.display())))?;
    Ok((Sweep { name, set: arguments.set.clone(), axes, n_seeds, best, metrics: Vec::new(), runs }, pipeline))
}

/// Checks every combination.
///
/// # Errors
/// If one cannot be trained: its fault has then been told, and the error names it.
fn check_all(
    file: &Path,
    set: &[String],
    axes: &[Axis],
    grid: &[Combination],
    device: &Device,
) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    // Listing a large dataset takes its time, and most sweeps have but one.
    let varies_data = axes.iter().any(|axis| axis.path == "data" || axis.path.starts_with("data.source"));
    let mut n_images = None;
    for combination in grid {
        let changes = overrides(axes, combination);
        let known = n_images.filter(|_| !varies_data);
        let check = check(file, &[set, &changes].concat(), known, device);
        let check = check.map_err(|error| {
            if changes.is_empty() {
                return error;
            }
            failure::report(&error);
            Failure::new(
                format!("the combination {} cannot be trained", changes.join(", ")),
                "no run was started; leave out this value, or change the pipeline with `--set`",
            )
            .into()
        })?;
        n_images = Some(check.n_images);
        checks.push(check);
    }
    Ok(checks)
}

/// What is to be known of one combination.
struct Check {
    name: String,
    seed: u64,
    best: Option<String>,
    /// In the training part of the dataset.
    n_images: usize,
    /// Over all epochs.
    n_trained: usize,
}

/// Checks as much as can be checked without training.
fn check(file: &Path, changes: &[String], n_images: Option<usize>, device: &Device) -> anyhow::Result<Check> {
    let pipeline = pipeline_file::read(file, changes, device)?;
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

/// A sweep that goes on.
pub(super) fn resumed(
    arguments: &Arguments,
    of: Option<&Path>,
    device: &Device,
) -> anyhow::Result<(SweepFolder, Sweep)> {
    let wanted = arguments.file.as_ref().map(|_| planned(arguments, device)).transpose()?;
    let folder = match of {
        Some(path) => SweepFolder::open(path)?,
        None => SweepFolder::newest(wanted.as_ref().map(|(sweep, _)| &sweep.name[..]))?,
    };
    let sweep = folder.load()?;
    if let Some((wanted, pipeline)) = wanted
        && !(wanted.is_as(&sweep) && pipeline == folder.pipeline()?)
    {
        return Err(Failure::new(
            format!("`{}` was started with another pipeline or with other arguments", folder.path().display()),
            format!(
                "go on with it as it was started: `moco sweep --resume {}`; or leave out `--resume` to start anew",
                folder.path().display()
            ),
        )
        .into());
    }
    Ok((folder, sweep))
}
