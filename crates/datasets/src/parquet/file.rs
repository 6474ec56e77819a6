//! The rows of Parquet files as image files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::ByteArrayType;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::Length;
use plugin_api::{DatasetError, DecodingScope};

use super::MAGIC;
use super::column::{Column, reason};
use super::columns::Columns;
use super::kept_pages::{Files, KeptPages};
use super::labels::FileLabels;
use super::source::Source;
use crate::classes::listed;
use crate::decode::guarded;
use crate::images::Part;
use crate::list::ListedLabels;
use crate::listing::{Entries, SEPARATOR, bytes_of, shown, shown_path};
use crate::places::{error, relative_hint};
use crate::splits::Listed;
use crate::store::Store;

/// The schema and the places of columns and row groups, which a file has at its end: more than any file of images needs.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// The length of the footer, and the magic bytes.
const END_BYTES: usize = 8;
/// Names that are longer are none.
const MAX_NAME_BYTES: usize = 4096;
/// Pages above this are told: an image that is drawn costs so much.
const LARGE_PAGE_BYTES: usize = 4 << 20;

/// The images of one file.
struct ParquetImages {
    images: Column,
    /// The number of the file in the dataset.
    number: usize,
    kept: Arc<KeptPages>,
}

impl Store for ParquetImages {
    fn read(&self, _path: &[u8], number: u32) -> Result<Vec<u8>, String> {
        let (page, at) = self.images.locate(number);
        let (n_bytes, while_read) = self.images.page_bytes(page);
        let files = match self.kept.kept(self.number, page) {
            Some(files) => files,
            None => {
                // Before the page is anybody's: who waits for memory must not keep others from theirs.
                DecodingScope::count_file(while_read);
                let read = || self.images.read::<ByteArrayType>(page).map(Files::from);
                self.kept.get(self.number, page, n_bytes, read)?
            }
        };
        let file = files.get(at).and_then(Option::as_ref);
        file.map(|file| file.data().to_vec()).ok_or_else(|| "its row has no bytes".into())
    }
}

/// What is read of a file when it is opened.
struct Opened {
    part: Part,
    labels: FileLabels,
    notes: Vec<String>,
}

/// Lists the rows of `files`, see [`super::list`].
pub(super) fn list(
    files: &[PathBuf],
    image: Option<&str>,
    label: Option<&str>,
) -> Result<Listed, DatasetError> {
    let kept = Arc::new(KeptPages::default());
    let (mut parts, mut notes) = (Vec::new(), Vec::new());
    let mut labels = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let mut opened = open(file, (image, label), number, &kept)?;
        notes.append(&mut opened.notes);
        labels.push(opened.labels);
        parts.push(opened.part);
    }
    let has_some = labels.iter().any(|of_file| !of_file.names.is_empty());
    let labels = has_some.then_some(labels);
    if let Some(labels) = &labels {
        leave_out_unlabeled(&mut parts, labels, files, &mut notes);
    }
    if parts.iter().all(|part| part.entries.is_empty()) {
        return Err(error(&files[0], "there are no rows in it", "check that this is the right file"));
    }
    let labels = labels.map(|labels| {
        let names = labels.iter().flat_map(|of_file| {
            of_file.of_rows.iter().flatten().map(|&number| of_file.names[number as usize].clone())
        });
        ListedLabels::of(names)
    });
    Ok(Listed { parts, labels, notes })
}

fn leave_out_unlabeled(
    parts: &mut [Part],
    labels: &[FileLabels],
    files: &[PathBuf],
    notes: &mut Vec<String>,
) {
    for ((part, labels), file) in parts.iter_mut().zip(labels).zip(files) {
        let is_labeled = |number: u32| labels.of_rows[number as usize].is_some();
        let indices = 0..part.entries.len();
        let without: Vec<usize> = indices.filter(|&index| !is_labeled(part.entries.number(index))).collect();
        if without.is_empty() {
            continue;
        }
        let n = without.len();
        let have = if n == 1 { "1 image has".to_owned() } else { format!("{n} images have") };
        let names = listed(without.iter().map(|&index| shown(part.entries.path(index))));
        notes.push(format!("{}: {have} no label, and left out: {names}", shown_path(file)));
        let mut entries = Entries::default();
        for index in (0..part.entries.len()).filter(|&index| is_labeled(part.entries.number(index))) {
            entries.push(&[part.entries.path(index)], part.entries.number(index));
        }
        part.entries = entries;
    }
}

