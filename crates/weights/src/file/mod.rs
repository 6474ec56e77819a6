//! Weight files.

mod dtype;
mod safetensors;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};

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
}

/// A file of weights, of which nothing but the names has been read.
pub(crate) struct WeightFile {
    pub(crate) path: PathBuf,
    pub(crate) source: Box<dyn Source>,
}

impl WeightFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let mut file = File::open(path).map_err(ReadError::io(path))?;
        let mut start = Vec::new();
        (&mut file).take(512).read_to_end(&mut start).map_err(ReadError::io(path))?;
        file.rewind().map_err(ReadError::io(path))?;
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

    /// Keys and name of each item.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..).map_while(|item| self.source.name(item))
    }

    /// The items `wanted`, each under the name that it is given.
    pub(crate) fn read(&mut self, wanted: Vec<(usize, String)>) -> Result<Tensors, ReadError> {
        let items: Vec<usize> = wanted.iter().map(|(item, _)| *item).collect();
        let mut tensors = Tensors::new();
        for ((_, name), stored) in wanted.into_iter().zip(self.source.read(&items)?) {
            if tensors.contains_key(&name) {
                let reason = format!("`{name}` appears twice");
                return Err(ReadError::Damaged { path: self.path.clone(), reason });
            }
            tensors.insert(name, stored);
        }
        Ok(tensors)
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
    let wanted: Vec<(usize, String)> =
        inside().filter(is_wanted).map(|item| (item, names[item].1.to_owned())).collect();
    if wanted.is_empty() {
        return Err(ReadError::NoWeights { path: path.into(), reason: "it has no named tensors".into() });
    }
    file.read(wanted)
}
