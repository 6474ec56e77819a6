//! Zip files.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use flate2::read::DeflateDecoder;
use plugin_api::{DatasetError, DecodingScope};
use rawzip::{CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};

use super::file::{SharedFile, read_all};
use super::{Member, MemberKind};
use crate::decode::MAX_FILE_BYTES;
use crate::listing::SEPARATOR;
use crate::places::error;
use crate::store::Store;

/// A file that unpacks to more than this may not grow more than `MAX_GROWTH` times.
const MAX_UNSUSPECTED_BYTES: u64 = 1 << 26;
const MAX_GROWTH: u64 = 200;

/// An open zip file.
pub(super) struct ZipFile {
    archive: ZipArchive<FileReader>,
    file: SharedFile,
    members: Vec<ZipMember>,
}

/// Where a file is in the archive.
struct ZipMember {
    place: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    is_encrypted: bool,
}

impl ZipFile {
    /// Reads the archive's directory, and gives each file to `add` with its number.
    pub(super) fn open(
        path: &Path,
        add: &mut dyn FnMut(Member<'_>, u32),
        notes: &mut Vec<String>,
    ) -> Result<Self, DatasetError> {
        let cannot = |failure: String| {
            error(path, format!("the zip file cannot be read: {failure}"), "copy or pack it again")
        };
        let shared = SharedFile::open(path).map_err(|failure| cannot(failure.to_string()))?;
        let file = shared.file.try_clone().map_err(|failure| cannot(failure.to_string()))?;
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let archive =
            ZipArchive::from_file(file, &mut buffer).map_err(|failure| cannot(failure.to_string()))?;
        let is_windows = has_backslashes_only(&archive, &mut buffer);
        let mut members = Vec::new();
        let mut entries = archive.entries(&mut buffer);
        loop {
            match entries.next_entry() {
                Ok(Some(entry)) => {
                    let path = entry.file_path();
                    let mut path = Cow::Borrowed(path.as_ref());
                    if is_windows {
                        path.to_mut()
                            .iter_mut()
                            .filter(|byte| **byte == b'\\')
                            .for_each(|byte| *byte = SEPARATOR);
                    }
                    let is_folder = entry.is_dir() || path.ends_with(&[SEPARATOR]);
                    let kind = if is_folder { MemberKind::Folder } else { MemberKind::File };
                    let member = Member { path: &path, kind };
                    add(member, members.len() as u32);
                    members.push(ZipMember {
                        place: entry.wayfinder(),
                        method: entry.compression_method(),
                        is_encrypted: entry.flags().is_encrypted(),
                    });
                }
                Ok(None) => break,
                Err(failure) if members.is_empty() => return Err(cannot(failure.to_string())),
                Err(failure) => {
                    let n = members.len();
                    notes
                        .push(format!("the directory of the zip file is damaged after {n} files: {failure}"));
                    break;
                }
            }
        }
        Ok(Self { archive, file: shared, members })
    }
}

/// Whether folders are separated as on Windows, against the rules of the format.
fn has_backslashes_only(archive: &ZipArchive<FileReader>, buffer: &mut [u8]) -> bool {
    let mut entries = archive.entries(buffer);
    let mut has_backslash = false;
    while let Ok(Some(entry)) = entries.next_entry() {
        let path = entry.file_path();
        let path: &[u8] = path.as_ref();
        if path.contains(&SEPARATOR) {
            return false;
        }
        has_backslash |= path.contains(&b'\\');
    }
    has_backslash
}

impl Store for ZipFile {
    fn read(&self, _path: &[u8], number: u32) -> Result<Vec<u8>, String> {
        let member = &self.members[number as usize];
        if member.is_encrypted {
            return Err("it is encrypted".into());
        }
        let explain = |failure: rawzip::Error| format!("damaged: {failure}");
        let entry = self.archive.get_entry(member.place).map_err(explain)?;
        let (start, end) = entry.compressed_data_range();
        let packed = self.file.read(start, end.saturating_sub(start))?;
        let n_bytes = member.place.uncompressed_size_hint();
        if n_bytes > MAX_FILE_BYTES {
            return Err(format!("the file has {n_bytes} bytes, more than the limit of {MAX_FILE_BYTES}"));
        }
        if n_bytes > MAX_UNSUSPECTED_BYTES && n_bytes / MAX_GROWTH > packed.len() as u64 {
            return Err(format!("it would grow from {} to {n_bytes} bytes, as no image does", packed.len()));
        }
        // Both are there at once.
        DecodingScope::count_file((n_bytes as usize).saturating_add(packed.len()));
        // At the end the checksum is compared.
        match member.method {
            CompressionMethod::STORE => read_all(entry.verifying_reader(&packed[..]), n_bytes),
            CompressionMethod::DEFLATE => {
                read_all(entry.verifying_reader(DeflateDecoder::new(&packed[..])), n_bytes)
            }
            method => Err(format!("the compression {method} is not read")),
        }
    }

    fn read_beginning(&self, path: &[u8], number: u32, n_bytes: usize) -> Result<Vec<u8>, String> {
        let member = &self.members[number as usize];
        let Some((start, end)) =
            self.archive.get_entry(member.place).ok().map(|entry| entry.compressed_data_range())
        else {
            return self.read(path, number);
        };
        // Compression adds next to nothing to what cannot be compressed.
        let packed = self.file.read(start, end.saturating_sub(start).min(n_bytes as u64 + 1024))?;
        let mut bytes = Vec::new();
        let is_read = match member.method {
            _ if member.is_encrypted => false,
            CompressionMethod::STORE => packed[..].take(n_bytes as u64).read_to_end(&mut bytes).is_ok(),
            CompressionMethod::DEFLATE => {
                DeflateDecoder::new(&packed[..]).take(n_bytes as u64).read_to_end(&mut bytes).is_ok()
            }
            _ => false,
        };
        if is_read { Ok(bytes) } else { self.read(path, number) }
    }
}
