//! A column of a Parquet file, page by page.

use std::sync::Arc;

use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::Length;
use parquet::file::serialized_reader::SerializedPageReader;

use super::MAX_PAGE_BYTES;
use super::page_header::{PageHeader, PageKind};
use super::source::Source;
use crate::decode::guarded;

/// Headers are read in windows of this size; a longer header is read again, up to the second size.
const WINDOW_BYTES: usize = 8 << 10;
const MAX_HEADER_BYTES: usize = 1 << 20;

/// A page that unpacks to more than this may not grow more than `MAX_GROWTH` times: memory is taken for what it claims.
const MAX_UNSUSPECTED_BYTES: usize = 4 << 20;
const MAX_GROWTH: usize = 100;

/// Each value is written as what it shares with the one before and what it does not, so that a page may unpack to the
/// square of its size. Nobody writes images so.
const DELTA_BYTE_ARRAY: u64 = 7;

/// The pages of one column.
pub(super) struct Column {
    source: Source,
    metadata: Arc<ParquetMetaData>,
    /// Its number in the file.
    number: usize,
    pages: Vec<Page>,
}

/// Where a page is, and what is in it.
struct Page {
    first_row: u32,
    n_rows: u32,
    group: u32,
    /// The number of its first row in its row group.
    first_in_group: u32,
    offset: u64,
    /// In the file, with the header.
    n_packed_bytes: u32,
    n_bytes: u32,
}

impl Column {
    /// Finds the pages. Only their headers are read.
    ///
    /// # Errors
    /// If they are damaged, or one takes more than [`MAX_PAGE_BYTES`]: why.
    pub(super) fn open(
        source: &Source,
        metadata: &Arc<ParquetMetaData>,
        number: usize,
    ) -> Result<Self, String> {
        let mut column =
            Self { source: source.clone(), metadata: Arc::clone(metadata), number, pages: Vec::new() };
        let (mut n_rows, mut n_left) = (0, source.len());
        for group in 0..metadata.num_row_groups() {
            n_rows = column.find_pages(group, n_rows, &mut n_left)?;
        }
        Ok(column)
    }

    /// Adds the pages of row group `group`, which begins at row `first_row`. Returns where the next one begins. `n_left` bytes
    /// of the file are in no page yet: groups that share their pages could be any number.
    fn find_pages(&mut self, group: usize, first_row: u32, n_left: &mut u64) -> Result<u32, String> {
        let chunk = self.metadata.row_group(group).column(self.number);
        let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let place = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
        let (start, n_bytes) = place.ok_or("a column begins before the file does")?;
        let end = start.checked_add(n_bytes).filter(|&end| end <= self.source.len());
        let end = end.ok_or("a column lies beyond the end of the file")?;
        *n_left = n_left.checked_sub(n_bytes).ok_or("its columns overlap")?;
        let (mut at, mut row) = (start, first_row);
        let mut window = (0, Vec::new());
        while at < end {
            let header = self.header(at, end, &mut window)?;
            let data = at + header.n_header_bytes as u64;
            if header.n_packed_bytes as u64 > end - data {
                return Err(format!("the page at byte {at} is longer than its column"));
            }
            if header.n_packed_bytes.max(header.n_bytes) > MAX_PAGE_BYTES - MAX_HEADER_BYTES {
                return Err(format!(
                    "it has a page of {} bytes, more than the limit of {MAX_PAGE_BYTES}: write it with smaller row \
                     groups, `row_group_size=100` in pyarrow",
                    header.n_packed_bytes.max(header.n_bytes)
                ));
            }
            if header.n_bytes > MAX_UNSUSPECTED_BYTES && header.n_bytes / MAX_GROWTH > header.n_packed_bytes {
                return Err(format!(
                    "the page at byte {at} would grow from {} to {} bytes, as no image does",
                    header.n_packed_bytes, header.n_bytes
                ));
            }
            // Room is made for as many values as it claims.
            if header.kind == PageKind::Dictionary && header.n_values > header.n_bytes {
                return Err(format!("the dictionary at byte {at} has more values than bytes"));
            }
            if header.kind == PageKind::Data {
                if header.encoding == DELTA_BYTE_ARRAY {
                    return Err("its encoding `DELTA_BYTE_ARRAY` is not read: write it as `PLAIN`".into());
                }
                let n_rows = u32::try_from(header.n_values).ok();
                let next = n_rows.and_then(|n| row.checked_add(n));
                // Each has a byte at least, or the file could be of any length in memory.
                let next = next.filter(|&n| u64::from(n) <= self.source.len());
                let next = next.ok_or("it has more rows than bytes")?;
                self.pages.push(Page {
                    first_row: row,
                    n_rows: next - row,
                    group: group as u32,
                    first_in_group: row - first_row,
                    offset: at,
                    n_packed_bytes: (header.n_header_bytes + header.n_packed_bytes) as u32,
                    n_bytes: header.n_bytes as u32,
                });
                row = next;
            }
            at = data + header.n_packed_bytes as u64;
        }
        let n_rows = self.metadata.row_group(group).num_rows();
        if i64::from(row - first_row) != n_rows {
            return Err(format!(
                "row group {group} should have {n_rows} rows, and its pages have {}",
                row - first_row
            ));
        }
        Ok(row)
    }

