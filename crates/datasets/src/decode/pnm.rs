//! PBM, PGM, PPM and PAM, plain and binary (netpbm.sourceforge.net/doc/pnm.html).

use super::canvas::{Canvas, Decoded, Depth, Meaning, Place, Shape};
use super::limits::{check_length, check_size};
use super::options::ReadOptions;

/// Longer tokens are not numbers of an image.
const MAX_TOKEN_LEN: usize = 10;

const TRUNCATED: &str = "the PNM file is truncated";

pub(super) fn decode(bytes: &[u8], options: &ReadOptions) -> Result<Decoded, String> {
    let mut text = Text { bytes, at: 2 };
    let kind = bytes[1];
    let header = match kind {
        b'7' => Header::of_pam(&mut text)?,
        _ => Header::of_pnm(kind, &mut text)?,
    };
    let Header { width, height, n_channels, max, .. } = header;
    check_size(width, height)?;
    if !(1..=0xffff).contains(&max) {
        return Err(format!("damaged PNM: its largest value is {max}, and must be 1 to 65535"));
    }
    let n_row = width.saturating_mul(n_channels);
    let n_row_bytes = match kind {
        b'1'..=b'3' => n_row,
        b'4' => width.div_ceil(8),
        _ if max > 0xff => n_row.saturating_mul(2),
        _ => n_row,
    };
    check_length(bytes.len() - text.at, n_row_bytes.saturating_mul(height), 1)?;
    // Pillow makes bytes of 16-bit colors, and keeps 16-bit gray.
    let is_word = max > 0xff && (header.meaning != Meaning::Rgb || options.range.is_some());
    let shape = Shape {
        width,
        height,
        n_channels,
        meaning: header.meaning,
        has_alpha: header.has_alpha,
        depth: if is_word { Depth::Word } else { Depth::Byte },
    };
    let mut canvas = Canvas::new(shape, options, n_row.saturating_mul(4))?;
    let mut samples: Vec<u16> = vec![0; n_row];
    for y in 0..height {
        match kind {
            b'1' => samples.iter_mut().try_for_each(|sample| text.bit().map(|bit| *sample = bit))?,
            b'2' | b'3' => {
                for sample in &mut samples {
                    *sample = text.sample(max)?;
                }
            }
            b'4' => {
                let row = text.take(n_row_bytes)?;
                for (x, sample) in samples.iter_mut().enumerate() {
                    // A bit that is set is black.
                    *sample = u16::from(row[x / 8] >> (7 - x % 8) & 1 == 0);
                }
            }
            _ if max > 0xff => {
                let pairs = text.take(n_row_bytes)?.as_chunks().0;
                samples.iter_mut().zip(pairs).for_each(|(sample, &pair)| *sample = u16::from_be_bytes(pair));
            }
            _ => {
                let row = text.take(n_row_bytes)?;
                samples.iter_mut().zip(row).for_each(|(sample, &byte)| *sample = byte.into());
            }
        }
        if !is_word {
            let bytes: Vec<u8> = samples.iter().map(|&sample| scale(sample, max, 255.0) as u8).collect();
            canvas.bytes(Place::row(y), &bytes);
        } else if options.range.is_some() {
            canvas.words(Place::row(y), &samples);
        } else {
            samples.iter_mut().for_each(|sample| *sample = scale(*sample, max, 65535.0) as u16);
            canvas.words(Place::row(y), &samples);
        }
    }
    canvas.finish()
}

/// Width, height and what its channels mean, from the beginning of a file.
pub(super) fn size(bytes: &[u8]) -> Option<(usize, usize, Meaning)> {
    let mut text = Text { bytes, at: 2 };
    let header = match *bytes.get(1)? {
        b'7' => Header::of_pam(&mut text),
        kind => Header::of_pnm(kind, &mut text),
    };
    header.ok().map(|header| (header.width, header.height, header.meaning))
}

