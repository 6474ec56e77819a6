//! Parquet files with a column of image files: the layout of the datasets that the Hugging Face Hub hands out.
//!
//! A row is an image. It is read with the page that it is in, and the pages that were read last are kept. Such files are made to
//! be read in order: a [pack](crate::PackFile) of them is faster where images are drawn in any order.

#[cfg(feature = "parquet")]
mod column;
#[cfg(feature = "parquet")]
mod columns;
mod dataset;
#[cfg(feature = "parquet")]
mod file;
#[cfg(feature = "parquet")]
mod kept_pages;
#[cfg(feature = "parquet")]
mod labels;
#[cfg(feature = "parquet")]
mod page_header;
#[cfg(feature = "parquet")]
mod source;

use std::path::{Path, PathBuf};

use plugin_api::DatasetError;

pub use self::dataset::{ParquetConfig, ParquetDataset};
use crate::splits::Listed;

/// What every Parquet file begins with.
const MAGIC: &[u8] = b"PAR1";

/// The most bytes that a page may have, in the file and in memory: as for an image file.
#[cfg(feature = "parquet")]
const MAX_PAGE_BYTES: usize = crate::decode::MAX_FILE_BYTES as usize;

/// Whether the file at `path` is a Parquet file, by its first bytes.
pub fn is_parquet_file(path: &Path) -> bool {
    path.is_file() && regular_files::beginning(path, MAGIC.len()).is_ok_and(|start| start == MAGIC)
}

/// Lists the rows of `files`, one file after the other; `image` and `label` are the names of columns, if a person names them.
///
/// # Errors
/// If one cannot be read, has not the columns, or there is no row in any.
#[cfg(feature = "parquet")]
pub(crate) fn list(
    files: &[PathBuf],
    image: Option<&str>,
    label: Option<&str>,
) -> Result<Listed, DatasetError> {
    file::list(files, image, label)
}

/// Refuses, since this build cannot read them.
///
/// # Errors
/// Always.
#[cfg(not(feature = "parquet"))]
pub(crate) fn list(
    files: &[PathBuf],
    _image: Option<&str>,
    _label: Option<&str>,
) -> Result<Listed, DatasetError> {
    let path = files.first().map_or(Path::new(""), PathBuf::as_path);
    let hint = "build with it: `cargo build --release -p moco-cli --features parquet`";
    Err(crate::places::error(path, "Parquet files need a build with the feature `parquet`", hint))
}
