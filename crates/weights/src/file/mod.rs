//! Files of weights.

mod dtype;
mod safetensors;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

pub(crate) use self::dtype::{Counts, Dtype, Floats, decode};
pub use self::safetensors::write_safetensors;
use crate::{ReadError, Tensors, torch};

/// The weights in the file at `path`: safetensors, or what PyTorch's `torch.save` writes, in its present format (a zip
/// archive) and in that of before version 1.6.
///
/// Of PyTorch's files the tensors under `state_dict` or `model` are taken, or those at the top. Their pickles are read
/// with a list of the few names that tensors need; whatever else a pickle asks for is refused, and nothing is run.
/// Halves and bfloat16 are widened to float32.
///
/// # Errors
/// If the file is of another format, damaged, or holds other types of values, or code.
pub fn read(path: &Path) -> Result<Tensors, ReadError> {
    let mut file = File::open(path).map_err(ReadError::io(path))?;
    let mut start = Vec::new();
    (&mut file).take(512).read_to_end(&mut start).map_err(ReadError::io(path))?;
    file.rewind().map_err(ReadError::io(path))?;
    let unknown = |reason: &str| Err(ReadError::Unknown { path: path.into(), reason: reason.into() });
    match start.as_slice() {
        [] => Err(ReadError::Truncated { path: path.into(), what: "it is empty".into() }),
        [b'P', b'K', ..] => torch::read_archive(path, file),
        // A pickle of protocol 2 or later.
        [0x80, 2..=5, ..] => torch::read_stream(path, file),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(path),
        _ if start.get(257..262) == Some(b"ustar") => {
            unknown("it is a tar archive, as PyTorch wrote before version 0.2; load and save it in PyTorch")
        }
        _ if start.len() < 9 => Err(ReadError::Truncated {
            path: path.into(),
            what: format!("it has {} bytes, which is too few for any header", start.len()),
        }),
        _ => unknown("its first bytes belong to neither"),
    }
}
