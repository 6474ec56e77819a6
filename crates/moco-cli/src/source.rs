//! Images for a command that needs no encoder: `scan` and `pack`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use moco::data::DataSource;

use crate::failure::Failure;
use crate::interrupt::stop_softly;
use crate::{missing_path, pipeline_file, text};

/// Set by Ctrl-C.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// Where the images are.
#[derive(clap::Args)]
pub(crate) struct SourceArguments {
    /// Images: a folder (searched recursively; with a folder `train` in it, class folders), an archive, a pack, a Parquet file, a
    /// list (one path per line), image files, or a pipeline file (RON), which means its dataset.
    #[arg(required = true, value_name = "SOURCE")]
    paths: Vec<PathBuf>,
    /// Override a value in the pipeline file, for instance `data.source.root="photos"`.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl SourceArguments {
    /// Finds the images, and listens to Ctrl-C from now on. None is read.
    pub(crate) fn open(&self) -> Result<DataSource, Failure> {
        stop_softly(&STOP, Some("stopping; press Ctrl-C again to stop at once"))?;
        if let [path] = &self.paths[..]
            && path.extension().is_some_and(|extension| extension == "ron")
        {
            pipeline_file::check_file(path)?;
            return Ok(DataSource::of_pipeline(path, &self.set)?);
        }
        if !self.set.is_empty() {
            return Err(Failure::usage(
                "`--set` changes a pipeline, and none is given",
                "give one pipeline file (`.ron`), or leave out `--set`",
            ));
        }
        if let Some(path) = self.paths.iter().find(|path| !path.exists()) {
            return Err(Failure::new(
                format!("`{}` does not exist", path.display()),
                missing_path::hint(path),
            ));
        }
        Ok(DataSource::open(&self.paths)?)
    }
}

/// How many images there are for training and for testing, in words.
pub(crate) fn counted((train, test): (usize, usize)) -> String {
    match test {
        0 => text::count(train, "image"),
        test => format!("{} and {}", text::count(train, "training image"), text::count(test, "test image")),
    }
}
