//! The headers of a Parquet file's pages, as far as they tell where a page ends and what it takes.
//!
//! The parquet crate reads pages, but does not tell beforehand how large they become; a few bytes may claim two gigabytes.
//! The layout is that of Thrift's compact protocol and of `PageHeader` in Parquet's `parquet.thrift`.

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    Data,
    Dictionary,
}

/// The header of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    /// Bytes of the header itself.
    pub(super) n_header_bytes: usize,
    /// Bytes of the page that follow it in the file.
    pub(super) n_packed_bytes: usize,
    /// Bytes of the page in memory.
    pub(super) n_bytes: usize,
    /// Values and gaps: the rows of a column that is no list.
    pub(super) n_values: usize,
    /// How values are encoded, by its number in the format.
    pub(super) encoding: usize,
}

/// Thrift's types by their numbers in the compact protocol.
mod kinds {
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const INTEGERS: std::ops::RangeInclusive<u8> = 4..=6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const STRUCT: u8 = 12;
}

/// Deeper structures are none of Parquet's.
const MAX_DEPTH: usize = 8;

/// The highest number of a field in the headers.
const MAX_FIELD: i64 = 8;
const I32: u8 = 5;

impl PageHeader {
    /// The header at the start of `bytes`; `None` if there is none, or it is longer than `bytes`.
    ///
    /// What the crate may read otherwise is no header: fields that come twice, out of order or with another type, and a part that
    /// is not that of the page's kind.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Compact { bytes, at: 0 };
        let (mut kind, mut n_packed_bytes, mut n_bytes, mut part) = (None, None, None, None);
        let mut last = 0;
        while let Some((field, of_kind)) = reader.next_field(&mut last)? {
            match (field, of_kind) {
                (1, I32) => kind = Some(reader.number()?),
                (2, I32) => n_bytes = Some(reader.number()?),
                (3, I32) => n_packed_bytes = Some(reader.number()?),
                (4, I32) => reader.skip(I32, 0)?,
                (5 | 7 | 8, kinds::STRUCT) if part.is_none() => {
                    part = Some((field, reader.values(if field == 8 { 4 } else { 2 })?));
                }
                _ => return None,
            }
        }
        let (kind, expected) = match kind? {
            0 => (PageKind::Data, 5),
            2 => (PageKind::Dictionary, 7),
            3 => (PageKind::Data, 8),
            _ => return None,
        };
        let (_, (n_values, encoding)) = part.filter(|(field, _)| *field == expected)?;
        Some(Self {
            kind,
            n_header_bytes: reader.at,
            n_packed_bytes: n_packed_bytes?,
            n_bytes: n_bytes?,
            n_values,
            encoding,
        })
    }
}

