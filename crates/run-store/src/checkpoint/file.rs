//! The file format: safetensors in a canonical form.
//!
//! The checksum is computed with 64 zeros in its own place. Reading renders the header again and compares it byte for
//! byte, so no change to a file stays unnoticed.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Cursor, Read as _, Seek, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorInfo};

use super::CheckpointError;
use crate::run_folder::write_whole;
use crate::tensor_file::{Claim, CountType, MAX_HEADER_BYTES, Stored, claim, header, put_data};

/// The metadata key that identifies a checkpoint; its value is the version of the format.
const VERSION_KEY: &str = "moco-rs.checkpoint";
const VERSION: &str = "1";
/// The metadata key of the checksum, BLAKE3 in hexadecimal.
const CHECKSUM_KEY: &str = "moco-rs.blake3";
const HEADER_TOO_LONG: &str = "its header would be too long";
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The contents of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Named tensors.
    pub tensors: BTreeMap<String, Stored>,
    /// Named texts. Keys that start with `moco-rs.` are reserved.
    pub metadata: BTreeMap<String, String>,
}

/// Writes `snapshot` to `path`. If the process is killed, the old file or the new one is complete.
///
/// # Errors
/// If the file cannot be written. An older one is then unchanged.
///
/// # Panics
/// If a shape does not match its values, or a name or key is reserved by the format.
pub fn write(path: &Path, snapshot: &Snapshot) -> Result<(), CheckpointError> {
    write_parts(path, &snapshot.tensors, &snapshot.metadata)
}

pub(super) fn write_parts(
    path: &Path,
    tensors: &BTreeMap<String, Stored>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), CheckpointError> {
    for key in metadata.keys() {
        assert!(!key.starts_with("moco-rs."), "metadata key `{key}` is reserved by the format");
    }
    write_whole(path, |file| fill(file, tensors, metadata)).map_err(CheckpointError::io("write", path))
}

/// Reads the checkpoint at `path`.
///
/// # Errors
/// If it is not a checkpoint, or is damaged.
pub fn read(path: &Path) -> Result<Snapshot, CheckpointError> {
    let io = || CheckpointError::io("read", path);
    let n_bytes = regular_files::open(path).map_err(io())?.n_bytes;
    let path_of = || path.into();
    match claim(path).map_err(io())? {
        (_, Claim::Bytes(needed)) if needed > n_bytes => {
            Err(CheckpointError::Truncated { path: path_of(), n_bytes, needed })
        }
        (_, Claim::Bytes(needed)) if needed < n_bytes => {
            Err(CheckpointError::Damaged { path: path_of(), reason: "it is longer than its header says" })
        }
        (_, Claim::Header(_)) => {
            Err(CheckpointError::NotSafetensors { path: path_of(), reason: HEADER_TOO_LONG.into() })
        }
        // What is wrong with it is in its beginning.
        (start, Claim::Unclear) => from_bytes(path, &start),
        (_, Claim::Bytes(_)) => from_bytes(path, &regular_files::read(path, n_bytes).map_err(io())?),
    }
}

/// The metadata of the checkpoint at `path`, of which nothing else is read: what is damaged further on stays unnoticed.
///
/// # Errors
/// If it is not a checkpoint.
pub fn read_metadata(path: &Path) -> Result<BTreeMap<String, String>, CheckpointError> {
    let opened = regular_files::open(path).map_err(CheckpointError::io("read", path))?;
    let regular_files::Opened { mut file, n_bytes } = opened;
    let mut length = [0; 8];
    let truncated = |needed| CheckpointError::Truncated { path: path.into(), n_bytes, needed };
    file.read_exact(&mut length).map_err(|_| truncated(8))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        let reason = HEADER_TOO_LONG.into();
        return Err(CheckpointError::NotSafetensors { path: path.into(), reason });
    }
    let mut header = vec![0; length.min(n_bytes) as usize];
    file.read_exact(&mut header).map_err(|_| truncated(8 + length))?;
    let header: safetensors::tensor::Metadata = serde_json::from_slice(&header)
        .map_err(|error| CheckpointError::NotSafetensors { path: path.into(), reason: error.to_string() })?;
    let mut metadata = header.metadata().clone().unwrap_or_default();
    match metadata.remove(VERSION_KEY) {
        Some(version) if version == VERSION => {}
        Some(found) => return Err(CheckpointError::Version { path: path.into(), found, known: VERSION }),
        None => return Err(CheckpointError::Foreign { path: path.into() }),
    }
    metadata.remove(CHECKSUM_KEY);
    Ok(metadata.into_iter().collect())
}

/// The bytes of the file that [`write()`] writes.
///
/// # Panics
/// As [`write()`].
pub fn to_bytes(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    fill(&mut bytes, &snapshot.tensors, &snapshot.metadata).expect("memory can be written");
    bytes.into_inner()
}

