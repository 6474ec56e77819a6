//! The first directory of a TIFF or BigTIFF file (Adobe, TIFF revision 6.0), and how many follow.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

/// More strips or tiles than this are refused: their table alone would take more memory than most images.
const MAX_VALUES: u64 = 1 << 22;

/// Tags (same source, and the supplements of Adobe and libtiff).
pub(super) mod tag {
    pub(in super::super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_LENGTHS: u16 = 279;
    pub(in super::super) const PLANAR: u16 = 284;
    pub(in super::super) const PALETTE: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_LENGTHS: u16 = 325;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const SUBSAMPLING: u16 = 530;
}

/// The numbers of a directory.
pub(super) struct Directory<'a> {
    file: File<'a>,
    entries: BTreeMap<u16, Entry>,
    /// Where the next directory is; 0 if there is none.
    next: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    kind: u16,
    count: u64,
    /// Where the values are: within the entry if they fit.
    at: usize,
}

#[derive(Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    is_big_tiff: bool,
}

impl<'a> Directory<'a> {
    /// The first directory.
    ///
    /// # Errors
    /// If it is not there, or has values that are not there.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Self, String> {
        let file = File {
            bytes,
            is_big_endian: bytes.starts_with(b"MM"),
            is_big_tiff: matches!(bytes.get(2..4), Some(b"+\0" | b"\0+")),
        };
        let at = if file.is_big_tiff { file.number(8, 8)? } else { file.number(4, 4)? };
        Self::read(file, at)
    }

    fn read(file: File<'a>, at: u64) -> Result<Self, String> {
        let at = usize::try_from(at).map_err(|_| TRUNCATED)?;
        let (n_count, n_entry, n_value) = if file.is_big_tiff { (8, 20, 8) } else { (2, 12, 4) };
        let n_entries = file.number(at, n_count)?;
        // A count that the file cannot hold ends at the first entry that is not there.
        let mut entries = BTreeMap::new();
        let mut entry = at + n_count;
        for _ in 0..n_entries {
            let tag = file.number(entry, 2)? as u16;
            let kind = file.number(entry + 2, 2)? as u16;
            let count = file.number(entry + 4, n_value)?;
            let n_bytes = count.checked_mul(size_of_kind(kind)).ok_or(TRUNCATED)?;
            let value = entry + 4 + n_value;
            let at = if n_bytes <= n_value as u64 { value as u64 } else { file.number(value, n_value)? };
            if at.checked_add(n_bytes).is_none_or(|end| end > file.bytes.len() as u64) {
                return Err(TRUNCATED.into());
            }
            // Of a tag that comes twice, the decoder takes the last one.
            entries.insert(tag, Entry { kind, count, at: at as usize });
            entry += n_entry;
        }
        let next = file.number(entry, n_value).unwrap_or(0);
        Ok(Self { file, entries, next })
    }

    /// The values of a tag; none if it is not there.
    ///
    /// # Errors
    /// If they are no whole numbers, or too many.
    pub(super) fn numbers(&self, tag: u16) -> Result<Vec<u64>, String> {
        let Some(&Entry { kind, count, at }) = self.entries.get(&tag) else { return Ok(Vec::new()) };
        let size = match kind {
            // Bytes, words, and long ones of 4 and 8 bytes, with and without a sign.
            1 | 3 | 4 | 16 => size_of_kind(kind) as usize,
            _ => return Err(format!("damaged TIFF: the values of tag {tag} are no whole numbers")),
        };
        if count > MAX_VALUES {
            return Err(format!("the TIFF file has {count} values of tag {tag}, more than {MAX_VALUES}"));
        }
        (0..count as usize).map(|i| self.file.number(at + i * size, size)).collect()
    }

    /// The only value of a tag, or the first.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, String> {
        Ok(self.numbers(tag)?.first().copied())
    }

    /// Where the one value of a tag is in the file, if it has two bytes.
    pub(super) fn place_of_word(&self, tag: u16) -> Option<usize> {
        self.entries.get(&tag).filter(|entry| entry.kind == 3 && entry.count == 1).map(|entry| entry.at)
    }

    /// Two bytes as the file orders them.
    pub(super) fn word_bytes(&self, word: u16) -> [u8; 2] {
        if self.file.is_big_endian { word.to_be_bytes() } else { word.to_le_bytes() }
    }

    fn next(&self) -> Option<Self> {
        (self.next != 0).then(|| Self::read(self.file, self.next).ok()).flatten()
    }

    /// Whether it is a page: no thumbnail, no smaller version of another, no mask.
    fn is_page(&self) -> bool {
        self.number(tag::NEW_SUBFILE_TYPE).is_ok_and(|kind| kind.unwrap_or(0) & 5 == 0)
    }
}

const TRUNCATED: &str = "the TIFF file is truncated";

/// How many pages a file has; 0 if it is no TIFF file.
pub(super) fn n_pages(bytes: &[u8]) -> usize {
    // A chain that leads back has more entries than there is room for.
    let mut n_left = bytes.len() / 12;
    let chain = std::iter::successors(Directory::first(bytes).ok(), Directory::next);
    let has_room = |directory: &Directory<'_>| {
        n_left = n_left.saturating_sub(directory.entries.len().max(1));
        n_left > 0
    };
    chain.take_while(has_room).filter(Directory::is_page).count()
}

impl File<'_> {
    /// The number of `n` bytes at a place.
    fn number(&self, at: usize, n: usize) -> Result<u64, String> {
        let bytes = at.checked_add(n).and_then(|end| self.bytes.get(at..end)).ok_or(TRUNCATED)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Ok(if self.is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }
}

/// Bytes of one value; 1 for kinds that do not exist.
fn size_of_kind(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 1,
    }
}

/// A file in which two bytes are others.
///
/// The decoder refuses photometric interpretations that it cannot convert; here it is told that there is nothing to
/// convert.
pub(super) struct Amended<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) place: usize,
    pub(super) amended: [u8; 2],
    pub(super) position: u64,
}

impl Read for Amended<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = usize::try_from(self.position).unwrap_or(usize::MAX).min(self.bytes.len());
        let n = buffer.len().min(self.bytes.len() - start);
        buffer[..n].copy_from_slice(&self.bytes[start..start + n]);
        for (i, byte) in self.amended.into_iter().enumerate() {
            if let Some(at) = (self.place + i).checked_sub(start).filter(|&at| at < n) {
                buffer[at] = byte;
            }
        }
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for Amended<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let from = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => (self.bytes.len() as u64).checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = from.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
