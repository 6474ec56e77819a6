//! Weight files.

mod dtype;
mod safetensors;

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::Path;

pub(crate) use self::dtype::{Counts, Dtype, Floats, decode};
pub use self::safetensors::write_safetensors;
use crate::{ReadError, Tensors, torch};

/// Reads the weights in the file at `path`: safetensors, or what PyTorch's `torch.save` writes, in its current format
/// (a zip archive) and in the format before version 1.6.
///
/// From PyTorch files, it reads the tensors under `state_dict` or `model`, or those at the top level. Pickles are
/// parsed with a list of the few names that tensors need; any other name is an error, and no code is executed. float16
/// and bfloat16 are converted to float32.
///
/// # Errors
/// If the file has another format, is damaged, or contains other types of values or code.
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
            unknown("it is a tar archive of PyTorch before version 0.2; load and save it again in PyTorch")
        }
        _ if start.len() < 9 => Err(ReadError::Truncated {
            path: path.into(),
            what: format!("it has only {} bytes, too few for a header", start.len()),
        }),
        _ => unknown("its first bytes are unknown"),
    }
}
