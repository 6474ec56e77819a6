//! PyTorch files.
//!
//! A file is a pickle, which names storages, and the bytes of the storages. [`pickle`] parses the pickle into an arena
//! of values without executing it; [`weights`] finds the tensors in it; [`archive`] and [`stream`] read the bytes, from
//! a zip archive or from after the pickle.

mod archive;
mod opcode;
mod pickle;
mod stream;
mod value;
mod weights;

pub(crate) use self::archive::read_archive;
pub(crate) use self::stream::read_stream;