    /// The header at `at`. `window` is where bytes that were read last begin, and these bytes.
    fn header(&self, at: u64, end: u64, window: &mut (u64, Vec<u8>)) -> Result<PageHeader, String> {
        let (start, bytes) = &*window;
        let in_window = at.checked_sub(*start).and_then(|skip| bytes.get(skip as usize..));
        if let Some(header) = in_window.and_then(PageHeader::read) {
            return Ok(header);
        }
        for n in [WINDOW_BYTES, MAX_HEADER_BYTES] {
            let n = (end - at).min(n as u64) as usize;
            *window = (at, self.source.up_to(at, n).map_err(|failure| failure.to_string())?);
            if let Some(header) = PageHeader::read(&window.1) {
                return Ok(header);
            }
        }
        Err(format!("the header of the page at byte {at} is damaged"))
    }

    pub(super) fn n_rows(&self) -> u32 {
        self.pages.last().map_or(0, |page| page.first_row + page.n_rows)
    }

    pub(super) fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// The page of row `row`, which is in the column, and the number of the row in that page.
    pub(super) fn locate(&self, row: u32) -> (usize, usize) {
        let page = self.pages.partition_point(|page| page.first_row <= row) - 1;
        (page, (row - self.pages[page].first_row) as usize)
    }

    /// What page `page` takes in memory and while it is unpacked.
    pub(super) fn page_bytes(&self, page: usize) -> (usize, usize) {
        let Page { n_packed_bytes, n_bytes, .. } = self.pages[page];
        (n_bytes as usize, n_packed_bytes as usize + n_bytes as usize)
    }

    /// The values of page `page`; `None` for rows without one.
    ///
    /// # Errors
    /// If it is damaged, or compressed in a way that this build does not read: why.
    pub(super) fn read<T: DataType>(&self, page: usize) -> Result<Vec<Option<T::T>>, String> {
        guarded("Parquet", || self.read_page::<T>(page).map_err(|failure| reason(&failure)))
    }

    fn read_page<T: DataType>(&self, page: usize) -> Result<Vec<Option<T::T>>, ParquetError> {
        let Page { group, n_rows, first_in_group, .. } = self.pages[page];
        let of_group = self.metadata.row_group(group as usize);
        let chunk = of_group.column(self.number);
        let pages = SerializedPageReader::new(
            Arc::new(self.source.clone()),
            chunk,
            usize::try_from(of_group.num_rows()).unwrap_or_default(),
            Some(self.locations(group)),
        )?;
        let description = chunk.column_descr_ptr();
        let most = description.max_def_level();
        let mut reader: ColumnReaderImpl<T> =
            get_typed_column_reader(get_column_reader(description, Box::new(pages)));
        reader.skip_records(first_in_group as usize)?;
        let n_rows = n_rows as usize;
        let (mut levels, mut values, mut n_read) = (Vec::new(), Vec::new(), 0);
        while n_read < n_rows {
            let of_levels = (most > 0).then_some(&mut levels);
            let (n, ..) = reader.read_records(n_rows - n_read, of_levels, None, &mut values)?;
            if n == 0 {
                return Err(ParquetError::General(format!("a page of {n_rows} rows ends after {n_read}")));
            }
            n_read += n;
        }
        let mut values = values.into_iter();
        if most == 0 {
            return Ok(values.map(Some).collect());
        }
        Ok(levels.into_iter().map(|level| if level == most { values.next() } else { None }).collect())
    }

    fn locations(&self, group: u32) -> Vec<PageLocation> {
        let pages = self.pages.iter().skip(self.pages.partition_point(|page| page.group < group));
        let location = |page: &Page| PageLocation {
            offset: page.offset as i64,
            compressed_page_size: page.n_packed_bytes as i32,
            first_row_index: page.first_in_group.into(),
        };
        pages.take_while(|page| page.group == group).map(location).collect()
    }
}

/// The crate's message without what it begins with.
pub(super) fn reason(failure: &ParquetError) -> String {
    match failure {
        ParquetError::General(text) | ParquetError::EOF(text) => format!("damaged: {text}"),
        ParquetError::NYI(text) => format!("not read: {text}"),
        other => format!("damaged: {other}"),
    }
}
