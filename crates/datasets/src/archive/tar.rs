//! Tar files without compression.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use plugin_api::DatasetError;

use super::file::SharedFile;
use super::{Member, MemberKind, named};
use crate::places::error;
use crate::store::Store;

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
        let cannot = |failure: std::io::Error| {
            error(path, format!("the tar file cannot be read: {failure}"), "copy or pack it again")
        };
        let file = File::open(path).map_err(cannot)?;
        let shared = file.try_clone().and_then(SharedFile::new).map_err(cannot)?;
        let mut archive = ::tar::Archive::new(BufReader::with_capacity(1 << 12, file));
        let mut members = Vec::new();
        let mut last = String::new();
        for entry in archive.entries_with_seek().map_err(cannot)? {
            let entry = match entry {
                Ok(entry) => entry,
                Err(failure) if members.is_empty() => return Err(cannot(failure)),
                Err(failure) => {
                    notes.push(format!("the tar file is damaged or cut after {last}: {failure}"));
                    break;
                }
            };
            let kind = match entry.header().entry_type() {
                kind if kind.is_file() || kind.is_contiguous() => MemberKind::File,
                kind if kind.is_dir() => MemberKind::Folder,
                _ => MemberKind::Other,
            };
            let path = entry.path_bytes();
            last = named(&path);
            // A file whose end is missing is an image that cannot be read.
            members.push((entry.raw_file_position(), entry.size()));
            add(Member { path: &path, kind }, members.len() as u32 - 1);
        }
        Ok(Self { file: shared, members })
    }
}

impl Store for TarFile {
    fn read(&self, _path: &[u8], number: u32) -> Result<Vec<u8>, String> {
        let (start, n) = self.members[number as usize];
        self.file.read(start, n)
    }
}
