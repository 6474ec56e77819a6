//! Safetensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use run_store::checkpoint::Stored;
use run_store::tensor_file::{self, Claim, CountType};
use safetensors::tensor::{self, SafeTensorError, SafeTensors};

use super::{Counts, Dtype, Floats, Source, check_room, decode};
use crate::{ReadError, Tensors};

/// Writes `tensors` to `path`, completely or not at all. Equal contents give equal bytes.
///
/// Counts become PyTorch's counters: an `int64` without axes. The metadata gets `format: pt`, which tells other
/// programs that the layout is PyTorch's.
///
/// # Errors
/// If the file cannot be written. An older one is then unchanged.
///
/// # Panics
/// If a shape does not match its values, or a tensor is named `__metadata__`.
pub fn write_safetensors(
    path: &Path,
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let mut texts: BTreeMap<&str, &str> = metadata.iter().map(|(key, text)| (&**key, &**text)).collect();
    texts.insert("format", "pt");
    tensor_file::write(path, tensors, &texts, CountType::I64)
}

/// The file at `path`, whose bytes are kept.
pub(super) fn open(path: &Path) -> Result<impl Source + use<>, ReadError> {
    check_length(path)?;
    let bytes = regular_files::read(path, u64::MAX).map_err(ReadError::io(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| refused(path, &bytes, &error))?;
    let names = file.iter().map(|(name, _)| name.to_owned()).collect();
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| refused(path, &bytes, &error))?;
    let texts = header.metadata().clone().unwrap_or_default().into_iter().collect();
    Ok(SafetensorsFile { path: path.into(), bytes, names, texts })
}

/// Checks that the file is as long as its header says before it is read.
fn check_length(path: &Path) -> Result<(), ReadError> {
    let n_bytes = regular_files::open(path).map_err(ReadError::io(path))?.n_bytes;
    match tensor_file::claim(path).map_err(ReadError::io(path))? {
        (_, Claim::Header(length)) => {
            let limit = tensor_file::MAX_HEADER_BYTES;
            let what = format!("its header would have {length} bytes, more than the limit of {limit}");
            Err(ReadError::TooLarge { path: path.into(), what })
        }
        (_, Claim::Bytes(needed)) if needed != n_bytes => Err(of_other_length(path, n_bytes, needed)),
        (start, Claim::Unclear) => match SafeTensors::deserialize(&start) {
            Ok(_) => Ok(()),
            Err(error) => Err(refused(path, &start, &error)),
        },
        _ => check_room(path, n_bytes),
    }
}

fn of_other_length(path: &Path, n_bytes: u64, needed: u64) -> ReadError {
    let path = path.into();
    match needed > n_bytes {
        true => ReadError::Truncated {
            path,
            what: format!("it has {n_bytes} bytes, but its header says {needed}"),
        },
        false => ReadError::Damaged { path, reason: "it is longer than its header says".into() },
    }
}

struct SafetensorsFile {
    path: PathBuf,
    bytes: Vec<u8>,
    names: Vec<String>,
    texts: BTreeMap<String, String>,
}

impl Source for SafetensorsFile {
    fn name(&self, item: usize) -> Option<(&str, &str)> {
        self.names.get(item).map(|name| ("", name.as_str()))
    }

    fn is_inert(&self, _item: usize) -> bool {
        false
    }

    fn read(&mut self, wanted: &[usize]) -> Result<Vec<Stored>, ReadError> {
        let path = &self.path;
        let refused = |error| refused(path, &self.bytes, &error);
        let file = SafeTensors::deserialize(&self.bytes).map_err(refused)?;
        let value = |item: &usize| {
            let name = &self.names[*item];
            let view = file.tensor(name).map_err(refused)?;
            let refused =
                |dtype: String| ReadError::Dtype { path: path.clone(), tensor: name.clone(), dtype };
            let dtype = match view.dtype() {
                tensor::Dtype::F32 => Dtype::Floats(Floats::F32),
                tensor::Dtype::F16 => Dtype::Floats(Floats::F16),
                tensor::Dtype::BF16 => Dtype::Floats(Floats::Bf16),
                tensor::Dtype::I64 => Dtype::Counts(Counts::I64),
                tensor::Dtype::U64 => Dtype::Counts(Counts::U64),
                other => return Err(refused(format!("{other:?}"))),
            };
            decode(dtype, view.shape(), view.data()).map_err(|what| refused(what.into()))
        };
        wanted.iter().map(value).collect()
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }
}

fn refused(path: &Path, bytes: &[u8], error: &SafeTensorError) -> ReadError {
    let path = path.to_owned();
    match error {
        SafeTensorError::InvalidHeaderLength => {
            ReadError::Truncated { path, what: "its header is longer than the file".into() }
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            of_other_length(&path, bytes.len() as u64, needed(bytes).unwrap_or(0))
        }
        SafeTensorError::HeaderTooLarge => {
            ReadError::TooLarge { path, what: "its header would be larger than 100 MB".into() }
        }
        SafeTensorError::InvalidHeader(_) | SafeTensorError::InvalidHeaderDeserialization(_) => {
            ReadError::Unknown { path, reason: "it has no valid header".into() }
        }
        error => ReadError::Damaged { path, reason: error.to_string() },
    }
}