/// Bytes in Thrift's compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn pass(&mut self, n: usize) -> Option<()> {
        self.at = self.at.checked_add(n).filter(|&at| at <= self.bytes.len())?;
        Some(())
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number that is a length or a count: 0 or more.
    fn number(&mut self) -> Option<usize> {
        let zigzag = self.varint()?;
        if zigzag & 1 == 1 { None } else { usize::try_from(zigzag >> 1).ok() }
    }

    /// The next field of a structure and its kind; `None` within at its end. `last` is the number of the field before.
    fn field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let byte = self.byte()?;
        let kind = byte & 0x0f;
        if kind == 0 {
            return Some(None);
        }
        *last = match byte >> 4 {
            0 => {
                let zigzag = self.varint()?;
                (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64)
            }
            step => last.checked_add(i64::from(step))?,
        };
        Some(Some((*last, kind)))
    }

    /// The next field of a header, of which each has a higher number than the one before.
    fn next_field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let before = *last;
        match self.field(last)? {
            Some((field, _)) if field <= before || field > MAX_FIELD => None,
            found => Some(found),
        }
    }

    /// The number of values and their encoding, which is in `encoding_field`, of the part of a header for a kind of page.
    fn values(&mut self, encoding_field: i64) -> Option<(usize, usize)> {
        let (mut n_values, mut encoding, mut last) = (None, None, 0);
        while let Some((field, kind)) = self.next_field(&mut last)? {
            match (field, kind) {
                (1, I32) => n_values = Some(self.number()?),
                (field, I32) if field == encoding_field => encoding = Some(self.number()?),
                (field, _) if field == 1 || field == encoding_field => return None,
                (_, kind) => self.skip(kind, 0)?,
            }
        }
        n_values.zip(encoding)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            kinds::TRUE | kinds::FALSE => Some(()),
            kinds::BYTE => self.pass(1),
            kind if kinds::INTEGERS.contains(&kind) => self.varint().map(|_| ()),
            kinds::DOUBLE => self.pass(8),
            kinds::BINARY => {
                let n = self.varint()?;
                self.pass(usize::try_from(n).ok()?)
            }
            _ if depth == MAX_DEPTH => None,
            kinds::STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            kinds::LIST | kinds::SET => {
                let head = self.byte()?;
                let n = if head >> 4 == 0x0f { self.varint()? } else { u64::from(head >> 4) };
                (0..n).try_for_each(|_| self.skip_element(head & 0x0f, depth + 1))
            }
            kinds::MAP => {
                let n = self.varint()?;
                if n == 0 {
                    return Some(());
                }
                let head = self.byte()?;
                (0..n).try_for_each(|_| {
                    self.skip_element(head >> 4, depth + 1)?;
                    self.skip_element(head & 0x0f, depth + 1)
                })
            }
            _ => None,
        }
    }

    /// In lists a truth value takes a byte, so that no element takes none and a long list ends with the bytes.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, kinds::TRUE | kinds::FALSE) { self.pass(1) } else { self.skip(kind, depth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as pyarrow writes it: version 1, with statistics.
    const HEADER: [u8; 26] = [
        0x15, 0x00, // type: data page
        0x15, 0xd0, 0x0f, // 1,000 bytes
        0x15, 0x90, 0x03, // 200 bytes in the file
        0x2c, // data_page_header
        0x15, 0x0e, // 7 values
        0x15, 0x00, // plain
        0x15, 0x06, // levels in runs
        0x15, 0x06, //
        0x1c, // statistics
        0x18, 0x03, b'm', b'a', b'x', // max
        0x00, // end of the statistics
        0x00, // end of the data page's header
        0x00, // end
    ];

    #[test]
    fn a_header_is_read_with_all_that_it_passes_over() {
        let expected = PageHeader {
            kind: PageKind::Data,
            n_header_bytes: HEADER.len(),
            n_packed_bytes: 200,
            n_bytes: 1000,
            n_values: 7,
            encoding: 0,
        };
        let followed: Vec<u8> = HEADER.iter().copied().chain([1, 2, 3]).collect();
        assert_eq!(PageHeader::read(&followed), Some(expected));
        for cut in 0..HEADER.len() {
            assert_eq!(PageHeader::read(&HEADER[..cut]), None, "{cut} bytes");
        }
    }

    #[test]
    fn no_bytes_make_it_run_for_ever_or_overflow() {
        let deep: Vec<u8> = std::iter::repeat_n(0x1c, 4096).collect();
        assert_eq!(PageHeader::read(&deep), None);
        // A list of 2^63 truth values, a binary of as many bytes, and a negative length.
        let count = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        for start in [&[0x19, 0xf1][..], &[0x18]] {
            let bytes: Vec<u8> = start.iter().chain(&count).copied().collect();
            assert_eq!(PageHeader::read(&bytes), None);
        }
        assert_eq!(PageHeader::read(&[0x15, 0x00, 0x15, 0x01, 0x15, 0x02, 0x00]), None);
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_no_header() {
        // A dictionary of 7 values, and behind it what differs.
        let header = |more: &[u8]| {
            [&[0x15, 0x04, 0x15, 0x20, 0x15, 0x20, 0x4c, 0x15, 0x0e, 0x15, 0x00, 0x00][..], more].concat()
        };
        let plain = PageHeader::read(&header(&[0x00])).unwrap();
        assert_eq!((plain.kind, plain.n_values), (PageKind::Dictionary, 7));
        for (what, more) in [
            ("the part of another page as well", &[0x1c, 0x15, 0x02, 0x35, 0x00, 0x00, 0x00][..]),
            ("the size again", &[0x05, 0x04, 0x7e, 0x00]),
            ("the size again, as another integer", &[0x06, 0x04, 0x7e, 0x00]),
            ("a field beyond the last", &[0x25, 0x02, 0x00]),
        ] {
            assert_eq!(PageHeader::read(&header(more)), None, "{what}");
        }
        let mut other = header(&[0x00]);
        // The part of a dictionary in a data page, a size of 64 bits, an index.
        for (at, byte) in [(1, 0x00), (2, 0x16), (1, 0x02)] {
            let before = std::mem::replace(&mut other[at], byte);
            assert_eq!(PageHeader::read(&other), None, "{at}");
            other[at] = before;
        }
    }
}
