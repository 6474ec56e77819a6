//! TIFF and BigTIFF: the first page, strip by strip or tile by tile.

use std::io::ErrorKind;

use image::metadata::Orientation as Turn;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::{ColorType, TiffError};

use super::canvas::{Canvas, Decoded, Depth, Meaning, Part, Place, Shape};
use super::jpeg_segments::Segments;
use super::limits::{MAX_DECODING_BYTES, check_memory, check_size};
use super::options::ReadOptions;
use super::orientation::turned;
use super::tiff_colors::{Colors, unpack};
use super::tiff_header::{Amended, Directory, tag};

const BLACK_IS_ZERO: u16 = 1;

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let directory = Directory::first(bytes)?;
    let page = Page::read(&directory)?;
    let place =
        directory.place_of_word(tag::PHOTOMETRIC).ok_or("damaged TIFF: what its values mean is not said")?;
    let (colors, shape) = page.colors(&directory)?;
    let n_chunk_bytes = page.check_chunks(bytes)?;
    let mut canvas = Canvas::new(shape, options, n_chunk_bytes)?;

    let amended = directory.word_bytes(BLACK_IS_ZERO);
    let reader = Amended { bytes, place, amended, position: 0 };
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_DECODING_BYTES;
    limits.intermediate_buffer_size = MAX_DECODING_BYTES;
    let mut decoder = Decoder::new(reader).map_err(explain)?.with_limits(limits);
    if !page.is_as(&mut decoder) {
        return Err("damaged TIFF: what it says of its pixels is not clear".into());
    }
    for (i, chunk) in page.chunks().enumerate() {
        let samples = decoder.read_chunk(i as u32).map_err(explain)?;
        page.draw(&mut canvas, &colors, &chunk, samples)?;
    }
    let turn = u8::try_from(directory.number(tag::ORIENTATION)?.unwrap_or(1)).ok().and_then(Turn::from_exif);
    // As Pillow does, which leaves the orientation of all other formats alone.
    turned(canvas.finish()?, turn.unwrap_or(Turn::NoTransforms))
}

/// What the first directory says about the pixels.
struct Page {
    width: usize,
    height: usize,
    bits: usize,
    n_samples: usize,
    format: SampleFormat,
    compression: u64,
    is_planar: bool,
    /// Width and height of a strip or tile.
    chunk_size: (usize, usize),
    offsets: Vec<u64>,
    lengths: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SampleFormat {
    Unsigned,
    Signed,
    Float,
}

/// A strip or tile.
struct Chunk {
    /// Of its first pixel.
    place: Place,
    /// Of what is in the image: the last ones may reach beyond it.
    width: usize,
    height: usize,
}

impl Page {
    fn read(directory: &Directory<'_>) -> Result<Self, String> {
        let number = |tag, default: u64| Ok::<u64, String>(directory.number(tag)?.unwrap_or(default));
        let size = |tag| Ok::<usize, String>(usize::try_from(number(tag, 0)?).unwrap_or(usize::MAX));
        let (width, height) = (size(tag::WIDTH)?, size(tag::HEIGHT)?);
        check_size(width, height)?;
        if number(tag::FILL_ORDER, 1)? != 1 {
            return Err("a TIFF with its bits in reversed order is not read: convert the file".into());
        }
        let same = |tag, default| -> Result<u64, String> {
            let values = directory.numbers(tag)?;
            if values.windows(2).any(|pair| pair[0] != pair[1]) {
                return Err(
                    "a TIFF whose channels are stored in different ways is not read: convert the file".into(),
                );
            }
            Ok(values.first().copied().unwrap_or(default))
        };
        let format = match same(tag::SAMPLE_FORMAT, 1)? {
            2 => SampleFormat::Signed,
            3 => SampleFormat::Float,
            // 4 is "undefined".
            1 | 4 => SampleFormat::Unsigned,
            other => return Err(format!("damaged TIFF: {other} is no sample format")),
        };
        let bits = same(tag::BITS, 1)?;
        let are_long = bits == 64 && format != SampleFormat::Float;
        if are_long || !matches!(bits, 1 | 2 | 4 | 8 | 16 | 32 | 64) {
            let what = if are_long { "integers of 64".into() } else { bits.to_string() };
            return Err(format!("a TIFF of {what} bits is not read: convert the file to 8 or 16"));
        }
        let n_samples = number(tag::SAMPLES, 1)? as usize;
        if !(1..=usize::from(u16::MAX)).contains(&n_samples) {
            return Err(format!("damaged TIFF: it has {n_samples} channels"));
        }
        let tiles = directory.numbers(tag::TILE_OFFSETS)?;
        let is_tiled = !tiles.is_empty();
        let (offsets, lengths, chunk_size) = if is_tiled {
            (tiles, directory.numbers(tag::TILE_LENGTHS)?, (size(tag::TILE_WIDTH)?, size(tag::TILE_HEIGHT)?))
        } else {
            let n_rows =
                usize::try_from(number(tag::ROWS_PER_STRIP, u64::MAX)?).unwrap_or(usize::MAX).min(height);
            let offsets = directory.numbers(tag::STRIP_OFFSETS)?;
            (offsets, directory.numbers(tag::STRIP_LENGTHS)?, (width, n_rows))
        };
        if chunk_size.0 == 0 || chunk_size.1 == 0 {
            return Err("damaged TIFF: its strips or tiles have no pixels".into());
        }
        let page = Self {
            width,
            height,
            bits: bits as usize,
            n_samples,
            format,
            compression: number(tag::COMPRESSION, 1)?,
            is_planar: number(tag::PLANAR, 1)? == 2,
            chunk_size,
            offsets,
            lengths,
        };
        let n_down = height.div_ceil(page.chunk_size.1);
        let n_chunks =
            (n_down * width.div_ceil(page.chunk_size.0)).saturating_mul(n_samples / page.n_together());
        if page.offsets.len() != n_chunks || page.lengths.len() != n_chunks {
            return Err(format!(
                "damaged TIFF: {} of {n_chunks} strips or tiles are there",
                page.offsets.len()
            ));
        }
        Ok(page)
    }

