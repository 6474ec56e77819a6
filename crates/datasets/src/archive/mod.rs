//! Archives that are read where they are, without being unpacked.

mod dataset;
mod file;
mod own_files;
mod tar;
mod webdataset;
mod zip;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::DatasetError;

pub(crate) use self::dataset::list;
pub use self::dataset::{ArchiveConfig, ArchiveDataset};
use self::tar::TarFile;
#[cfg(feature = "parquet")]
pub(crate) use self::webdataset::LABEL_FIELDS;
use self::zip::ZipFile;
use crate::images::Part;
use crate::listing::{
    Entries, PassedOver, Patterns, Reason, SEPARATOR, is_hidden, is_image, shown, shown_path,
};
use crate::places::{error, relative_hint};
use crate::store::Store;

/// What can be compressed as a whole has to be read from its start for each image.
const COMPRESSED: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "RAR"),
];

/// The kind of an archive.
enum Kind {
    Zip,
    Tar,
}

/// A file of an archive as it is listed.
pub(crate) struct Member<'a> {
    /// Its path, with whatever the archive has before it.
    path: &'a [u8],
    kind: MemberKind,
}

/// What an archive has under a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MemberKind {
    File,
    Folder,
    /// A link, or something else that has no bytes.
    Other,
}

/// The files of an archive, and what was passed over.
pub(crate) struct Archive {
    /// The files that end like images, sorted by path.
    pub(crate) part: Part,
    /// The other files, sorted by path: labels, for instance.
    pub(crate) others: Entries,
    pub(crate) passed: PassedOver,
    /// What else is odd, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// Whether a file at `path` is an archive, by its first bytes or its ending: also one that cannot be read in place.
pub(crate) fn is_archive_file(path: &Path) -> bool {
    path.is_file() && !matches!(kind_of(path), Ok(None))
}

/// The kind of the archive at `path`; `None` if it is none.
///
/// # Errors
/// If it is an archive of a kind that cannot be read in place.
fn kind_of(path: &Path) -> Result<Option<Kind>, DatasetError> {
    // A file that cannot be read is told when it is opened.
    let start = regular_files::beginning(path, 512).unwrap_or_default();
    if let Some((_, name)) = COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(error(
            path,
            format!("this is compressed as a whole ({name}), so that images in it cannot be read one by one"),
            "unpack it, or pack the images as .zip or as .tar without compression",
        ));
    }
    let has_ending = |ending: &str| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") || has_ending("zip") {
        return Ok(Some(Kind::Zip));
    }
    let is_tar = start.get(257..262) == Some(b"ustar") || has_ending("tar");
    Ok(is_tar.then_some(Kind::Tar))
}

/// Lists the archive at `path`. No image is read.
///
/// # Errors
/// If it is missing, no archive, of a kind that cannot be read in place, or damaged from its start.
pub(crate) fn open(path: &Path, patterns: &Patterns) -> Result<Archive, DatasetError> {
    if !path.exists() {
        return Err(error(path, "the archive does not exist", relative_hint(path)));
    }
    if !path.is_file() {
        return Err(error(path, "this is not a regular file", "archives end in .zip or .tar"));
    }
    let Some(kind) = kind_of(path)? else {
        return Err(error(path, "this is no archive", "archives end in .zip or .tar"));
    };
    let mut sorter = Sorter {
        patterns,
        images: Entries::default(),
        others: Entries::default(),
        passed: PassedOver::default(),
    };
    let mut notes = Vec::new();
    let store: Arc<dyn Store> = match kind {
        Kind::Zip => {
            Arc::new(ZipFile::open(path, &mut |member, number| sorter.add(member, number), &mut notes)?)
        }
        Kind::Tar => {
            Arc::new(TarFile::open(path, &mut |member, number| sorter.add(member, number), &mut notes)?)
        }
    };
    let (images, n_repeated) = sorter.images.sorted().last_of_each();
    if n_repeated > 0 {
        let files = if n_repeated == 1 { "1 image is".into() } else { format!("{n_repeated} images are") };
        notes.push(format!("{files} there again later, and only the last of a name counts"));
    }
    let mut part = Part { place: path.to_owned(), store, entries: images };
    let (others, mut passed) = (sorter.others.sorted(), sorter.passed);
    own_files::leave_out(&mut part, &others, &mut passed);
    let place = shown_path(path);
    let notes = notes.into_iter().map(|note| format!("{place}: {note}")).collect();
    Ok(Archive { part, others, passed, notes })
}

/// Sorts the members of an archive as a walk sorts the files of a folder.
struct Sorter<'a> {
    patterns: &'a Patterns,
    images: Entries,
    others: Entries,
    passed: PassedOver,
}

impl Sorter<'_> {
    fn add(&mut self, member: Member<'_>, number: u32) {
        let path = relative(member.path);
        if member.kind == MemberKind::Folder || path.is_empty() {
            return;
        }
        // It would stand for a separator where paths are sorted.
        if path.contains(&0) {
            return self.passed.add(Reason::Unnameable, &path);
        }
        if let Some(hidden) = hidden_part(&path) {
            if is_image(&path) {
                self.passed.add(Reason::Hidden, hidden);
            }
        } else if self.is_excluded(&path) {
            self.passed.add(Reason::Excluded, &path);
        } else if member.kind == MemberKind::Other {
            self.passed.add(Reason::NoFile, &path);
        } else if is_image(&path) {
            self.images.push(&[&path], number);
        } else {
            self.others.push(&[&path], number);
        }
    }

    /// Whether a pattern matches `path`, or a folder that it is in.
    fn is_excluded(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == SEPARATOR).map(|(at, _)| at);
        ends.chain([path.len()]).any(|end| self.patterns.excludes(&path[..end], is_image(path)))
    }
}

/// `path` as one below a folder: without `./` and `/` at its start, and with one separator between its parts.
fn relative(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|&byte| byte == SEPARATOR).filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&SEPARATOR)
}

/// `path` up to the first of its parts that is hidden.
fn hidden_part(path: &[u8]) -> Option<&[u8]> {
    let mut start = 0;
    for part in path.split(|&byte| byte == SEPARATOR) {
        let end = start + part.len();
        if is_hidden(part) {
            return Some(&path[..end]);
        }
        start = end + 1;
    }
    None
}

/// The archives that `path` stands for: a file, or those directly in a folder, sorted by name.
///
/// # Errors
/// If there are none.
pub(crate) fn files_of(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let cannot = |failure: std::io::Error| {
        error(path, format!("it cannot be listed: {failure}"), "check that the folder can be read")
    };
    let entries = std::fs::read_dir(path).map_err(cannot)?;
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let ends = |path: &PathBuf| path.extension().is_some_and(|found| found == "tar" || found == "zip");
    let mut files: Vec<PathBuf> = files.filter(ends).collect();
    files.sort_unstable();
    if files.is_empty() {
        return Err(error(path, "there are no archives in this folder", "archives end in .zip or .tar"));
    }
    Ok(files)
}

/// How messages call the member `path` of an archive.
fn named(path: &[u8]) -> String {
    shown(&relative(path))
}
