//! `moco embed`: writes features of images to a file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use moco::{FeatureTable, TableError, TableFormat};

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

pub(crate) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let path = &arguments.out;
    let format = format_of(path)?;
    let check =
        || format.files(path).iter().try_for_each(|file| new_file::check(file, arguments.force.into()));
    check()?;
    let mut encoder = arguments.encoder.load(&arguments.run)?;
    let images = arguments.images.open(&encoder)?;
    // Before the first image is read: afterwards, hours would be lost.
    format.check_names(&*images)?;
    new_file::check_room(path, format.size(&*images, encoder.n_features()))?;
    let (features, n_unreadable) = match arguments.encoder.embed(&mut encoder, &images)? {
        Embedded::All { embeddings, n_unreadable } => (embeddings, n_unreadable),
        Embedded::Stopped => return stopped(out),
    };
    let table = FeatureTable::new(&*images, features);
    // Another command may have written a file there in the meantime.
    check()?;
    table.write(format, path)?;
    writeln!(
        out,
        "{}: {} of {} ({}){}",
        path.display(),
        text::count(table.features().n(), "row"),
        text::count(table.features().d(), "feature"),
        arguments.encoder.describe(&encoder),
        skipped(n_unreadable),
    )?;
    if let [_, names] = &format.files(path)[..] {
        writeln!(out, "{}: the path of each row", names.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn format_of(path: &Path) -> Result<TableFormat, Failure> {
    TableFormat::of(path).map_err(|error| match error {
        TableError::Extension { .. } => Failure::usage(error.to_string(), error.hint().unwrap_or_default()),
        error => error.into(),
    })
}