    /// Whether the decoder has understood the same.
    fn is_as(&self, decoder: &mut Decoder<Amended<'_>>) -> bool {
        let (bits, n_samples) = match decoder.colortype() {
            Ok(ColorType::Gray(bits)) => (bits, 1),
            Ok(ColorType::Multiband { bit_depth, num_samples }) => (bit_depth, num_samples),
            _ => return false,
        };
        let size = |(width, height): (u32, u32)| (width as usize, height as usize);
        let chunk_size = size(decoder.chunk_dimensions());
        usize::from(bits) == self.bits
            && usize::from(n_samples) == self.n_samples
            && decoder.dimensions().ok().map(size) == Some((self.width, self.height))
            && (chunk_size.0, chunk_size.1.min(self.height))
                == (self.chunk_size.0, self.chunk_size.1.min(self.height))
    }

    /// Samples that lie side by side.
    fn n_together(&self) -> usize {
        if self.is_planar { 1 } else { self.n_samples }
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk> {
        let (width, height) = self.chunk_size;
        let part = |plane| if self.is_planar { Part::Channel(plane) } else { Part::All };
        (0..self.n_samples / self.n_together()).flat_map(move |plane| {
            (0..self.height).step_by(height).flat_map(move |y| {
                (0..self.width).step_by(width).map(move |x| Chunk {
                    place: Place { x, y, part: part(plane) },
                    width: width.min(self.width - x),
                    height: height.min(self.height - y),
                })
            })
        })
    }

    fn colors(&self, directory: &Directory<'_>) -> Result<(Colors, Shape), String> {
        let (depth, n) = (self.depth(), self.n_samples);
        let extra = directory.numbers(tag::EXTRA_SAMPLES)?;
        let has_alpha = matches!(extra.first(), Some(1 | 2));
        let photometric = directory.number(tag::PHOTOMETRIC)?.unwrap_or(0);
        let needs = |least: usize, what: &str| match n < least {
            true => Err(format!("damaged TIFF: {what} in {n} channels")),
            false => Ok(()),
        };
        let only_bytes = |what: &str| match (self.bits, self.is_planar && n > 1) {
            (8, false) => Ok(()),
            (8, true) => Err(format!("a TIFF of {what} in planes is not read: convert the file to RGB")),
            (bits, _) => Err(format!("a TIFF of {what} in {bits} bits is not read: convert the file to RGB")),
        };
        let shape = |n_channels, meaning, has_alpha| Shape {
            width: self.width,
            height: self.height,
            n_channels,
            meaning,
            has_alpha,
            depth,
        };
        let is_premultiplied = extra.first() == Some(&1) && self.bits == 8 && !self.is_planar;
        Ok(match photometric {
            0 | 1 => {
                // More channels are bands, even where they are declared as extras of a gray one.
                let meaning = if n <= 2 { Meaning::Gray } else { Meaning::Unknown };
                let colors = match (photometric, is_premultiplied && n == 2) {
                    (0, _) => Colors::Inverted,
                    (_, true) => Colors::Premultiplied { n_colors: 1, n_channels: n },
                    (_, false) => Colors::AsTheyAre,
                };
                (colors, shape(n, meaning, has_alpha))
            }
            2 => {
                needs(3, "RGB")?;
                // Pillow takes a fourth channel that is not declared for alpha.
                let has_alpha = has_alpha || (extra.is_empty() && n == 4);
                let colors = match is_premultiplied && n > 3 {
                    true => Colors::Premultiplied { n_colors: 3, n_channels: n },
                    false => Colors::AsTheyAre,
                };
                // Pillow takes three extras at most.
                let meaning = if n <= 6 { Meaning::Rgb } else { Meaning::Unknown };
                (colors, shape(n, meaning, has_alpha))
            }
            3 => {
                if self.bits > 8 || self.is_planar && n > 1 {
                    return Err("a TIFF with such a palette is not read: convert the file to RGB".into());
                }
                let values = directory.numbers(tag::PALETTE)?;
                (Colors::palette(&values, n, self.bits)?, shape(3, Meaning::Rgb, false))
            }
            5 => {
                needs(4, "CMYK")?;
                only_bytes("CMYK")?;
                (Colors::Cmyk { n_channels: n }, shape(3, Meaning::Rgb, false))
            }
            6 if n == 1 => (Colors::AsTheyAre, shape(n, Meaning::Gray, false)),
            6 => {
                needs(3, "YCbCr")?;
                only_bytes("YCbCr")?;
                let subsampling = directory.numbers(tag::SUBSAMPLING)?;
                if self.compression != JPEG && subsampling != [1, 1] {
                    return Err("a TIFF with subsampled colors is not read: convert the file to RGB".into());
                }
                (Colors::YCbCr { n_channels: n }, shape(3, Meaning::Rgb, false))
            }
            8..=10 => return Err("a TIFF of Lab colors is not read: convert the file to RGB".into()),
            other => {
                return Err(format!(
                    "a TIFF of photometric interpretation {other} is not read: convert the file"
                ));
            }
        })
    }

    fn depth(&self) -> Depth {
        let bits = self.bits as u32;
        match self.format {
            SampleFormat::Float => Depth::Float(bits),
            SampleFormat::Signed => Depth::Integer(bits),
            SampleFormat::Unsigned if bits <= 8 => Depth::Byte,
            SampleFormat::Unsigned if bits == 16 => Depth::Word,
            SampleFormat::Unsigned => Depth::Integer(bits),
        }
    }

    /// Fails if a chunk is not in the file as a whole, or cannot hold its pixels. Gives what decoding a chunk holds.
    fn check_chunks(&self, bytes: &[u8]) -> Result<usize, String> {
        let most_per_byte: u64 = match self.compression {
            NONE => 1,
            PACK_BITS => 64,
            // A code of 12 bits stands for a string of at most 4096 bytes.
            LZW => 4096 * 8 / 12,
            DEFLATE | OLD_DEFLATE => 1032,
            // The decoder gives the pixels of other numbers of channels to the wrong places.
            JPEG if !matches!(self.n_together(), 1 | 3 | 4) => {
                let n = self.n_together();
                return Err(format!("a TIFF of {n} channels in a JPEG image is not read: convert the file"));
            }
            FAX_4 | JPEG | ZSTD => u64::MAX,
            other => {
                let name = name_of_compression(other).map_or_else(|| other.to_string(), Into::into);
                return Err(format!("a TIFF of compression {name} is not read: convert the file"));
            }
        };
        let mut n_jpeg_bytes = 0;
        let n_row_bits = (self.chunk_size.0 * self.bits).saturating_mul(self.n_together());
        for ((chunk, &offset), &length) in self.chunks().zip(&self.offsets).zip(&self.lengths) {
            let end = offset.saturating_add(length);
            if end > bytes.len() as u64 {
                return Err("the TIFF file is truncated".into());
            }
            let n_bytes = n_row_bits.div_ceil(8).saturating_mul(chunk.height) as u64;
            if length.saturating_mul(most_per_byte) < n_bytes {
                return Err(format!("damaged TIFF: {length} bytes of a strip or tile cannot hold {n_bytes}"));
            }
            if self.compression == JPEG {
                n_jpeg_bytes = n_jpeg_bytes.max(self.check_jpeg(&bytes[offset as usize..end as usize])?);
            }
        }
        let n_chunk_bytes = n_row_bits.div_ceil(8).saturating_mul(self.chunk_size.1.min(self.height));
        let n_bytes = n_chunk_bytes.saturating_add(n_jpeg_bytes);
        check_memory(n_bytes)?;
        Ok(n_bytes)
    }

    /// Fails if the JPEG image of a chunk is larger than the chunk. Gives what decoding it holds.
    fn check_jpeg(&self, chunk: &[u8]) -> Result<usize, String> {
        let frame = Segments::read(chunk)?.frame;
        let (width, height) = self.chunk_size;
        let has_right_size = frame.width <= width && frame.height <= height.next_multiple_of(16);
        if !has_right_size || frame.components.len() != self.n_together() {
            return Err("damaged TIFF: the JPEG image of a strip or tile does not fit it".into());
        }
        Ok(frame.n_decoder_bytes() + frame.width * frame.height * frame.components.len() + chunk.len())
    }

    fn draw(
        &self,
        canvas: &mut Canvas,
        colors: &Colors,
        chunk: &Chunk,
        samples: DecodingResult,
    ) -> Result<(), String> {
        let n = chunk.width * self.n_together();
        let is_inverted = matches!(colors, Colors::Inverted);
        let places = (chunk.place.y..).take(chunk.height).map(|y| Place { y, ..chunk.place });
        match samples {
            DecodingResult::U8(samples) => {
                let row_len = (n * self.bits.min(8)).div_ceil(8);
                for (place, row) in places.zip(samples.chunks_exact(row_len)) {
                    let row = unpack(row, n, self.bits, colors.has_indices());
                    canvas.bytes(place, &colors.converted(&row));
                }
            }
            DecodingResult::U16(mut samples) => {
                if is_inverted {
                    samples.iter_mut().for_each(|sample| *sample = !*sample);
                }
                places.zip(samples.chunks_exact(n)).for_each(|(place, row)| canvas.words(place, row));
            }
            DecodingResult::U32(samples) => canvas.all_numbers(places, n, &samples),
            DecodingResult::I8(samples) => canvas.all_numbers(places, n, &samples),
            DecodingResult::I16(samples) => canvas.all_numbers(places, n, &samples),
            DecodingResult::I32(samples) => canvas.all_numbers(places, n, &samples),
            DecodingResult::F16(samples) => canvas.all_numbers(places, n, &samples),
            DecodingResult::F32(samples) => canvas.all_numbers(places, n, &samples),
            DecodingResult::F64(samples) => canvas.all_numbers(places, n, &samples),
            DecodingResult::U64(_) | DecodingResult::I64(_) => {
                unreachable!("integers of 64 bits are refused where the directory is read")
            }
        }
        Ok(())
    }
}

const NONE: u64 = 1;
const FAX_4: u64 = 4;
const LZW: u64 = 5;
const JPEG: u64 = 7;
const DEFLATE: u64 = 8;
const PACK_BITS: u64 = 32773;
const OLD_DEFLATE: u64 = 32946;
const ZSTD: u64 = 50000;

/// What people call a compression that is not read (tags of Adobe, libtiff and GDAL).
fn name_of_compression(number: u64) -> Option<&'static str> {
    Some(match number {
        2 => "CCITT group 2",
        3 => "CCITT group 3",
        6 => "old JPEG",
        32809 => "ThunderScan",
        34661 => "JBIG",
        34676 | 34677 => "LogLuv",
        34712 => "JPEG 2000",
        34887 => "LERC",
        34892 => "lossy JPEG",
        34925 => "LZMA",
        50001 => "WebP",
        50002 => "JPEG XL",
        _ => return None,
    })
}

fn explain(error: TiffError) -> String {
    match error {
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "the TIFF file is truncated".into()
        }
        TiffError::UnsupportedError(error) => format!("this kind of TIFF is not read: {error}"),
        error => format!("damaged TIFF: {error}"),
    }
}
