//! `--data-root`: images of a run that have moved since it was started.

use pipeline::{Move, Moved};
use plugin_api::DatasetError;

use crate::failure::Failure;

/// Where the images of the run are now.
#[derive(clap::Args)]
pub(crate) struct MovedArguments {
    /// The images of an earlier run have moved: a path of its dataset that starts with OLD starts with NEW now. Paths in a
    /// list stay. May be given several times.
    #[arg(long = "data-root", value_name = "OLD=NEW")]
    data_root: Vec<Move>,
}

impl MovedArguments {
    /// Whether the option was given.
    pub(crate) fn is_given(&self) -> bool {
        !self.data_root.is_empty()
    }

    pub(crate) fn moved(&self) -> Moved {
        self.data_root.iter().cloned().collect()
    }
}

/// The error for a dataset that is not where the run had it.
pub(crate) fn with_way_out(error: &DatasetError) -> Failure {
    Failure::new(
        error.to_string(),
        format!(
            "{}; if the images of this run have moved, say where they are now with `--data-root OLD=NEW`, which changes the \
             pipeline's paths, not those in a list",
            error.hint
        ),
    )
}
