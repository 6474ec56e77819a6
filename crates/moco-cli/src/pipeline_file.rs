//! Reading a pipeline file, and the error if there is none.

use std::fs::File;
use std::io::{ErrorKind, Read};
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
            // An image is also refused for its length.
            if matches!(reason.kind(), ErrorKind::InvalidData | ErrorKind::FileTooLarge)
                && let Some(failure) = binary(path)
            {
                return failure;
            }
            let message = format!("`{}` cannot be read: {reason}", path.display());
            match reason.kind() {
                ErrorKind::InvalidData => Failure::new(message, TEXT),
                _ => Failure::plain(message),
            }
        }
        error => error.into(),
    }
}

const TEXT: &str = "a pipeline file is UTF-8 text";

/// By so many of its first bytes a file is told from text.
const N_BYTES_LOOKED_AT: u64 = 64;

/// The error for the file at `path`, which has been read before, if it begins like no text of any encoding.
fn binary(path: &Path) -> Option<Failure> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(N_BYTES_LOOKED_AT).read_to_end(&mut start).ok()?;
    let told = |what: &str, hint: String| {
        Some(Failure::new(format!("`{}` is {what}, not a pipeline file", path.display()), hint))
    };
    if let Some(format) = datasets::format_name(&start) {
        let hint = format!("{TEXT}; to train on images, give their folder: `moco train FOLDER`");
        return told(&format!("an image ({format})"), hint);
    }
    let is_utf_16 = start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]);
    if start.contains(&0) && !is_utf_16 {
        return told("a binary file", TEXT.into());
    }
    None
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
    fn what_is_no_text_is_told_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let told = |bytes: &[u8], kind: ErrorKind| {
            std::fs::write(&path, bytes).unwrap();
            let error = PipelineError::Unreadable { path: "a".into(), reason: kind.into() };
            to_error(&path, error).to_string()
        };
        let mut photo = [0_u8; 64];
        photo[..4].copy_from_slice(&[0xff, 0xd8, 0xff, 0xe0]);
        for kind in [ErrorKind::InvalidData, ErrorKind::FileTooLarge] {
            let text = told(&photo, kind);
            assert!(text.ends_with("` is an image (JPEG), not a pipeline file"), "{text}");
        }
        let text = told(b"PK\x03\x04\x00\x00\xff", ErrorKind::InvalidData);
        assert!(text.ends_with("` is a binary file, not a pipeline file"), "{text}");
        // UTF-16 and Latin-1 are texts of other encodings.
        for bytes in [&b"\xff\xfe(\0a\0"[..], b"(name: \"\xe9\")"] {
            let text = told(bytes, ErrorKind::InvalidData);
            assert!(text.contains("cannot be read"), "{text}");
        }
        let text = told(&photo, ErrorKind::PermissionDenied);
        assert!(text.contains("cannot be read"), "{text}");
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
