//! `moco embed`: writes features of images to a file.

mod csv_file;
mod npy_file;
mod parquet_file;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use moco::Embeddings;
use run_store::write_whole;

use crate::encoding::{Embedded, EncoderArguments, ImageArguments, skipped, stopped};
use crate::failure::Failure;
use crate::{new_file, text};

/// Write the features of images to a file.
///
/// Runs every image through a trained encoder and writes one row of features per image. Images of a folder are sorted
/// by path; otherwise rows are in the order given. No labels are needed, and the images need not come from the run's
/// dataset.
///
/// The extension of FILE sets the format: `.npy` (a float32 array (N, D), with the N paths in a text file beside it,
/// one per line), `.csv` or `.parquet` (a column `path` and D columns `f0`, `f1`, ...). Features are not normalized.
///
/// Images that cannot be decoded are skipped and listed; the command fails if there are more than `--max-unreadable`
/// allows. The file is written at the end, so Ctrl-C leaves no partial file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Run folder, or a checkpoint in it.
    run: PathBuf,
    #[command(flatten)]
    images: ImageArguments,
    /// Output file: `.npy`, `.csv` or `.parquet`.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Overwrite existing files.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    encoder: EncoderArguments,
}

const EXAMPLES: &str = "\
Examples:
  moco embed runs/mocov2-001 photos -o photos.npy
  moco embed runs/mocov2-001 one.jpg two.jpg -o two.csv
  moco embed runs/mocov2-001 lists/all.txt -o all.npy --best --level head
  moco embed runs/mocov2-001 --split test -o test.npy";

/// What is written: one row per image.
struct Rows {
    /// `N`.
    paths: Vec<String>,
    features: Embeddings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Npy,
    Csv,
    Parquet,
}

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let path = &arguments.out;
    let format = Format::of(path)?;
    let check =
        || format.files(path).iter().try_for_each(|file| new_file::check(file, arguments.force.into()));
    check()?;
    let mut encoder = arguments.encoder.load(&arguments.run)?;
    let images = arguments.images.open(&encoder)?;
    let (features, n_unreadable) = match arguments.encoder.embed(&mut encoder, &images)? {
        Embedded::All { embeddings, n_unreadable } => (embeddings, n_unreadable),
        Embedded::Stopped => return stopped(out),
    };
    let paths = features.images().iter().map(|image| images.name(*image)).collect();
    let rows = Rows { paths, features };
    // Another command may have written a file there in the meantime.
    check()?;
    format.write(path, &rows)?;
    writeln!(
        out,
        "{}: {} of {} ({}){}",
        path.display(),
        text::count(rows.features.n(), "row"),
        text::count(rows.features.d(), "feature"),
        arguments.encoder.describe(&encoder),
        skipped(n_unreadable),
    )?;
    if format == Format::Npy {
        writeln!(out, "{}: the path of each row", names_file(path).display())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Format {
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("npy") => Ok(Self::Npy),
            Some("csv") => Ok(Self::Csv),
            Some("parquet") if parquet_file::IS_BUILT_IN => Ok(Self::Parquet),
            Some("parquet") => Err(Failure::new(
                format!("`{}` cannot be written: this build has no parquet", path.display()),
                "build with parquet, `cargo run --release --package xtask --features parquet -- embed ...`, or write `.npy` or `.csv`",
            )),
            _ => Err(Failure::usage(
                format!("`{}` has no known extension", path.display()),
                "use `.npy`, `.csv` or `.parquet`",
            )),
        }
    }

    /// The files to write.
    fn files(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::Npy => vec![path.into(), names_file(path)],
            Self::Csv | Self::Parquet => vec![path.into()],
        }
    }

    fn write(self, path: &Path, rows: &Rows) -> Result<(), Failure> {
        let cannot = |path: &Path, error: std::io::Error| {
            Failure::plain(format!("`{}` cannot be written: {error}", path.display()))
        };
        match self {
            Self::Npy => {
                let names = npy_file::names(&rows.paths)?;
                let file = names_file(path);
                write_whole(&file, |file| file.write_all(names.as_bytes()))
                    .map_err(|error| cannot(&file, error))?;
                write_whole(path, |file| npy_file::write(file, &rows.features))
            }
            Self::Csv => write_whole(path, |file| csv_file::write(file, rows)),
            Self::Parquet => write_whole(path, |file| parquet_file::write(file, rows)),
        }
        .map_err(|error| cannot(path, error))
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
        assert_eq!(Format::of(Path::new("a/b.NPY")).unwrap(), Format::Npy);
        assert_eq!(Format::of(Path::new("b.csv")).unwrap(), Format::Csv);
        for name in ["b", "b.txt", ".npy"] {
            assert!(
                Format::of(Path::new(name)).unwrap_err().to_string().contains("no known extension"),
                "{name}"
            );
        }
        let files = Format::Npy.files(Path::new("a/b.npy"));
        assert_eq!(files, [Path::new("a/b.npy"), Path::new("a/b.names.txt")]);
    }
}
