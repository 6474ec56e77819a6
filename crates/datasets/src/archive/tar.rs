//! Tar files without compression.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use plugin_api::DatasetError;

use super::file::SharedFile;
use super::{Member, MemberKind, named};
use crate::places::error;
use crate::positioned::read_exact_at;
use crate::store::Store;

/// The unit of a tar file: headers are one, and contents are filled up to whole ones.
const BLOCK_BYTES: u64 = 512;
/// What stands before a file, its name above all, is not longer: it is read into memory.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// An open tar file.
pub(super) struct TarFile {
    file: SharedFile,
    /// Where the bytes of each file start, and how many there are.
    members: Vec<(u64, u64)>,
}

impl TarFile {
    /// Goes through the headers of the archive, and gives each file to `add` with its number.
    pub(super) fn open(
        path: &Path,
        add: &mut dyn FnMut(Member<'_>, u32),
        notes: &mut Vec<String>,
    ) -> Result<Self, DatasetError> {
        let cannot = |reason: String| {
            error(path, format!("the tar file cannot be read: {reason}"), "copy or pack it again")
        };
        let shared = SharedFile::open(path).map_err(|failure| cannot(failure.to_string()))?;
        let file = shared.file.try_clone().map_err(|failure| cannot(failure.to_string()))?;
        let n_left = Rc::new(Cell::new(MAX_HEADER_BYTES));
        let metered = Metered { inner: BufReader::with_capacity(1 << 12, file), n_left: Rc::clone(&n_left) };
        let mut archive = ::tar::Archive::new(metered);
        // What was put behind another by `cat` is read as well.
        archive.set_ignore_zeros(true);
        let mut members = Vec::new();
        let mut last = String::new();
        let mut end = 0;
        let mut is_damaged = false;
        let mut has_several = false;
        for entry in archive.entries_with_seek().map_err(|failure| cannot(failure.to_string()))? {
            n_left.set(MAX_HEADER_BYTES);
            let told = |failure: io::Error| told(&failure, end, shared.n_bytes);
            let entry = match entry {
                Ok(entry) => entry,
                Err(failure) if members.is_empty() => return Err(cannot(told(failure))),
                Err(failure) => {
                    notes.push(format!("the tar file is damaged or cut after {last}: {}", told(failure)));
                    is_damaged = true;
                    break;
                }
            };
            if !has_several && !members.is_empty() && entry.raw_header_position() > end {
                let mut block = [1; BLOCK_BYTES as usize];
                has_several = read_exact_at(&shared.file, &mut block, end).is_ok()
                    && block == [0; BLOCK_BYTES as usize];
                if has_several {
                    notes.push(format!(
                        "another tar file follows behind the end, after {last}, and is read too"
                    ));
                }
            }
            let kind = match entry.header().entry_type() {
                kind if kind.is_file() || kind.is_contiguous() => MemberKind::File,
                kind if kind.is_dir() => MemberKind::Folder,
                _ => MemberKind::Other,
            };
            let path = entry.path_bytes();
            last = named(&path);
            let start = entry.raw_file_position();
            // Of a file with holes, its size is not what it takes.
            let n_taken = match entry.header().entry_type().is_gnu_sparse() {
                true => entry.header().entry_size().unwrap_or(0),
                false => entry.size(),
            };
            end = n_taken
                .checked_next_multiple_of(BLOCK_BYTES)
                .and_then(|n| start.checked_add(n))
                .unwrap_or(u64::MAX);
            // A file whose end is missing is an image that cannot be read.
            members.push((start, entry.size()));
            add(Member { path: &path, kind }, members.len() as u32 - 1);
        }
        // What follows the last file begins with a block of zeros. Without it, nobody can tell whether there was more.
        if !is_damaged && !members.is_empty() && end >= shared.n_bytes {
            notes.push(format!(
                "the tar file ends at {last}, without a mark of its end: the rest may be cut off"
            ));
        }
        Ok(Self { file: shared, members })
    }
}

impl Store for TarFile {
    fn read(&self, _path: &[u8], number: u32) -> Result<Vec<u8>, String> {
        let (start, n) = self.members[number as usize];
        self.file.read(start, n)
    }

    fn read_beginning(&self, _path: &[u8], number: u32, n_bytes: usize) -> Result<Vec<u8>, String> {
        let (start, n) = self.members[number as usize];
        self.file.read(start, n.min(n_bytes as u64))
    }
}

/// What is wrong with the headers behind `end` of a file of `n_bytes`, for a person who did not write it.
fn told(failure: &io::Error, end: u64, n_bytes: u64) -> String {
    match failure.kind() {
        _ if failure.raw_os_error().is_some() => failure.to_string(),
        io::ErrorKind::FileTooLarge => {
            format!("what stands before a file has more than {MAX_HEADER_BYTES} bytes")
        }
        io::ErrorKind::UnexpectedEof => "it ends within a header".into(),
        _ if n_bytes.checked_sub(end).is_some_and(|rest| rest < BLOCK_BYTES) => {
            "it ends within a header".into()
        }
        _ => "what should be a header is none".into(),
    }
}

/// A reader of headers, which may have only so many bytes for each file.
struct Metered {
    inner: BufReader<std::fs::File>,
    n_left: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.n_left.get().checked_sub(n as u64) {
            Some(rest) => {
                self.n_left.set(rest);
                Ok(n)
            }
            None => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            // It keeps what is in its buffer, where the place is.
            SeekFrom::Current(offset) => {
                self.inner.seek_relative(offset)?;
                self.inner.stream_position()
            }
            to => self.inner.seek(to),
        }
    }
}
