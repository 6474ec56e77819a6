//! Reading a pipeline file, and the error if there is none.

use std::path::{Path, PathBuf};

use pipeline::{Network, Pipeline, PipelineError, Site};
use plugin_api::{Dataset, Entry};
use tensor_ops::Device;

use crate::failure::Failure;
use crate::missing_path;

/// The pipeline at `path` with `overrides` in it.
///
/// # Errors
/// If there is no such file, with the most similar name as a hint; or the first error in it.
pub fn read(path: &Path, overrides: &[String], site: impl Into<Site>) -> Result<Pipeline, Failure> {
    check_file(path)?;
    Pipeline::read(path, overrides, site).map_err(|error| to_error(path, error))
}

/// The pipeline that a run saved at `path`, to look at it.
///
/// # Errors
/// As [`read`].
pub fn read_kept(path: &Path, device: &Device) -> Result<Pipeline, Failure> {
    check_file(path)?;
    Pipeline::read_kept(path, Site::to_look(device)).map_err(|error| to_error(path, error))
}

fn to_error(path: &Path, error: PipelineError) -> Failure {
    match error {
        PipelineError::Unreadable { reason, .. } => {
            let message = format!("`{}` cannot be read: {reason}", path.display());
            match reason.kind() {
                std::io::ErrorKind::InvalidData => Failure::new(message, "a pipeline file is UTF-8 text"),
                _ => Failure::plain(message),
            }
        }
        error => error.into(),
    }
}

/// Fails unless `path` is a file.
///
/// # Errors
/// With the most similar name in its folder as a hint.
pub fn check_file(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::new(
            format!("`{}` is a folder, not a file", path.display()),
            match file_in(path) {
                Some(file) => format!("give a pipeline file, for instance `{}`", file.display()),
                None => "give a file".into(),
            },
        ));
    }
    if path.exists() { Ok(()) } else { Err(missing(path)) }
}

/// The pipeline of the run in `folder`, or its first pipeline file.
fn file_in(folder: &Path) -> Option<PathBuf> {
    let files = missing_path::files_in(folder).into_iter().map(|name| folder.join(name));
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.is_file() && path.extension().is_some_and(|e| e == "ron")).collect();
    files.sort_by_key(|path| !path.ends_with("pipeline.ron"));
    files.into_iter().next()
}

/// The error for a path that does not exist.
pub fn missing(path: &Path) -> Failure {
    Failure::new(format!("`{}` does not exist", path.display()), missing_path::hint(path))
}

/// The datasets that monitors measure on in place of the run's, after the monitors' names.
pub(crate) fn own_datasets(pipeline: &Pipeline) -> impl Iterator<Item = (&str, &dyn Dataset)> {
    let monitors = pipeline.monitors.iter();
    monitors.filter_map(|(name, monitor)| Some((name.as_str(), monitor.dataset()?.dataset())))
}

/// Trainable and frozen parameters of the query encoder; momentum copies are not counted.
pub struct ParameterCount {
    /// Parameters that the optimizer updates.
    pub trained: usize,
    /// Parameters that keep their initial values.
    pub fixed: usize,
}

/// Counts the parameters of `network`.
pub fn count_parameters(network: &Network) -> ParameterCount {
    let mut count = ParameterCount { trained: 0, fixed: 0 };
    for (_, module) in network.modules.named() {
        module.visit(&mut |_, entry| {
            if let Entry::Parameter(parameter) = entry {
                if parameter.is_trainable() {
                    count.trained += parameter.n_elements();
                } else {
                    count.fixed += parameter.n_elements();
                }
            }
        });
    }
    count
}

impl std::fmt::Display for ParameterCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", crate::text::count(self.trained, "trainable parameter"))?;
        match self.fixed {
            0 => Ok(()),
            fixed => write!(f, " and {} frozen", crate::text::grouped(fixed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_for(path: &Path) -> String {
        let failure = check_file(path).unwrap_err();
        format!("{failure} | {:?}", failure.hint())
    }

    #[test]
    fn a_missing_file_names_the_nearest_one_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mocov2.ron"), "").unwrap();
        check_file(&folder.path().join("mocov2.ron")).unwrap();
        let text = message_for(&folder.path().join("mocov2.rn"));
        assert!(text.contains("did you mean") && text.contains("mocov2.ron`?"), "{text}");
        let text = message_for(&folder.path().join("nowhere/mocov2.ron"));
        assert!(text.contains("does not exist either"), "{text}");
        let text = message_for(folder.path());
        assert!(text.contains("is a folder") && text.contains("mocov2.ron"), "{text}");
        // As in the folder of a run, and as in one of images.
        for name in ["a.png", "checkpoints.ron", "pipeline.ron"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let text = message_for(folder.path());
        assert!(text.contains("for instance") && text.contains("pipeline.ron`"), "{text}");
        let images = tempfile::tempdir().unwrap();
        std::fs::write(images.path().join("a.png"), "").unwrap();
        assert!(!message_for(images.path()).contains("a.png"));
    }
}
