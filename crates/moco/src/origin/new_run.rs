//! Writes a run that starts from something.

use std::sync::Arc;

use run_store::RunFolder;
use run_store::checkpoint::{CheckpointFolder, Snapshot};

use crate::{Error, Run, RunError, RunOptions};

/// A run that is written with its first checkpoint.
pub(crate) struct NewRun<'a> {
    pub(crate) text: &'a str,
    pub(crate) name: &'a str,
    /// Checkpoints to keep.
    pub(crate) keep: usize,
    /// Places of its images, old and new.
    pub(crate) moved: &'a [(String, String)],
    /// What it starts from, in words.
    pub(crate) origin: &'a str,
}

impl NewRun<'_> {
    /// Creates the folder with the checkpoint of `step`.
    pub(crate) fn create(&self, snapshot: &Snapshot, step: u64, options: &RunOptions) -> Result<Run, Error> {
        let folder = RunFolder::create(&options.root, self.name, options.folder.clone())?;
        let saved = CheckpointFolder::new(folder.checkpoints(), self.keep).save(step, snapshot);
        saved.map_err(RunError::from)?;
        if !self.moved.is_empty() {
            folder.write_moved(self.moved)?;
        }
        folder.write_origin(self.origin)?;
        // Last, because a folder with a pipeline is a run.
        folder.write_pipeline(self.text)?;
        Run::open_with(folder.path(), Arc::clone(&options.processes))
    }
}