/// Rounded as Pillow does it.
fn scale(sample: u16, max: usize, to: f64) -> f64 {
    (f64::from(sample) / max as f64 * to).round_ties_even().min(to)
}

struct Header {
    width: usize,
    height: usize,
    n_channels: usize,
    meaning: Meaning,
    has_alpha: bool,
    /// The value of white.
    max: usize,
}

impl Header {
    fn of_pnm(kind: u8, text: &mut Text<'_>) -> Result<Self, String> {
        let width = text.number()?;
        let height = text.number()?;
        let is_bitmap = matches!(kind, b'1' | b'4');
        let max = if is_bitmap { 1 } else { text.number()? };
        let is_color = matches!(kind, b'3' | b'6');
        let (n_channels, meaning) = if is_color { (3, Meaning::Rgb) } else { (1, Meaning::Gray) };
        Ok(Self { width, height, n_channels, meaning, has_alpha: false, max })
    }

    /// A word and its value a line, up to `ENDHDR`.
    fn of_pam(text: &mut Text<'_>) -> Result<Self, String> {
        let mut numbers = [0; 4];
        loop {
            let name = text.line()?;
            let mut words = name.split_ascii_whitespace();
            let at = match words.next() {
                Some("ENDHDR") => break,
                Some("WIDTH") => 0,
                Some("HEIGHT") => 1,
                Some("DEPTH") => 2,
                Some("MAXVAL") => 3,
                // The type of a tuple says no more than its length.
                _ => continue,
            };
            let number = words.next().and_then(|word| word.parse().ok());
            numbers[at] = number.ok_or_else(|| format!("damaged PAM: `{name}` is no number"))?;
        }
        let [width, height, n_channels, max] = numbers;
        let (meaning, has_alpha) = match n_channels {
            0 => return Err("damaged PAM: it has no channels".into()),
            1 | 2 => (Meaning::Gray, n_channels == 2),
            3 | 4 => (Meaning::Rgb, n_channels == 4),
            _ => (Meaning::Unknown, false),
        };
        Ok(Self { width, height, n_channels, meaning, has_alpha, max })
    }
}

struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    /// The next number, and the one white space behind it. A comment goes from `#` to the end of the line.
    fn number(&mut self) -> Result<usize, String> {
        let mut token = String::new();
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'#' => {
                    let rest = &self.bytes[self.at..];
                    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    self.at += end.map_or(rest.len(), |end| end + 1);
                }
                _ if byte.is_ascii_whitespace() || byte == 0x0b => {
                    if !token.is_empty() {
                        break;
                    }
                }
                _ if token.len() == MAX_TOKEN_LEN => return Err("damaged PNM: a number is too long".into()),
                _ => token.push(byte.into()),
            }
        }
        if token.is_empty() {
            return Err(TRUNCATED.into());
        }
        token.parse().map_err(|_| format!("damaged PNM: `{}` is no number", token.escape_default()))
    }

    fn sample(&mut self, max: usize) -> Result<u16, String> {
        match self.number()? {
            value if value <= max => Ok(value as u16),
            value => Err(format!("damaged PNM: the value {value} is above its largest, {max}")),
        }
    }

    /// The next digit of a plain bitmap, in which nothing needs to be between them: 1 for white.
    fn bit(&mut self) -> Result<u16, String> {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'0' => return Ok(1),
                b'1' => return Ok(0),
                b'#' => {
                    let rest = &self.bytes[self.at..];
                    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                    self.at += end.map_or(rest.len(), |end| end + 1);
                }
                _ if byte.is_ascii_whitespace() || byte == 0x0b => {}
                other => return Err(format!("damaged PNM: a byte of value {other} is no bit")),
            }
        }
        Err(TRUNCATED.into())
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| "damaged PAM: its header is no text".into())
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let taken = self.bytes.get(self.at..self.at.saturating_add(n)).ok_or(TRUNCATED)?;
        self.at += n;
        Ok(taken)
    }
}
