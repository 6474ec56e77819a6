//! Features of images as a table for other programs: NumPy, CSV or Apache Parquet.

mod csv_file;
mod error;
mod npy_file;
mod parquet_file;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use plugin_api::{Embeddings, Images};
use run_store::{NotWritten, write_together, write_whole};

pub use self::error::TableError;

/// Features with the path of each image, for a file.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/encoder/tiny_run.rs"));
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = tempfile::tempdir()?;
/// # let run = write(root.path());
/// # let file = root.path().join("features.npy");
/// use moco::{Encoder, FeatureTable, TableFormat};
///
/// let mut encoder = Encoder::load(&run)?; // for instance "runs/mocov2-001"
/// let images = encoder.dataset()?.open()?.train;
/// let (features, _unreadable) = encoder.embed_dataset(&images)?;
/// FeatureTable::new(&*images, features).write(TableFormat::of(&file)?, &file)?; // for instance "features.npy"
/// # Ok(())
/// # }
/// ```
pub struct FeatureTable {
    /// `N`.
    paths: Vec<String>,
    features: Embeddings,
}

/// The format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// A NumPy array `(N, D)` of float32, with the N paths in a text file beside it, one per line.
    Npy,
    /// A column `path` and D columns `f0`, `f1`, ... Each value is the shortest text that reads back as the same
    /// float32.
    Csv,
    /// The columns of [`Csv`](Self::Csv). Needs the feature `parquet`.
    Parquet,
}

impl FeatureTable {
    /// `features` of some of `images`.
    pub fn new(images: &dyn Images, features: Embeddings) -> Self {
        Self { paths: features.images().iter().map(|image| images.name(*image)).collect(), features }
    }

    /// The features, `(N, D)`.
    pub fn features(&self) -> &Embeddings {
        &self.features
    }

    /// Writes the [`files`](TableFormat::files) of `format`, all of them whole or none. Existing files are overwritten.
    ///
    /// # Errors
    /// If a path contains a line break and the format is [`TableFormat::Npy`], or a file cannot be written.
    pub fn write(&self, format: TableFormat, path: &Path) -> Result<(), TableError> {
        match format {
            TableFormat::Npy => {
                let names = npy_file::names(&self.paths)?;
                let list = names_file(path);
                return write_together(vec![
                    (path, Box::new(|file| npy_file::write(file, &self.features))),
                    (list.as_path(), Box::new(|file| file.write_all(names.as_bytes()))),
                ])
                .map_err(|NotWritten { path, source }| TableError::Io { path, source });
            }
            TableFormat::Csv => write_whole(path, |file| csv_file::write(file, self)),
            TableFormat::Parquet => write_whole(path, |file| parquet_file::write(file, self)),
        }
        .map_err(|source| TableError::Io { path: path.into(), source })
    }
}

impl TableFormat {
    /// The format for the extension of `path`.
    ///
    /// # Errors
    /// If the extension is not known, or this build cannot write that format.
    pub fn of(path: &Path) -> Result<Self, TableError> {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("npy") => Ok(Self::Npy),
            Some("csv") => Ok(Self::Csv),
            Some("parquet") if parquet_file::IS_BUILT_IN => Ok(Self::Parquet),
            Some("parquet") => Err(TableError::NoParquet { path: path.into() }),
            _ => Err(TableError::Extension { path: path.into() }),
        }
    }

    /// Checks that the names of `images` can be written in this format.
    ///
    /// # Errors
    /// If one contains a line break and the format is [`Npy`](Self::Npy).
    pub fn check_names(self, images: &dyn Images) -> Result<(), TableError> {
        match self {
            Self::Npy => (0..images.len()).try_for_each(|index| npy_file::check_name(&images.name(index))),
            Self::Csv | Self::Parquet => Ok(()),
        }
    }

    /// About how many bytes a table of `images` with `n_features` each takes, names left out.
    pub fn size(self, images: &dyn Images, n_features: usize) -> u64 {
        let n_bytes = match self {
            Self::Npy | Self::Parquet => 4,
            // Nine digits, a point, a comma, and now and then a sign.
            Self::Csv => 12,
        };
        (images.len() as u64).saturating_mul(n_features as u64).saturating_mul(n_bytes)
    }

    /// The files of a table at `path`; the table itself is the first.
    pub fn files(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::Npy => vec![path.into(), names_file(path)],
            Self::Csv | Self::Parquet => vec![path.into()],
        }
    }
}

/// `photos.names.txt` for `photos.npy`.
fn names_file(path: &Path) -> PathBuf {
    path.with_extension("names.txt")
}

/// `f0`, `f1` and so on.
fn column(feature: usize) -> String {
    format!("f{feature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_the_format() {
        assert_eq!(TableFormat::of(Path::new("a/b.NPY")).unwrap(), TableFormat::Npy);
        assert_eq!(TableFormat::of(Path::new("b.csv")).unwrap(), TableFormat::Csv);
        for name in ["b", "b.txt", ".npy"] {
            let error = TableFormat::of(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains("no known extension"), "{name}: {error}");
        }
        let files = TableFormat::Npy.files(Path::new("a/b.npy"));
        assert_eq!(files, [Path::new("a/b.npy"), Path::new("a/b.names.txt")]);
    }
}
