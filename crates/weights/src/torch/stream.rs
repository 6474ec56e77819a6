//! The format before PyTorch 1.6: five pickles, then the storages, each with its length before it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::contents::contents;
use super::pickle::read_pickle;
use super::value::{Arena, Id, Storage, Value};
use super::values::{self, Storages, TorchFile};
use crate::ReadError;
use crate::file::Source;

/// The first pickle: `0x1950a86a20f9469cfc6c`.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const VERSION: i64 = 1001;

/// The `file` at `path`.
pub(crate) fn open_stream(path: &Path, file: File) -> Result<impl Source + use<>, ReadError> {
    let n_bytes = file.metadata().map_err(ReadError::io(path))?.len();
    let mut reader = BufReader::new(file);
    let mut next = || read_pickle(&mut reader).map_err(values::refused(path));
    let unknown = |reason: &str| ReadError::Unknown { path: path.into(), reason: reason.into() };
    let (arena, magic) = next()?;
    if arena[magic] != Value::Long(MAGIC.to_vec()) {
        return Err(unknown("it is a pickle, but not one that `torch.save` wrote"));
    }
    let (arena, version) = next()?;
    if arena[version] != Value::Int(VERSION) {
        return Err(unknown("its version is not 1001, the only one that exists"));
    }
    let (arena, system) = next()?;
    if !is_little_endian(&arena, system) {
        return Err(unknown("its byte order is not little-endian"));
    }
    let (arena, top) = next()?;
    let (key_arena, keys) = next()?;
    let sizes = sizes(&arena);
    let mut places = HashMap::new();
    for key in texts(&key_arena, keys).ok_or_else(|| unknown("it has no list of storages"))? {
        let mut length = [0; 8];
        reader.read_exact(&mut length).map_err(ReadError::io(path))?;
        let n = u64::from_le_bytes(length);
        let start = reader.stream_position().map_err(ReadError::io(path))?;
        // The type of an unreferenced storage is unknown.
        let Some(size) = sizes.get(key) else { return Err(unknown("it has a storage that no tensor is in")) };
        let end = n.checked_mul(*size as u64).and_then(|n| start.checked_add(n));
        let end = end.filter(|end| *end <= n_bytes).ok_or_else(|| ReadError::Truncated {
            path: path.into(),
            what: format!("storage `{key}` of {n} values does not end before the file does"),
        })?;
        places.insert(key.to_owned(), (start, n));
        reader.seek(SeekFrom::Start(end)).map_err(ReadError::io(path))?;
    }
    let items = contents(path, &arena, top)?;
    let storages = Behind { path: path.into(), reader, places, n_bytes };
    Ok(TorchFile { path: path.into(), items, storages, n_bytes })
}

fn is_little_endian(arena: &Arena, system: Id) -> bool {
    let Value::Dict(items) = &arena[system] else { return false };
    items.iter().any(|(key, value)| {
        arena[*key] == Value::Text("little_endian".into()) && arena[*value] == Value::Bool(true)
    })
}

/// The bytes per value of each storage, by key.
fn sizes(arena: &Arena) -> HashMap<&str, usize> {
    let storages = arena.iter().filter_map(|value| match value {
        Value::Storage(storage) => Some((&*storage.key, storage.of.n_bytes())),
        _ => None,
    });
    storages.collect()
}

fn texts(arena: &Arena, list: Id) -> Option<Vec<&str>> {
    let Value::List(items) = &arena[list] else { return None };
    let text = |item: &Id| match &arena[*item] {
        Value::Text(text) => Some(&**text),
        _ => None,
    };
    items.iter().map(text).collect()
}

/// The storages after the pickles.
struct Behind {
    path: PathBuf,
    reader: BufReader<File>,
    /// Offset and number of values, by key.
    places: HashMap<String, (u64, u64)>,
    n_bytes: u64,
}

impl Storages for Behind {
    fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, ReadError> {
        let length = values::length(&self.path, storage, self.n_bytes)?;
        let missing = |what: String| ReadError::Truncated { path: self.path.clone(), what };
        let &(start, n) = self
            .places
            .get(&*storage.key)
            .ok_or_else(|| missing(format!("it has no storage `{}`", storage.key)))?;
        if n < storage.n as u64 {
            return Err(missing(format!(
                "storage `{}` has {n} values instead of {}",
                storage.key, storage.n
            )));
        }
        self.reader.seek(SeekFrom::Start(start)).map_err(ReadError::io(&self.path))?;
        let mut bytes = values::room(&self.path, length)?;
        bytes.resize(length, 0);
        self.reader.read_exact(&mut bytes).map_err(ReadError::io(&self.path))?;
        Ok(bytes)
    }
}
