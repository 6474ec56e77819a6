//! Zip files.

use std::path::Path;

use flate2::read::DeflateDecoder;
use plugin_api::{DatasetError, DecodingScope};
use rawzip::{CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder};

use super::file::{SharedFile, read_all};
use super::{Member, MemberKind};
use crate::decode::MAX_FILE_BYTES;
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
        let mut members = Vec::new();
        let mut entries = archive.entries(&mut buffer);
        loop {
            match entries.next_entry() {
                Ok(Some(entry)) => {
                    let path = entry.file_path();
                    let kind = if entry.is_dir() { MemberKind::Folder } else { MemberKind::File };
                    let member = Member { path: path.as_ref(), kind };
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
}
