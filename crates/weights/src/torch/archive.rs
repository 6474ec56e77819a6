//! The format of PyTorch 1.6 and later: a zip archive with the pickle and one file per storage.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use super::contents::contents;
use super::pickle::read_pickle;
use super::value::Storage;
use super::values::{self, Storages, TorchFile};
use crate::ReadError;
use crate::file::Source;

/// The archive `file` at `path`.
pub(crate) fn open_archive(path: &Path, file: File) -> Result<impl Source + use<>, ReadError> {
    let n_bytes = file.metadata().map_err(ReadError::io(path))?.len();
    // `torch.save` puts nothing before the archive. To look for its beginning is to find a wrong one where an entry of the
    // directory has the length of the record at its end: that depends on the name which the file was saved under.
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let archive = ZipArchive::with_config(config, BufReader::new(file)).map_err(|error| match error {
        ZipError::Io(reason) => ReadError::io(path)(reason),
        // The directory is at the end, and so the first thing that a cut file lacks.
        ZipError::InvalidArchive(reason) if reason.starts_with("Could not find") => {
            ReadError::Truncated { path: path.into(), what: "its zip directory is missing".into() }
        }
        error => ReadError::Damaged { path: path.into(), reason: format!("its zip directory: {error}") },
    })?;
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    let Some(root) = names.iter().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_owned) else {
        return Err(ReadError::Unknown {
            path: path.into(),
            reason: "it is a zip archive without `data.pkl`".into(),
        });
    };
    let mut archive = Archive { path: path.into(), archive, root, n_bytes };
    archive.check_byte_order()?;
    let (arena, top) = {
        let mut entry = archive.entry("data.pkl")?;
        read_pickle(&mut BufReader::new(&mut entry)).map_err(values::refused(path))?
    };
    let items = contents(path, &arena, top)?;
    Ok(TorchFile { path: path.into(), items, storages: archive, n_bytes })
}

struct Archive {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    /// The folder in the archive that contains everything.
    root: String,
    n_bytes: u64,
}

impl Archive {
    /// The entry called `name`, which must not be compressed: `torch.save` compresses nothing, and compressed data can
    /// be larger than the file.
    fn entry(&mut self, name: &str) -> Result<zip::read::ZipFile<'_, BufReader<File>>, ReadError> {
        let path = self.path.clone();
        let name = format!("{}{name}", self.root);
        match self.archive.by_name(&name) {
            Ok(entry) if entry.compression() != zip::CompressionMethod::Stored => {
                Err(ReadError::TooLarge { path, what: format!("`{name}` in it is compressed") })
            }
            Ok(entry) if entry.size() > self.n_bytes => Err(ReadError::TooLarge {
                path,
                what: format!("`{name}` in it would have {} bytes", entry.size()),
            }),
            Ok(entry) => Ok(entry),
            Err(ZipError::FileNotFound) => {
                Err(ReadError::Truncated { path, what: format!("it has no `{name}`") })
            }
            Err(ZipError::Io(reason)) => Err(ReadError::io(&path)(reason)),
            Err(ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_)) => {
                Err(ReadError::TooLarge { path, what: format!("`{name}` in it is compressed or encrypted") })
            }
            Err(error) => Err(ReadError::Damaged { path, reason: error.to_string() }),
        }
    }

    /// Archives from before PyTorch 2.1 do not have it.
    fn check_byte_order(&mut self) -> Result<(), ReadError> {
        let path = &self.path.clone();
        let mut order = String::new();
        match self.entry("byteorder") {
            Ok(mut entry) => {
                (&mut entry).take(16).read_to_string(&mut order).map_err(ReadError::io(path))?;
            }
            Err(ReadError::Truncated { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        match order.trim() {
            "little" => Ok(()),
            order => Err(ReadError::Unknown {
                path: path.into(),
                reason: format!("its byte order is `{order}`, and only `little` is supported"),
            }),
        }
    }
}

impl Storages for Archive {
    fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, ReadError> {
        let path = &self.path.clone();
        let length = values::length(path, storage, self.n_bytes)?;
        let mut entry = self.entry(&format!("data/{}", storage.key))?;
        if entry.size() < length as u64 {
            return Err(ReadError::Truncated {
                path: path.into(),
                what: format!("storage `{}` has {} bytes instead of {length}", storage.key, entry.size()),
            });
        }
        // To its end, where its checksum is verified. It is no longer than the file.
        let mut bytes = values::room(path, length)?;
        entry.read_to_end(&mut bytes).map_err(|reason| match reason.kind() {
            std::io::ErrorKind::UnexpectedEof => ReadError::io(path)(reason),
            _ => ReadError::Damaged {
                path: path.into(),
                reason: format!("storage `{}`: {reason}", storage.key),
            },
        })?;
        bytes.truncate(length);
        Ok(bytes)
    }
}
