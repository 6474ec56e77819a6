//! A column of a Parquet file, page by page.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
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

/// Rows of a page, values of a dictionary and pages of a row group beyond which nobody writes them. The crate takes memory for each
/// value, and goes through the pages of a group for each that is read.
const MAX_PAGE_ROWS: usize = 1 << 22;
const MAX_DICTIONARY_VALUES: usize = 1 << 20;
const MAX_GROUP_PAGES: usize = 1 << 16;

/// `PLAIN`, `PLAIN_DICTIONARY` and `RLE_DICTIONARY`. The others take memory for what their values claim, or unpack to the square of
/// their size.
const ENCODINGS: [usize; 3] = [0, 2, 8];

/// Rows that are read at once.
const BATCH_ROWS: usize = 1 << 14;

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
    /// Of the dictionary that its group has, in the file and in memory together: it is read with each page.
    n_dictionary_bytes: u32,
}

impl Column {
    /// Finds the pages. Only their headers are read.
    ///
    /// # Errors
    /// If they are damaged, encoded or compressed otherwise than is read here, or one takes more than [`MAX_PAGE_BYTES`]: why.
    pub(super) fn open(
        source: &Source,
        metadata: &Arc<ParquetMetaData>,
        number: usize,
    ) -> Result<Self, String> {
        let (source, metadata) = (source.clone(), Arc::clone(metadata));
        let mut column = Self { source, metadata, number, pages: Vec::new() };
        let (mut n_rows, mut n_left) = (0, column.source.len());
        for group in 0..column.metadata.num_row_groups() {
            n_rows = column.find_pages(group, n_rows, &mut n_left)?;
        }
        Ok(column)
    }

