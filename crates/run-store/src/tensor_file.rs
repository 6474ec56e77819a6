//! Safetensors files of named tensors. Equal contents give equal bytes.
//!
//! Start at [`write()`]. The header is written here, because the metadata of the `safetensors` crate is in random order.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Serialize;

use crate::run_folder::write_whole;

/// Values written at once.
pub(crate) const CHUNK: usize = 1 << 14;

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// Floats with a shape.
    F32 {
        /// The lengths of the axes.
        shape: Vec<usize>,
        /// The values, the last axis fastest.
        values: Vec<f32>,
    },
    /// Counts.
    U64(Vec<u64>),
}

impl Stored {
    /// Whether `other` is equal, bit for bit.
    pub fn has_bits_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::F32 { shape: a_shape, values: a }, Self::F32 { shape: b_shape, values: b }) => {
                a_shape == b_shape
                    && a.iter().map(|value| value.to_bits()).eq(b.iter().map(|value| value.to_bits()))
            }
            (Self::U64(a), Self::U64(b)) => a == b,
            _ => false,
        }
    }
}

/// The type of counts in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountType {
    /// `uint64` with one axis.
    U64,
    /// As PyTorch's counters: `int64`, and a scalar for a single one.
    I64,
}

/// The longest header that is read. One has a hundred bytes for each tensor, and takes ten times as much memory when it is
/// parsed.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// What the beginning of a safetensors file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// How many bytes the file should have.
    Bytes(u64),
    /// That its header has so many bytes, more than [`MAX_HEADER_BYTES`].
    Header(u64),
    /// Nothing that can be read.
    Unclear,
}

/// The beginning of the safetensors file at `path`, and what it claims: its values are not read. A file with a hole in it can
/// be longer than any memory.
///
/// # Errors
/// If it cannot be read.
pub fn claim(path: &Path) -> io::Result<(Vec<u8>, Claim)> {
    let start = regular_files::beginning(path, 8)?;
    let Some(length) = start.first_chunk().map(|length| u64::from_le_bytes(*length)) else {
        return Ok((start, Claim::Unclear));
    };
    if length > MAX_HEADER_BYTES {
        return Ok((start, Claim::Header(length)));
    }
    let start = regular_files::beginning(path, 8 + length as usize)?;
    let header: Option<Metadata> = serde_json::from_slice(&start[8..]).ok();
    let n_bytes = header.map(|header| (header.data_len() as u64).saturating_add(8 + length));
    Ok((start, n_bytes.map_or(Claim::Unclear, Claim::Bytes)))
}

/// Writes `tensors` to `path`, completely or not at all. The last axis of a tensor is fastest.
///
/// # Errors
/// If the file cannot be written. An older one is then unchanged.
///
/// # Panics
/// If a shape does not match its values, or a tensor is named `__metadata__`, which safetensors reserves.
pub fn write(
    path: &Path,
    tensors: &BTreeMap<String, Stored>,
    metadata: &BTreeMap<&str, &str>,
    counts: CountType,
) -> io::Result<()> {
    let header = header(tensors, metadata, counts);
    write_whole(path, |file| {
        let mut writer = BufWriter::new(file);
        writer.write_all(&header)?;
        put_data(tensors, |bytes| writer.write_all(bytes))?;
        writer.flush()
    })
}

/// Everything before the data: the length of the JSON text, and the text.
pub(crate) fn header(
    tensors: &BTreeMap<String, Stored>,
    metadata: &BTreeMap<&str, &str>,
    counts: CountType,
) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Entry<'a> {
        Metadata(&'a BTreeMap<&'a str, &'a str>),
        Tensor(TensorInfo),
    }

    let mut entries = BTreeMap::from([("__metadata__", Entry::Metadata(metadata))]);
    let mut start = 0;
    for (name, stored) in in_data_order(tensors) {
        assert!(name != "__metadata__", "a tensor is named `__metadata__`, which safetensors reserves");
        let (dtype, shape, n_bytes) = match stored {
            Stored::F32 { shape, values } => {
                let n_values = shape.iter().product::<usize>();
                assert_eq!(n_values, values.len(), "the shape of `{name}` does not match its values");
                (Dtype::F32, shape.clone(), values.len() * 4)
            }
            Stored::U64(values) => {
                let (dtype, shape) = match (counts, values.len()) {
                    (CountType::U64, n) => (Dtype::U64, vec![n]),
                    (CountType::I64, 1) => (Dtype::I64, vec![]),
                    (CountType::I64, n) => (Dtype::I64, vec![n]),
                };
                (dtype, shape, values.len() * 8)
            }
        };
        let info = TensorInfo { dtype, shape, data_offsets: (start, start + n_bytes) };
        entries.insert(name, Entry::Tensor(info));
        start += n_bytes;
    }
    let mut text = serde_json::to_vec(&entries).expect("maps with text keys are JSON");
    // Data start at a multiple of 8, for readers that map the file into memory.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    header
}

/// Passes the data to `put`, part by part.
pub(crate) fn put_data(
    tensors: &BTreeMap<String, Stored>,
    mut put: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK * 8];
    for (_, stored) in in_data_order(tensors) {
        match stored {
            Stored::U64(values) => {
                for chunk in values.chunks(CHUNK) {
                    let (target, _) = bytes.as_chunks_mut();
                    target.iter_mut().zip(chunk).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
                    put(&bytes[..chunk.len() * 8])?;
                }
            }
            Stored::F32 { values, .. } => {
                for chunk in values.chunks(CHUNK) {
                    let (target, _) = bytes.as_chunks_mut();
                    target.iter_mut().zip(chunk).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
                    put(&bytes[..chunk.len() * 4])?;
                }
            }
        }
    }
    Ok(())
}

/// Counts before floats, so that all are aligned to their size; each sorted by name.
fn in_data_order(tensors: &BTreeMap<String, Stored>) -> impl Iterator<Item = (&str, &Stored)> {
    let of_kind = |counts: bool| {
        tensors
            .iter()
            .filter(move |(_, stored)| matches!(stored, Stored::U64(_)) == counts)
            .map(|(name, stored)| (name.as_str(), stored))
    };
    of_kind(true).chain(of_kind(false))
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn counts_are_of_the_type_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors = BTreeMap::from([
            ("one".into(), Stored::U64(vec![3])),
            ("two".into(), Stored::U64(vec![u64::MAX, 7])),
            ("x".into(), Stored::F32 { shape: vec![1, 2], values: vec![0.5, -1.0] }),
        ]);
        let told = |counts| {
            write(&path, &tensors, &BTreeMap::from([("key", "text")]), counts).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
            assert_eq!(header.metadata().as_ref().unwrap()["key"], "text");
            let file = SafeTensors::deserialize(&bytes).unwrap();
            ["one", "two", "x"].map(|name| {
                let view = file.tensor(name).unwrap();
                (view.dtype(), view.shape().to_vec(), view.data().to_vec())
            })
        };
        let le = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let x = (Dtype::F32, vec![1, 2], [0.5_f32.to_le_bytes(), (-1.0_f32).to_le_bytes()].concat());
        let (one, two) = (le(&[3]), le(&[u64::MAX, 7]));
        assert_eq!(
            told(CountType::U64),
            [(Dtype::U64, vec![1], one.clone()), (Dtype::U64, vec![2], two.clone()), x.clone()]
        );
        assert_eq!(told(CountType::I64), [(Dtype::I64, vec![], one), (Dtype::I64, vec![2], two), x]);
    }
}