fn open(
    path: &Path,
    (image, label): (Option<&str>, Option<&str>),
    number: usize,
    kept: &Arc<KeptPages>,
) -> Result<Opened, DatasetError> {
    let source = Source::open(path).map_err(|failure| {
        let hint = match failure.kind() {
            std::io::ErrorKind::NotFound => relative_hint(path),
            _ => "check that it can be read".into(),
        };
        error(path, format!("it cannot be read: {failure}"), hint)
    })?;
    let damaged = |reason: String| {
        error(path, format!("the Parquet file cannot be read: {reason}"), "copy or write it again")
    };
    let metadata = metadata(&source).map_err(damaged)?;
    let columns = Columns::find(metadata.file_metadata(), image, label)
        .map_err(|(reason, hint)| error(path, reason, hint))?;
    let open = |number| Column::open(&source, &metadata, number).map_err(damaged);
    let images = open(columns.image)?;
    let n_rows = images.n_rows();
    let labels = match &columns.label {
        Some(label) => {
            let read = FileLabels::read(&open(label.column)?, label, &metadata);
            let hint = "name another column with `label`, or make a list of images and labels";
            let labels = read.map_err(|reason| error(path, format!("its labels: {reason}"), hint))?;
            check_rows(labels.of_rows.len(), n_rows).map_err(damaged)?;
            labels
        }
        None => FileLabels::none(n_rows),
    };
    let file = path.file_name().and_then(bytes_of).unwrap_or_default();
    // Names are of use to people alone: without them, rows have numbers.
    let names = columns.path.and_then(|column| {
        let column = Column::open(&source, &metadata, column).ok()?;
        names(&column, &source, file).ok()?.filter(|names| names.len() == n_rows as usize)
    });
    let entries = names.unwrap_or_else(|| by_row(n_rows, file));
    let mut notes = Vec::new();
    let largest = (0..images.n_pages()).map(|page| images.page_bytes(page).0).max().unwrap_or_default();
    if largest > LARGE_PAGE_BYTES {
        notes.push(format!(
            "{}: an image is read with the page that it is in, and these have up to {} MB: `moco pack` makes a file of it \
             that is fast in any order",
            shown_path(path),
            largest.div_ceil(1_000_000)
        ));
    }
    let store = Arc::new(ParquetImages { images, number, kept: Arc::clone(kept) });
    let place = path.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Opened { part: Part { place, store, entries }, labels, notes })
}

fn check_rows(n: usize, n_rows: u32) -> Result<(), String> {
    if n == n_rows as usize {
        return Ok(());
    }
    Err(format!("one column has {n} rows, and that of the images {n_rows}"))
}

fn metadata(source: &Source) -> Result<Arc<ParquetMetaData>, String> {
    let start = source.up_to(0, MAGIC.len()).map_err(|failure| failure.to_string())?;
    let end = source.len().saturating_sub(END_BYTES as u64);
    let end = source.up_to(end, END_BYTES).map_err(|failure| failure.to_string())?;
    if start != MAGIC {
        return Err(if start == b"PARE" { "it is encrypted" } else { "this is no Parquet file" }.into());
    }
    let footer = end.first_chunk().map(|&length| u64::from(u32::from_le_bytes(length)));
    match footer {
        Some(_) if end.ends_with(b"PARE") => return Err("it is encrypted".into()),
        Some(n) if end.ends_with(MAGIC) && n <= MAX_FOOTER_BYTES => {}
        Some(n) if end.ends_with(MAGIC) => {
            return Err(format!("its footer has {n} bytes, more than the limit of {MAX_FOOTER_BYTES}"));
        }
        _ => return Err("its end is missing".into()),
    }
    let read = || ParquetMetaDataReader::new().parse_and_finish(source).map_err(|failure| reason(&failure));
    guarded("Parquet", read).map(Arc::new)
}

/// What files were called, behind the name of `file`; `None` if one was not called anything, or the names are too long to be some.
fn names(column: &Column, source: &Source, file: &[u8]) -> Result<Option<Entries>, String> {
    let most = source.len() + 64 * u64::from(column.n_rows());
    let (mut n_bytes, mut are_names) = (0, true);
    let mut entries = Entries::default();
    column.read_all::<ByteArrayType>(&mut |name| {
        let name = name.as_ref().map_or(&[][..], |name| name.data());
        n_bytes += name.len() as u64;
        are_names &=
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(&0) && n_bytes <= most;
        if are_names {
            entries.push(&[file, &[SEPARATOR], name], entries.len() as u32);
        }
        Ok(())
    })?;
    Ok(are_names.then_some(entries))
}

/// Rows by their numbers, behind the name of `file`, which tells them apart from those of other files.
fn by_row(n_rows: u32, file: &[u8]) -> Entries {
    let mut entries = Entries::default();
    for row in 0..n_rows {
        entries.push(&[file, b"/row ", row.to_string().as_bytes()], row);
    }
    entries
}
