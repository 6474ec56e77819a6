//! A Parquet file as its crate reads it, from many threads at once.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::MAX_PAGE_BYTES;
use crate::positioned::{buffer, read_exact_at};

/// Bytes that headers are read in: no page of data is fetched for its header.
const AHEAD_BYTES: usize = 8 << 10;

/// An open file.
#[derive(Clone)]
pub(super) struct Source {
    file: Arc<File>,
    n_bytes: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let regular_files::Opened { file, n_bytes } = regular_files::open(path)?;
        Ok(Self { file: Arc::new(file), n_bytes })
    }

    /// `n` bytes from `start`, or those up to the end of the file.
    pub(super) fn up_to(&self, start: u64, n: usize) -> io::Result<Vec<u8>> {
        let n = self.n_bytes.saturating_sub(start).min(n as u64) as usize;
        let mut bytes = buffer(n)?;
        read_exact_at(&self.file, &mut bytes, start)?;
        Ok(bytes)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.n_bytes
    }
}

impl ChunkReader for Source {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(BufReader::with_capacity(AHEAD_BYTES, From { source: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, n: usize) -> Result<Bytes> {
        let is_within = start.checked_add(n as u64).is_some_and(|end| end <= self.n_bytes);
        if !is_within || n > MAX_PAGE_BYTES {
            return Err(ParquetError::General(format!("{n} bytes are not in the file at {start}")));
        }
        Ok(self.up_to(start, n)?.into())
    }
}

/// The bytes of a file from a place on. Other readers do not move it.
pub(super) struct From {
    source: Source,
    at: u64,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.source.n_bytes.saturating_sub(self.at).min(into.len() as u64) as usize;
        read_exact_at(&self.source.file, &mut into[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