/// The size of a file with this header.
fn needed(bytes: &[u8]) -> Option<u64> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u64::from_le_bytes(*length);
    let text = rest.get(..usize::try_from(length).ok()?)?;
    let header: tensor::Metadata = serde_json::from_slice(text).ok()?;
    Some((header.data_len() as u64).saturating_add(8 + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Tensors {
        Tensors::from([
            (
                "weight".into(),
                Stored::F32 { shape: vec![2, 2], values: vec![1.0, -2.5, 0.0, f32::MIN_POSITIVE] },
            ),
            ("num_batches_tracked".into(), Stored::U64(vec![7])),
        ])
    }

    struct Written {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn written(bytes: impl AsRef<[u8]>) -> Written {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.safetensors");
        std::fs::write(&path, bytes).unwrap();
        Written { _folder: folder, path }
    }

    fn whole() -> Vec<u8> {
        let file = written("");
        write_safetensors(&file.path, &tensors(), &BTreeMap::from([("b".into(), "2".into())])).unwrap();
        std::fs::read(&file.path).unwrap()
    }

    fn told(bytes: impl AsRef<[u8]>) -> String {
        let file = written(bytes);
        let error = crate::read(&file.path).unwrap_err();
        assert!(error.hint().is_some());
        error.to_string().replace(&file.path.display().to_string(), "e")
    }

    #[test]
    fn what_is_written_reads_back_and_equal_contents_are_equal_bytes() {
        let bytes = whole();
        assert_eq!(crate::read(&written(&bytes).path).unwrap(), tensors());
        assert!((0..5).all(|_| whole() == bytes));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().as_ref().unwrap();
        assert_eq!((metadata["format"].as_str(), metadata["b"].as_str()), ("pt", "2"));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let count = file.tensor("num_batches_tracked").unwrap();
        assert_eq!((count.dtype(), count.shape()), (tensor::Dtype::I64, &[][..]));
    }

    #[test]
    fn the_bytes_of_a_file_stay_what_they_were() {
        let header = concat!(
            r#"{"__metadata__":{"b":"2","format":"pt"},"#,
            r#""num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"#,
            r#""weight":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}}     "#,
        );
        let mut expected =
            [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &7_u64.to_le_bytes()].concat();
        expected.extend([1.0, -2.5, 0.0, f32::MIN_POSITIVE].map(f32::to_le_bytes).as_flattened());
        assert_eq!(whole(), expected);
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = whole();
        for length in 0..bytes.len() {
            let told = told(&bytes[..length]);
            assert!(told.starts_with("`e` is truncated"), "{length} bytes: {told}");
        }
        let told = told([&bytes[..], &[0]].concat());
        assert_eq!(told, "`e` is damaged: it is longer than its header says");
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        assert!(
            told("weights, weights, weights")
                .starts_with("`e` is neither a safetensors file nor a PyTorch file")
        );
        let mut bytes = whole();
        bytes[8 + 1] = b'x';
        assert!(told(bytes).starts_with("`e` is neither a safetensors"));
        let mut bytes = whole();
        bytes[7] = 0xff;
        assert!(told(bytes).contains("bytes, more than the limit of 16777216"));
    }

    /// The file is not read before its length is found to be wrong.
    #[test]
    fn a_file_with_a_hole_takes_no_memory() {
        let file = written(whole());
        let handle = std::fs::File::options().write(true).open(&file.path).unwrap();
        // Not every file system has files of this length.
        if handle.set_len(1 << 43).is_ok() {
            let error = crate::read(&file.path).unwrap_err().to_string();
            assert!(error.ends_with("it is longer than its header says"), "{error}");
        }
    }

    #[test]
    fn a_shape_that_does_not_fit_its_bytes_is_refused() {
        let mut bytes = whole();
        let at = bytes.windows(5).position(|text| text == b"[2,2]").unwrap();
        bytes[at + 3] = b'3';
        assert!(told(bytes).starts_with("`e` is damaged: "));
    }

    fn one(dtype: tensor::Dtype, data: &[u8], n: usize) -> Vec<u8> {
        let view = tensor::TensorView::new(dtype, vec![n], data).unwrap();
        safetensors::serialize([("x", view)], None).unwrap()
    }

    #[test]
    fn halves_are_widened_and_other_types_refused() {
        let halves = one(tensor::Dtype::F16, &[0x00, 0x3e, 0x00, 0xc0], 2);
        let expected = Stored::F32 { shape: vec![2], values: vec![1.5, -2.0] };
        assert_eq!(crate::read(&written(halves).path).unwrap()["x"], expected);
        let brain = one(tensor::Dtype::BF16, &[0xc0, 0x3f, 0x00, 0xc0], 2);
        assert_eq!(crate::read(&written(brain).path).unwrap()["x"], expected);
        assert_eq!(told(one(tensor::Dtype::F64, &[0; 8], 1)), "`e`: `x` has unsupported values: F64");
        assert_eq!(told(one(tensor::Dtype::U8, &[0; 8], 8)), "`e`: `x` has unsupported values: U8");
        assert_eq!(
            told(one(tensor::Dtype::I64, &[0xff; 8], 1)),
            "`e`: `x` has unsupported values: negative counts"
        );
    }
}
