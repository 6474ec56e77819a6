//! Weight files.

mod dtype;
mod safetensors;

use std::path::{Path, PathBuf};

use plugin_api::tensor_ops::{available_host_memory, in_gib};
use run_store::checkpoint::Stored;

pub(crate) use self::dtype::{Counts, Dtype, Floats, decode};
pub use self::safetensors::write_safetensors;
use crate::{ReadError, Tensors, torch};

/// The keys under which a file of several things has its weights: those of the reference repositories and DeiT.
pub(crate) const KEYS: [&str; 2] = ["state_dict", "model"];

/// A file whose names are known, and whose values can be read.
pub(crate) trait Source {
    /// The keys that lead to the dictionary of an item, with dots between them and empty at the top, and its name in there;
    /// `None` after the last item.
    fn name(&self, item: usize) -> Option<(&str, &str)>;

    /// Whether it is no tensor, but something that only code could make.
    fn is_inert(&self, item: usize) -> bool;

    /// The values of these items, in this order.
    fn read(&mut self, wanted: &[usize]) -> Result<Vec<Stored>, ReadError>;

    /// What the file says under `key` beside its weights.
    fn metadata(&self, key: &str) -> Option<&str> {
        let _ = key;
        None
    }
}

/// A file of weights, of which nothing but the names has been read.
pub struct WeightFile {
    pub(crate) path: PathBuf,
    source: Box<dyn Source>,
}

impl WeightFile {
    /// Opens safetensors, or what PyTorch's `torch.save` writes. Pickles are parsed without executing code: see [`read`].
    ///
    /// # Errors
    /// If the file cannot be read, has another format, or is damaged.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let start = regular_files::beginning(path, 512).map_err(ReadError::io(path))?;
        let file = regular_files::open(path).map_err(ReadError::io(path))?.file;
        let unknown = |reason: &str| Err(ReadError::Unknown { path: path.into(), reason: reason.into() });
        let source: Box<dyn Source> = match start.as_slice() {
            [] => return Err(ReadError::Truncated { path: path.into(), what: "it is empty".into() }),
            [b'P', b'K', ..] => Box::new(torch::open_archive(path, file)?),
            // A pickle of protocol 2 or later.
            [0x80, 2..=5, ..] => Box::new(torch::open_stream(path, file)?),
            [_, _, _, _, _, _, _, _, b'{', ..] => Box::new(safetensors::open(path)?),
            _ if start.get(257..262) == Some(b"ustar") => {
                return unknown(
                    "it is a tar archive of PyTorch before version 0.2; load and save it again in PyTorch",
                );
            }
            _ if start.len() < 9 => {
                return Err(ReadError::Truncated {
                    path: path.into(),
                    what: format!("it has only {} bytes, too few for a header", start.len()),
                });
            }
            _ => return unknown("its first bytes are unknown"),
        };
        Ok(Self { path: path.into(), source })
    }

    /// Each name in each of the file's dictionaries, after the keys that lead to it, which have dots between them and are
    /// empty at the top.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..).map_while(|item| self.source.name(item))
    }

    /// `(H, W)` of the images that the encoder was built for, if this program has exported it.
    pub(crate) fn image_size(&self) -> Option<(usize, usize)> {
        self.source.metadata("moco-rs.export")?;
        serde_json::from_str(self.source.metadata("image_size")?).ok()
    }

    /// The backbone's config, if this program has exported it.
    pub(crate) fn backbone(&self) -> Option<String> {
        self.source.metadata("moco-rs.export")?;
        self.source.metadata("backbone").filter(|config| !config.is_empty()).map(str::to_owned)
    }

    pub(crate) fn is_inert(&self, item: usize) -> bool {
        self.source.is_inert(item)
    }

    /// The values of these items, in this order.
    pub(crate) fn read_items(&mut self, wanted: &[usize]) -> Result<Vec<Stored>, ReadError> {
        self.source.read(wanted)
    }
}

/// Checks that this machine has the memory for `n_bytes` of the file at `path`: one with a hole in it can be of any length.
pub(crate) fn check_room(path: &Path, n_bytes: u64) -> Result<(), ReadError> {
    /// What is smaller is not worth asking the system.
    const SMALL_BYTES: u64 = 1 << 26;
    let available = if n_bytes > SMALL_BYTES { available_host_memory() } else { None };
    match available {
        Some(available) if n_bytes > available => Err(ReadError::TooLarge {
            path: path.into(),
            what: format!(
                "{} of it are wanted, and this machine has {} left",
                in_gib(n_bytes),
                in_gib(available)
            ),
        }),
        _ => Ok(()),
    }
}

/// Reads the weights in the file at `path`: safetensors, or what PyTorch's `torch.save` writes, in its current format
/// (a zip archive) and in the format before version 1.6.
///
/// From PyTorch files, it reads the tensors under `state_dict` or `model`, or those at the top level. Pickles are
/// parsed, and no code is executed: names that Python would look up become values without content, which are refused in the
/// place of a tensor and passed over elsewhere. float16 and bfloat16 are converted to float32.
///
/// # Errors
/// If the file has another format, is damaged, or contains other types of values, or code in the place of a tensor.
pub fn read(path: &Path) -> Result<Tensors, ReadError> {
    let mut file = WeightFile::open(path)?;
    let names: Vec<(&str, &str)> = file.names().collect();
    let key = KEYS.into_iter().find(|key| names.iter().any(|(place, _)| place == key)).unwrap_or("");
    let inside = || (0..names.len()).filter(|item| names[*item].0 == key);
    let has_tensors = inside().any(|item| !file.source.is_inert(item));
    // Next to tensors at the top level, there may be anything.
    let is_wanted = |item: &usize| !(key.is_empty() && has_tensors && file.source.is_inert(*item));
    let wanted: Vec<usize> = inside().filter(is_wanted).collect();
    let texts: Vec<String> = wanted.iter().map(|item| names[*item].1.to_owned()).collect();
    if wanted.is_empty() {
        return Err(ReadError::NoWeights { path: path.into(), reason: "it has no named tensors".into() });
    }
    let mut tensors = Tensors::new();
    for (name, stored) in texts.into_iter().zip(file.read_items(&wanted)?) {
        if tensors.contains_key(&name) {
            return Err(ReadError::Damaged { path: path.into(), reason: format!("`{name}` appears twice") });
        }
        tensors.insert(name, stored);
    }
    Ok(tensors)
}

/// Weights that are in no file, for tests.
#[cfg(test)]
pub(crate) fn in_memory(tensors: Tensors) -> WeightFile {
    struct InMemory(Vec<(String, Stored)>);
    impl Source for InMemory {
        fn name(&self, item: usize) -> Option<(&str, &str)> {
            self.0.get(item).map(|(name, _)| ("", name.as_str()))
        }

        fn is_inert(&self, _item: usize) -> bool {
            false
        }

        fn read(&mut self, wanted: &[usize]) -> Result<Vec<Stored>, ReadError> {
            Ok(wanted.iter().map(|item| self.0[*item].1.clone()).collect())
        }
    }
    WeightFile { path: "memory".into(), source: Box::new(InMemory(tensors.into_iter().collect())) }
}
