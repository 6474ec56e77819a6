//! A run that several processes train together.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pipeline::{Fault, Move, Pipeline, PipelineError, Site};
use processes::Processes;
use run_store::RunFolder;
use train_core::engine::EngineError;
use train_core::trainer::{self, Finished, Observer, TrainError, TrainOptions};

use crate::{Error, Run, device};

impl Run {
    /// Trains as one of several processes, but not the first, which has the [`Run`]: it tells the others what to train.
    /// Nothing is written here. The result is that of the first process.
    ///
    /// # Errors
    /// If training fails, here or in another process.
    pub fn follow(
        processes: Arc<dyn Processes>,
        n_workers: NonZeroUsize,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Finished, Error> {
        crate::check_process()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let folder = text(processes.broadcast(Vec::new())?);
        let pipeline = text(processes.broadcast(Vec::new())?);
        // Of the same version of this program, or else the run ends here.
        let moves: Vec<Move> =
            text(processes.broadcast(Vec::new())?).split('\0').filter_map(|text| text.parse().ok()).collect();
        let device = device()?;
        let site =
            Site::of_processes(&device, Arc::clone(&processes)).with_moved(moves.into_iter().collect());
        let pipeline = Pipeline::parse("pipeline.ron", &pipeline, &[], site).map_err(PipelineError::from)?;
        let options = TrainOptions { n_workers: n_workers.get(), processes, accept_changed_images: false };
        let run = RunFolder::of_another(folder);
        Ok(trainer::train(pipeline, &device, &run, None, &options, observer, stop)?)
    }

    /// Whether the run was started with `pipeline`. Processes that have dealt out its batches have written `data.micro_batch` into
    /// the run's own.
    ///
    /// # Errors
    /// If the run's own cannot be read.
    pub fn was_started_with(&mut self, pipeline: &Pipeline) -> Result<bool, Error> {
        let site = Site::of_processes(&device()?, Arc::clone(self.processes()));
        let own = self.pipeline()?;
        if own.text == pipeline.text {
            return Ok(true);
        }
        let n_parts = own.network.parts.n_parts;
        if pipeline.network.parts.n_parts > 1 || own.batch != pipeline.batch {
            return Ok(false);
        }
        let dealt = in_parts(pipeline, n_parts, site);
        Ok(dealt.is_ok_and(|dealt| dealt.text == own.text))
    }
}

/// Tells the other processes what is trained, and where, for messages.
pub(crate) fn tell(processes: &dyn Processes, folder: &Path, pipeline: &Pipeline) -> Result<(), Error> {
    if processes.n() > 1 {
        processes.broadcast(folder.to_string_lossy().into_owned().into_bytes())?;
        processes.broadcast(pipeline.text.clone().into_bytes())?;
        let moves: Vec<String> = pipeline.moved.moves().iter().map(ToString::to_string).collect();
        processes.broadcast(moves.join("\0").into_bytes())?;
    }
    Ok(())
}

/// `pipeline`, with its batches in as many parts as there are processes, if they were whole: what [`Run`] trains.
///
/// # Errors
/// If a batch or its parts do not come out even over the processes, or the pipeline cannot be computed in parts.
pub(crate) fn dealt(pipeline: Pipeline, processes: &Arc<dyn Processes>) -> Result<Pipeline, Error> {
    let (batch, n) = (pipeline.batch, processes.n());
    let n_parts = pipeline.network.parts.n_parts;
    if n_parts.is_multiple_of(n) {
        return Ok(pipeline);
    }
    if n_parts > 1 {
        return Err(TrainError::from(EngineError::Parts { n_parts, n_processes: n }).into());
    }
    if !batch.is_multiple_of(n) {
        return Err(Error::Undealt { batch, n_processes: n });
    }
    let site = Site::of_processes(&device()?, Arc::clone(processes));
    Ok(in_parts(&pipeline, n, site).map_err(PipelineError::from)?)
}

/// `pipeline` with its batches in `n_parts`.
fn in_parts(pipeline: &Pipeline, n_parts: usize, site: Site) -> Result<Pipeline, Box<Fault>> {
    let set = [format!("data.micro_batch={}", pipeline.batch / n_parts)];
    Pipeline::parse("pipeline.ron", &pipeline.text, &set, site.with_moved(pipeline.moved.clone()))
}