    /// Adds the pages of row group `group`, which begins at row `first_row`. Returns where the next one begins. `n_left` bytes
    /// of the file are in no page yet: groups that share their pages could be any number.
    fn find_pages(&mut self, group: usize, first_row: u32, n_left: &mut u64) -> Result<u32, String> {
        let of_group = self.metadata.row_group(group);
        let chunk = of_group.column(self.number);
        check_compression(chunk)?;
        let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let place = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
        let (start, n_bytes) = place.ok_or("a column begins before the file does")?;
        let end = start.checked_add(n_bytes).filter(|&end| end <= self.source.len());
        let end = end.ok_or("a column lies beyond the end of the file")?;
        *n_left = n_left.checked_sub(n_bytes).ok_or("its columns overlap")?;
        let n_rows_of_group = of_group.num_rows();
        let first_page = self.pages.len();
        let (mut at, mut row, mut n_dictionary_bytes) = (start, first_row, 0);
        let mut window = (0, Vec::new());
        while at < end {
            let header = self.header(at, end, &mut window)?;
            let data = at + header.n_header_bytes as u64;
            if header.n_packed_bytes as u64 > end - data {
                return Err(format!("the page at byte {at} is longer than its column"));
            }
            check_page(&header, at)?;
            let n_packed_bytes = (header.n_header_bytes + header.n_packed_bytes) as u32;
            match header.kind {
                PageKind::Dictionary if at > start || header.n_values as i64 > n_rows_of_group => {
                    return Err(format!("the dictionary at byte {at} is none of a column of its length"));
                }
                PageKind::Dictionary => n_dictionary_bytes = n_packed_bytes + header.n_bytes as u32,
                PageKind::Data if header.n_values == 0 => {}
                PageKind::Data => {
                    let next = row.checked_add(header.n_values as u32);
                    // Each has a byte at least, or the file could be of any length in memory.
                    let next = next.filter(|&n| u64::from(n) <= self.source.len());
                    let next = next.ok_or("it has more rows than bytes")?;
                    self.pages.push(Page {
                        first_row: row,
                        n_rows: next - row,
                        group: group as u32,
                        first_in_group: row - first_row,
                        offset: at,
                        n_packed_bytes,
                        n_bytes: header.n_bytes as u32,
                        n_dictionary_bytes,
                    });
                    row = next;
                }
            }
            if self.pages.len() - first_page > MAX_GROUP_PAGES {
                return Err(format!("row group {group} has more than {MAX_GROUP_PAGES} pages"));
            }
            at = data + header.n_packed_bytes as u64;
        }
        if i64::from(row - first_row) != n_rows_of_group {
            let found = row - first_row;
            return Err(format!(
                "row group {group} should have {n_rows_of_group} rows, and its pages have {found}"
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

    /// What page `page` takes in memory, with the dictionary that its values may be in, and what reading it takes.
    pub(super) fn page_bytes(&self, page: usize) -> (usize, usize) {
        let Page { n_packed_bytes, n_bytes, n_dictionary_bytes, .. } = self.pages[page];
        let kept = n_bytes as usize + n_dictionary_bytes as usize;
        (kept, kept + n_packed_bytes as usize)
    }

    /// The values of page `page`; `None` for rows without one.
    ///
    /// # Errors
    /// If it is damaged: why.
    pub(super) fn read<T: DataType>(&self, page: usize) -> Result<Vec<Option<T::T>>, String> {
        let Page { group, n_rows, first_in_group, .. } = self.pages[page];
        let mut values = Vec::new();
        guarded("Parquet", || {
            let mut reader = self.reader::<T>(group, Some(self.locations(group)))?;
            reader.skip_records(first_in_group as usize).map_err(|failure| reason(&failure))?;
            self.read_rows(&mut reader, n_rows as usize, &mut |value| {
                values.push(value);
                Ok(())
            })
        })?;
        Ok(values)
    }

    /// Gives all values to `each`, row after row; `None` for rows without one.
    ///
    /// # Errors
    /// If a page is damaged, or `each` fails: why.
    pub(super) fn read_all<T: DataType>(
        &self,
        each: &mut dyn FnMut(Option<T::T>) -> Result<(), String>,
    ) -> Result<(), String> {
        (0..self.metadata.num_row_groups()).try_for_each(|group| {
            let n_rows = usize::try_from(self.metadata.row_group(group).num_rows()).unwrap_or_default();
            guarded("Parquet", || self.read_rows(&mut self.reader::<T>(group as u32, None)?, n_rows, each))
        })
    }

    fn reader<T: DataType>(
        &self,
        group: u32,
        pages: Option<Vec<PageLocation>>,
    ) -> Result<ColumnReaderImpl<T>, String> {
        let of_group = self.metadata.row_group(group as usize);
        let chunk = of_group.column(self.number);
        let n_rows = usize::try_from(of_group.num_rows()).unwrap_or_default();
        let pages = SerializedPageReader::new(Arc::new(self.source.clone()), chunk, n_rows, pages);
        let pages = pages.map_err(|failure| reason(&failure))?;
        Ok(get_typed_column_reader(get_column_reader(chunk.column_descr_ptr(), Box::new(pages))))
    }

    fn read_rows<T: DataType>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        n_rows: usize,
        each: &mut dyn FnMut(Option<T::T>) -> Result<(), String>,
    ) -> Result<(), String> {
        let most = self.metadata.file_metadata().schema_descr().column(self.number).max_def_level();
        let (mut levels, mut values, mut n_read) = (Vec::new(), Vec::new(), 0);
        while n_read < n_rows {
            levels.clear();
            values.clear();
            let of_levels = (most > 0).then_some(&mut levels);
            let n = (n_rows - n_read).min(BATCH_ROWS);
            let read = reader.read_records(n, of_levels, None, &mut values);
            let (n, ..) = read.map_err(|failure| reason(&failure))?;
            if n == 0 {
                return Err(format!("damaged: {n_rows} rows end after {n_read}"));
            }
            n_read += n;
            let mut values = values.drain(..);
            match most {
                0 => values.try_for_each(|value| each(Some(value)))?,
                most => levels
                    .iter()
                    .try_for_each(|&level| each(if level == most { values.next() } else { None }))?,
            }
        }
        Ok(())
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

/// What is read is unpacked into as much memory as its page says, and no more.
fn check_compression(chunk: &ColumnChunkMetaData) -> Result<(), String> {
    let name = match chunk.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) | Compression::LZ4_RAW => {
            return Ok(());
        }
        Compression::GZIP(_) => "gzip",
        Compression::BROTLI(_) => "Brotli",
        Compression::LZO => "LZO",
        Compression::LZ4 => "the LZ4 of earlier versions",
    };
    Err(format!("the compression {name} is not read: write it with `compression=\"zstd\"` or \"snappy\""))
}

/// Fails for a page that takes more than any does in a file of images.
fn check_page(header: &PageHeader, at: u64) -> Result<(), String> {
    let PageHeader { n_packed_bytes, n_bytes, n_values, encoding, .. } = *header;
    let n_largest = n_packed_bytes.max(n_bytes);
    if n_largest > MAX_PAGE_BYTES - MAX_HEADER_BYTES {
        return Err(format!(
            "it has a page of {n_largest} bytes, more than the limit of {MAX_PAGE_BYTES}: write it with smaller row groups, \
             `row_group_size=100` in pyarrow"
        ));
    }
    if n_bytes > MAX_UNSUSPECTED_BYTES && n_bytes / MAX_GROWTH > n_packed_bytes {
        return Err(format!(
            "the page at byte {at} would grow from {n_packed_bytes} to {n_bytes} bytes, as no image does"
        ));
    }
    let most = if header.kind == PageKind::Dictionary { MAX_DICTIONARY_VALUES } else { MAX_PAGE_ROWS };
    if n_values > most {
        return Err(format!("the page at byte {at} has {n_values} values, more than the limit of {most}"));
    }
    if !ENCODINGS.contains(&encoding) {
        return Err(format!(
            "its encoding (number {encoding} of the format) is not read: write it as `PLAIN`"
        ));
    }
    Ok(())
}

/// The crate's message without what it begins with.
pub(super) fn reason(failure: &ParquetError) -> String {
    match failure {
        ParquetError::General(text) | ParquetError::EOF(text) => format!("damaged: {text}"),
        ParquetError::NYI(text) => format!("not read: {text}"),
        other => format!("damaged: {other}"),
    }
}
