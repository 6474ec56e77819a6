//! Arrays of NumPy: one image in a file (NumPy's NEP 1).

use super::canvas::{Canvas, Decoded, Depth, Meaning, Part, Place, Shape};
use super::limits::{check_length, check_size};
use super::options::ReadOptions;

/// A longer header is none of an array.
const MAX_HEADER_LEN: usize = 1 << 16;

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let (header, data) = split(bytes).ok_or("the NumPy file is truncated")?;
    let header = std::str::from_utf8(header).map_err(|_| "damaged NumPy file: its header is no text")?;
    if field(header, "fortran_order")?.starts_with("True") {
        return Err("an array in Fortran's order is not read: save it with `numpy.ascontiguousarray`".into());
    }
    let kind = field(header, "descr")?;
    let kind = kind.split(['\'', '"']).nth(1).unwrap_or(kind);
    let values = Values::of(kind)?;
    let axes = axes(field(header, "shape")?)?;
    let (shape, is_planar) = shape(&axes, values.depth())?;
    let n_values = shape.width.saturating_mul(shape.height).saturating_mul(shape.n_channels);
    check_length(data.len(), n_values.saturating_mul(values.size()), 1)?;

    let n_row = if is_planar { shape.width } else { shape.width * shape.n_channels };
    let mut canvas = Canvas::new(shape, options, n_row * size_of::<f64>())?;
    for (i, row) in data.chunks_exact(n_row * values.size()).take(n_values / n_row).enumerate() {
        let part = if is_planar { Part::Channel(i / shape.height) } else { Part::All };
        values.draw(&mut canvas, Place { x: 0, y: i % shape.height, part }, row);
    }
    canvas.finish()
}

/// The header and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let major = *bytes.get(6)?;
    let (length, start) = match major {
        1 => (usize::from(u16::from_le_bytes(*bytes.get(8..)?.first_chunk()?)), 10),
        _ => (u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?) as usize, 12),
    };
    bytes.get(start..)?.split_at_checked(length.min(MAX_HEADER_LEN))
}

/// What follows a name in the header, which is a dictionary as Python writes it.
fn field<'a>(header: &'a str, name: &str) -> Result<&'a str, String> {
    let missing = || format!("damaged NumPy file: its header has no `{name}`");
    let (_, rest) = header.split_once(&format!("'{name}'")).ok_or_else(missing)?;
    rest.trim_start().strip_prefix(':').map(str::trim_start).ok_or_else(missing)
}

fn axes(text: &str) -> Result<Vec<usize>, String> {
    let list = text.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(list, _)| list);
    let numbers =
        list.map(|list| list.split(',').map(str::trim).filter(|axis| !axis.is_empty()).map(str::parse));
    let axes = numbers.and_then(|numbers| numbers.collect::<Result<Vec<usize>, _>>().ok());
    axes.ok_or_else(|| "damaged NumPy file: its shape makes no sense".into())
}

/// The shape, and whether channels come first.
fn shape(axes: &[usize], depth: Depth) -> Result<(Shape, bool), String> {
    let (height, width, n_channels, is_planar) = match *axes {
        [height, width] => (height, width, 1, false),
        [n_channels, height, width] if n_channels < width => (height, width, n_channels, true),
        [height, width, n_channels] => (height, width, n_channels, false),
        _ => {
            return Err(format!(
                "an array of shape {axes:?} is no image: (H, W), (H, W, C) and (C, H, W) are read"
            ));
        }
    };
    check_size(width, height)?;
    let meaning = match n_channels {
        0 => return Err("it has no channels".into()),
        1 => Meaning::Gray,
        3 => Meaning::Rgb,
        _ => Meaning::Unknown,
    };
    Ok((Shape { width, height, n_channels, meaning, has_alpha: false, depth }, is_planar))
}

/// How a value is stored.
struct Values {
    kind: Kind,
    is_big_endian: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    U8,
    U16,
    I16,
    F32,
    F64,
}

impl Values {
    fn of(descr: &str) -> Result<Self, String> {
        let is_big_endian = descr.starts_with('>');
        let kind = match descr.trim_start_matches(['<', '>', '|', '=']) {
            "u1" => Kind::U8,
            "u2" => Kind::U16,
            "i2" => Kind::I16,
            "f4" => Kind::F32,
            "f8" => Kind::F64,
            other => {
                let known = "uint8, uint16, int16, float32 and float64 are";
                return Err(format!("an array of type `{}` is not read: {known}", other.escape_default()));
            }
        };
        Ok(Self { kind, is_big_endian })
    }

    fn size(&self) -> usize {
        match self.kind {
            Kind::U8 => 1,
            Kind::U16 | Kind::I16 => 2,
            Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }

    fn depth(&self) -> Depth {
        match self.kind {
            Kind::U8 => Depth::Byte,
            Kind::U16 => Depth::Word,
            Kind::I16 => Depth::Integer(16),
            Kind::F32 => Depth::Float(32),
            Kind::F64 => Depth::Float(64),
        }
    }

    fn draw(&self, canvas: &mut Canvas, place: Place, row: &[u8]) {
        match self.kind {
            Kind::U8 => canvas.bytes(place, row),
            Kind::U16 => canvas.words(place, &self.each(row, u16::from_le_bytes)),
            Kind::I16 => canvas.numbers(place, &self.each(row, i16::from_le_bytes)),
            Kind::F32 => canvas.numbers(place, &self.each(row, f32::from_le_bytes)),
            Kind::F64 => canvas.numbers(place, &self.each(row, f64::from_le_bytes)),
        }
    }

    fn each<T, const N: usize>(&self, row: &[u8], from_little_endian: impl Fn([u8; N]) -> T) -> Vec<T> {
        let value = |&bytes: &[u8; N]| {
            let mut bytes = bytes;
            if self.is_big_endian {
                bytes.reverse();
            }
            from_little_endian(bytes)
        };
        row.as_chunks().0.iter().map(value).collect()
    }
}
