//! What can be said of a run without building it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use pipeline::PipelineConfig;
use run_store::checkpoint::{self, CheckpointFile, CheckpointKind};
use run_store::metrics::MetricsLog;
use run_store::{Holder, RunFolder};
use train_core::trainer::Reached;

use super::course::{MetricCourse, courses};
use super::state::RunState;

/// What can be said of a run without building it. It may be training at the same time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunReport {
    /// Its folder.
    pub folder: RunFolder,
    /// How it stands.
    pub state: RunState,
    /// The pipeline that it has kept, if that can be read.
    pub config: Option<PipelineConfig>,
    /// Whole epochs done.
    pub epochs_done: usize,
    /// Epochs in all, if the pipeline can be read.
    pub epochs: Option<usize>,
    /// Steps done up to its newest checkpoint.
    pub steps_done: u64,
    /// The mean loss of the last epoch.
    pub loss: Option<f64>,
    /// What monitors have measured, the metric that decides which checkpoint is best first.
    pub metrics: Vec<MetricCourse>,
    /// The time that its epochs took, without measuring.
    pub took: Duration,
    /// The bytes of all of its files.
    pub n_bytes: u64,
    /// When it was started.
    pub started: Option<SystemTime>,
    /// What it started from, in words.
    pub origin: Option<String>,
    /// Its checkpoints.
    pub checkpoints: Vec<CheckpointFile>,
    /// Images that could not be read.
    pub n_unreadable: usize,
    /// What could not be read of it.
    pub problems: Vec<String>,
}

impl RunReport {
    /// What can be said of the run in `folder`. What cannot be read is left out, and told in [`problems`](Self::problems).
    pub fn of(folder: RunFolder) -> Self {
        let mut problems = Vec::new();
        let config = read_config(&folder, &mut problems);
        let checkpoints =
            kept(checkpoint::files_in(&folder.checkpoints()), &mut problems).unwrap_or_default();
        let newest = checkpoints.iter().rev().find(|file| matches!(file.kind, CheckpointKind::Step(_)));
        let newest = newest.and_then(|file| metadata_of(&file.path, &mut problems));
        let best = checkpoints.iter().find(|file| file.kind == CheckpointKind::Best);
        let best = best.and_then(|file| metadata_of(&file.path, &mut problems));
        // A run that has not started has none.
        let metrics = folder.metrics();
        let lines = match metrics.exists() {
            true => kept(MetricsLog::read(&metrics), &mut problems).unwrap_or_default(),
            false => Vec::new(),
        };
        let holder = kept(folder.holder(), &mut problems).unwrap_or(Holder::Nobody);
        let state =
            RunState::of(holder, config.as_ref(), newest.as_ref(), !lines.is_empty(), folder.read_failure());
        let reached = newest.as_ref().and_then(|metadata| Reached::of_metadata(metadata).ok());
        let measured =
            lines.iter().filter_map(|line| line.get("epoch")?.as_u64()).max().unwrap_or(0) as usize;
        let seconds: f64 = lines.iter().filter_map(|line| line.get("seconds")?.as_f64()).sum();
        let unreadable = kept(folder.read_unreadable(), &mut problems).unwrap_or_default();
        Self {
            state,
            epochs_done: reached.map_or(0, |reached| reached.epochs).max(measured),
            epochs: config.as_ref().map(|config| config.epochs),
            steps_done: reached.map_or(0, |reached| reached.steps_done),
            loss: lines.iter().rev().find_map(|line| line.get("loss")?.as_f64()),
            metrics: courses(&lines, config.as_ref(), best.as_ref()),
            took: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
            n_bytes: kept(folder.n_bytes(), &mut problems).unwrap_or(0),
            started: folder.started(),
            origin: folder.read_origin(),
            n_unreadable: unreadable.len(),
            config,
            checkpoints,
            problems,
            folder,
        }
    }

    /// The name of its folder.
    pub fn name(&self) -> String {
        let path = self.folder.path();
        // `.` and `..` have no name of their own.
        let name = path
            .file_name()
            .map(ToOwned::to_owned)
            .or_else(|| path.canonicalize().ok().and_then(|path| path.file_name().map(ToOwned::to_owned)));
        name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
    }
}

fn read_config(folder: &RunFolder, problems: &mut Vec<String>) -> Option<PipelineConfig> {
    let text = kept(folder.read_pipeline(), problems)?;
    let name = folder.pipeline().display().to_string();
    match PipelineConfig::parse_kept(&name, &text) {
        Ok(config) => Some(config),
        Err(fault) => {
            problems.push(format!("`{name}` is no pipeline: {}", fault.message));
            None
        }
    }
}

fn metadata_of(path: &Path, problems: &mut Vec<String>) -> Option<BTreeMap<String, String>> {
    // A run that trains may just have removed it.
    let found = checkpoint::read_metadata(path);
    if path.exists() { kept(found, problems) } else { None }
}

fn kept<T, E: std::fmt::Display>(outcome: Result<T, E>, problems: &mut Vec<String>) -> Option<T> {
    outcome.map_err(|error| problems.push(error.to_string())).ok()
}