/// Parses a checkpoint from `bytes`; `path` is for messages.
///
/// # Errors
/// If they are no checkpoint, or damaged.
pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Snapshot, CheckpointError> {
    let (header_len, header) = parse_header(path, bytes)?;
    let mut metadata: BTreeMap<String, String> =
        header.metadata().clone().unwrap_or_default().into_iter().collect();
    let Some(version) = metadata.remove(VERSION_KEY) else {
        return Err(CheckpointError::Foreign { path: path.into() });
    };
    if version != VERSION {
        return Err(CheckpointError::Version { path: path.into(), found: version, known: VERSION });
    }
    let damaged = |reason| CheckpointError::Damaged { path: path.into(), reason };
    let checksum = metadata.remove(CHECKSUM_KEY).ok_or_else(|| damaged("its checksum is missing"))?;

    let data = &bytes[header_len..];
    let mut tensors = BTreeMap::new();
    for (name, info) in header.tensors() {
        let stored = stored(info, data).ok_or_else(|| damaged("it has values of an unexpected type"))?;
        tensors.insert(name, stored);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&render_header(&tensors, &metadata, NO_CHECKSUM)).update(data);
    if hasher.finalize().to_hex().as_str() != checksum {
        return Err(damaged("its checksum does not match its contents"));
    }
    if render_header(&tensors, &metadata, &checksum) != bytes[..header_len] {
        return Err(damaged("its header is not as it was written"));
    }
    Ok(Snapshot { tensors, metadata })
}

fn fill(
    mut file: impl Write + Seek,
    tensors: &BTreeMap<String, Stored>,
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let header = render_header(tensors, metadata, NO_CHECKSUM);
    let mut hasher = blake3::Hasher::new();
    let mut writer = BufWriter::new(&mut file);
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        writer.write_all(bytes)
    };
    put(&header)?;
    put_data(tensors, put)?;
    writer.flush()?;
    drop(writer);
    let checksum = hasher.finalize().to_hex();
    file.rewind()?;
    // The same length as before: only the checksum is another.
    file.write_all(&render_header(tensors, metadata, &checksum))
}

/// The header of a checkpoint with this checksum.
fn render_header(
    tensors: &BTreeMap<String, Stored>,
    metadata: &BTreeMap<String, String>,
    checksum: &str,
) -> Vec<u8> {
    let mut texts: BTreeMap<&str, &str> = metadata.iter().map(|(key, text)| (&**key, &**text)).collect();
    texts.extend([(VERSION_KEY, VERSION), (CHECKSUM_KEY, checksum)]);
    header(tensors, &texts, CountType::U64)
}

/// The header, and the offset of the data.
fn parse_header(
    path: &Path,
    bytes: &[u8],
) -> Result<(usize, safetensors::tensor::Metadata), CheckpointError> {
    let n_bytes = bytes.len() as u64;
    let truncated = |needed| Err(CheckpointError::Truncated { path: path.into(), n_bytes, needed });
    let foreign = |reason| Err(CheckpointError::NotSafetensors { path: path.into(), reason });
    let Some((length, rest)) = bytes.split_first_chunk() else { return truncated(8) };
    let length = u64::from_le_bytes(*length);
    if rest.first().is_some_and(|&byte| byte != b'{') {
        return foreign("it has no header".into());
    }
    match SafeTensors::read_metadata(bytes) {
        Ok((length, header)) => Ok((8 + length, header)),
        Err(SafeTensorError::HeaderTooLarge) => foreign(HEADER_TOO_LONG.into()),
        Err(SafeTensorError::InvalidHeaderLength) => truncated(length.saturating_add(8)),
        // The header is complete, but the data have another length than it says.
        Err(SafeTensorError::MetadataIncompleteBuffer) => {
            let text = &rest[..length as usize];
            let header: Option<safetensors::tensor::Metadata> = serde_json::from_slice(text).ok();
            let needed = header.map(|header| (header.data_len() as u64).saturating_add(8 + length));
            match needed {
                Some(needed) if n_bytes < needed => truncated(needed),
                _ => Err(CheckpointError::Damaged {
                    path: path.into(),
                    reason: "it is longer than its header says",
                }),
            }
        }
        Err(error) => foreign(error.to_string()),
    }
}

