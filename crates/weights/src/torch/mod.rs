//! PyTorch files.
//!
//! A file is a pickle, which names storages, and the bytes of the storages. [`pickle`] parses the pickle into an arena
//! of values without executing it; [`contents`] finds the tensors in it; [`archive`] and [`stream`] find the bytes, in
//! a zip archive or after the pickle; [`values`] reads them.

mod archive;
mod contents;
mod kind;
#[cfg(test)]
mod mutations;
mod opcode;
mod pickle;
mod stream;
mod value;
mod values;

pub(crate) use self::archive::open_archive;
pub(crate) use self::stream::open_stream;
