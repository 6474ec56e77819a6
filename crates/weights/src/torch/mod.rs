//! Files of PyTorch.
//!
//! A file is a pickle, which names storages, and the storages' bytes. [`pickle`] reads the pickle into an arena of values
//! without running it; [`weights`] finds the tensors in it; [`archive`] and [`stream`] are where the bytes lie: in a zip
//! archive, or behind the pickle.

mod archive;
mod opcode;
mod pickle;
mod stream;
mod value;
mod weights;

pub(crate) use self::archive::read_archive;
pub(crate) use self::stream::read_stream;