/// `None` for a type that no checkpoint has.
fn stored(info: &TensorInfo, data: &[u8]) -> Option<Stored> {
    let bytes = &data[info.data_offsets.0..info.data_offsets.1];
    match info.dtype {
        Dtype::F32 => {
            let values = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            Some(Stored::F32 { shape: info.shape.clone(), values })
        }
        Dtype::U64 if info.shape.len() == 1 => {
            Some(Stored::U64(bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::tensor_file::CHUNK;

    fn snapshot() -> Snapshot {
        let floats = |shape: &[usize]| Stored::F32 {
            shape: shape.to_vec(),
            values: (0..shape.iter().product()).map(|i: usize| (i as f32).sin()).collect(),
        };
        Snapshot {
            tensors: BTreeMap::from([
                ("backbone.weight".into(), floats(&[4, 3, 2])),
                ("backbone.bias".into(), floats(&[4])),
                ("Z".into(), floats(&[0, 5])),
                ("scalar".into(), floats(&[])),
                ("counts".into(), Stored::U64(vec![u64::MAX, 0, 7])),
                ("big".into(), floats(&[CHUNK + 3])),
            ]),
            metadata: BTreeMap::from([
                ("step".into(), "41".into()),
                ("pipeline".into(), "(\n  name: \"caf\u{e9}\",\n)".into()),
                ("a".into(), String::new()),
                ("seed".into(), "0".into()),
            ]),
        }
    }

    fn small() -> Snapshot {
        let mut small = snapshot();
        small.tensors.remove("big");
        small
    }

    struct Written {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn written(snapshot: &Snapshot) -> Written {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write(&path, snapshot).unwrap();
        Written { _folder: folder, path }
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was() {
        let file = written(&snapshot());
        assert_eq!(read(&file.path).unwrap(), snapshot());
        write(&file.path, &Snapshot::default()).unwrap();
        assert_eq!(read(&file.path).unwrap(), Snapshot::default());
    }

    #[test]
    fn metadata_are_read_alone() {
        let file = written(&snapshot());
        assert_eq!(read_metadata(&file.path).unwrap(), snapshot().metadata);
        let bytes = fs::read(&file.path).unwrap();
        fs::write(&file.path, &bytes[..bytes.len() - 100]).unwrap();
        assert_eq!(read_metadata(&file.path).unwrap(), snapshot().metadata, "the values are not looked at");
        for (n_bytes, expected) in [(3, "is truncated"), (20, "is truncated")] {
            fs::write(&file.path, &bytes[..n_bytes]).unwrap();
            let error = read_metadata(&file.path).unwrap_err().to_string();
            assert!(error.contains(expected), "{n_bytes}: {error}");
        }
        fs::write(&file.path, [0xff; 20]).unwrap();
        assert!(read_metadata(&file.path).unwrap_err().to_string().contains("not a safetensors file"));
    }

    #[test]
    fn every_bit_of_a_float_survives() {
        let bits = [0x7fc0_0001_u32, 0xffff_ffff, 0x8000_0000, 1, 0x7f80_0000];
        let values = bits.map(f32::from_bits).to_vec();
        let tensors = BTreeMap::from([("x".into(), Stored::F32 { shape: vec![5], values })]);
        let file = written(&Snapshot { tensors, ..Snapshot::default() });
        let Stored::F32 { values, .. } = &read(&file.path).unwrap().tensors["x"] else {
            panic!("not floats")
        };
        assert_eq!(values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(), bits);
    }

    /// BLAKE3 of the file that the first version of the format has for the contents of the test below.
    const PINNED: &str = "e979a29538c0c4a56bc52d6712c5baf6dc9583405800b35e1aca62e369497ec1";

    #[test]
    fn the_bytes_of_a_checkpoint_stay_what_they_were() {
        let values = (0..CHUNK + 3).map(|i| i as f32 / 8.0 - 9.0).collect();
        let tensors = BTreeMap::from([
            ("x".into(), Stored::F32 { shape: vec![1, CHUNK + 3], values }),
            ("a".into(), Stored::F32 { shape: vec![], values: vec![-0.5] }),
            ("one".into(), Stored::U64(vec![3])),
            ("counts".into(), Stored::U64(vec![u64::MAX, 0, 7])),
        ]);
        let file = written(&Snapshot { tensors, metadata: small().metadata });
        assert_eq!(blake3::hash(&fs::read(&file.path).unwrap()).to_hex().as_str(), PINNED);
    }

    #[test]
    fn equal_contents_are_equal_bytes() {
        let first = fs::read(written(&snapshot()).path).unwrap();
        for _ in 0..5 {
            assert!(first == fs::read(written(&snapshot()).path).unwrap());
        }
    }

    #[test]
    fn other_programs_read_it_as_safetensors_with_aligned_data() {
        let bytes = fs::read(written(&snapshot()).path).unwrap();
        let (length, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(length % 8, 0);
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(tensors.tensor("backbone.weight").unwrap().shape(), [4, 3, 2]);
        assert_eq!(tensors.tensor("counts").unwrap().data()[..8], [0xff; 8]);
        assert_eq!(header.metadata().as_ref().unwrap()["step"], "41");
        for (_, info) in header.tensors() {
            assert_eq!(info.data_offsets.0 % if info.dtype == Dtype::U64 { 8 } else { 4 }, 0);
        }
    }

    #[test]
    fn a_change_of_any_one_byte_is_refused() {
        let file = written(&small());
        let whole = fs::read(&file.path).unwrap();
        for offset in 0..whole.len() {
            for flip in [0x01, 0x20, 0x29, 0x80] {
                let mut bytes = whole.clone();
                bytes[offset] ^= flip;
                assert!(from_bytes(&file.path, &bytes).is_err(), "byte {offset} ^ {flip:#x} went unseen");
            }
        }
        assert!(from_bytes(&file.path, &whole).is_ok());
    }

    #[test]
    fn damage_to_a_value_is_called_damage() {
        let file = written(&small());
        let mut bytes = fs::read(&file.path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file.path, bytes).unwrap();
        let error = read(&file.path).unwrap_err();
        assert!(
            error.to_string().ends_with("is damaged: its checksum does not match its contents"),
            "{error}"
        );
    }

    #[test]
    fn a_header_written_another_way_is_refused() {
        let file = written(&small());
        let bytes = fs::read(&file.path).unwrap();
        let (length, header) = SafeTensors::read_metadata(&bytes).unwrap();
        // The same contents and checksum, with two more spaces of padding.
        let mut padded = ((length + 8) as u64).to_le_bytes().to_vec();
        padded.extend(&bytes[8..8 + length]);
        padded.extend([b' '; 8]);
        padded.extend(&bytes[8 + length..]);
        assert!(header.data_len() + 8 + length == bytes.len());
        fs::write(&file.path, padded).unwrap();
        assert!(matches!(read(&file.path), Err(CheckpointError::Damaged { .. })));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_as_cut_short() {
        let file = written(&small());
        let whole = fs::read(&file.path).unwrap();
        for len in 0..whole.len() {
            let error = from_bytes(&file.path, &whole[..len]).unwrap_err();
            let CheckpointError::Truncated { n_bytes, needed, .. } = error else {
                panic!("{len} bytes: {error}")
            };
            assert!(n_bytes == len as u64 && needed > n_bytes && needed <= whole.len() as u64);
        }
    }

    #[test]
    fn a_file_with_something_behind_it_is_refused() {
        let file = written(&small());
        let mut bytes = fs::read(&file.path).unwrap();
        bytes.push(0);
        fs::write(&file.path, bytes).unwrap();
        let error = read(&file.path).unwrap_err();
        assert!(error.to_string().ends_with("it is longer than its header says"), "{error}");
    }

    #[test]
    fn foreign_files_are_told_from_damaged_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let data = 1.0_f32.to_le_bytes();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![1], &data).unwrap();
        let metadata = [("format".to_owned(), "pt".to_owned())].into_iter().collect();
        fs::write(&path, safetensors::serialize([("w", view)], Some(metadata)).unwrap()).unwrap();
        assert!(matches!(read(&path), Err(CheckpointError::Foreign { .. })));
        fs::write(&path, b"\x89PNG\r\n\x1a\n and so on").unwrap();
        assert!(matches!(read(&path), Err(CheckpointError::NotSafetensors { .. })));
        fs::write(&path, b"\x02\0\0\0\0\0\0\0{]").unwrap();
        assert!(matches!(read(&path), Err(CheckpointError::NotSafetensors { .. })));
        let error = read(&folder.path().join("none")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn pipes_devices_and_holes_are_no_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&pipe, Path::new("/dev/zero")] {
            assert!(read(path).unwrap_err().to_string().contains("not a regular file"));
            assert!(read_metadata(path).unwrap_err().to_string().contains("not a regular file"));
        }
        // Of nothing else than a length, and behind a checkpoint.
        let file = written(&small());
        for (path, reason) in
            [(folder.path().join("hole"), "is not a safetensors file"), (file.path.clone(), "is damaged")]
        {
            let handle = fs::File::options().write(true).create(true).truncate(false).open(&path).unwrap();
            if handle.set_len(1 << 43).is_ok() {
                let error = read(&path).unwrap_err().to_string();
                assert!(error.contains(reason), "{error}");
            }
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let file = written(&small());
        let mut bytes = fs::read(&file.path).unwrap();
        let key = format!("\"{VERSION_KEY}\":\"");
        let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).unwrap();
        bytes[at + key.len()] = b'2';
        fs::write(&file.path, bytes).unwrap();
        let error = read(&file.path).unwrap_err();
        assert!(error.to_string().contains("format version `2`"), "{error}");
        assert!(error.hint().is_some());
    }
}
