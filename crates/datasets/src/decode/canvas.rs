//! From the samples of a file to the bytes of an image: channels are chosen, values scaled.

use plugin_api::ByteImage;

use super::limits::{check_memory, check_size, zeros};
use super::options::ReadOptions;

/// What the channels of a file mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Gray, and whatever comes with it.
    Gray,
    /// Red, green, blue, and whatever comes with them.
    Rgb,
    /// The file does not say.
    Unknown,
}

/// How a file stores a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// 8 bits or fewer, scaled to 0 to 255.
    Byte,
    /// 16 bits without a sign.
    Word,
    /// An integer for which no range goes without saying, with its number of bits.
    Integer(u32),
    /// A float, with its number of bits.
    Float(u32),
}

impl Depth {
    fn bits(self) -> u32 {
        match self {
            Self::Byte => 8,
            Self::Word => 16,
            Self::Integer(bits) | Self::Float(bits) => bits,
        }
    }
}

/// What a file says about its pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples of a pixel.
    pub(super) n_channels: usize,
    pub(super) meaning: Meaning,
    /// Of the channels after gray or RGB: whether they are alpha, which is dropped without a word.
    pub(super) has_alpha: bool,
    pub(super) depth: Depth,
}

/// Where samples of a file go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The column of the first one.
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) part: Part,
}

/// Which samples of the pixels there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of a pixel side by side.
    All,
    /// Those of one channel.
    Channel(usize),
}

impl Place {
    /// A whole row.
    pub(super) fn row(y: usize) -> Self {
        Self { x: 0, y, part: Part::All }
    }
}

impl Shape {
    /// RGB of bytes, as most decoders give it.
    pub(super) fn rgb(width: usize, height: usize) -> Self {
        Self { width, height, n_channels: 3, meaning: Meaning::Rgb, has_alpha: false, depth: Depth::Byte }
    }
}

/// What a person may want to know of a file that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// The values that were taken, of files of more than 8 bits.
    pub(super) values: Option<Values>,
    /// `(channels of the file, channels taken)`, if others than alpha are left out and nobody has chosen.
    pub(super) left_out: Option<(usize, usize)>,
}

/// The values of a file, before they become bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) depth: Depth,
    pub(super) lowest: f64,
    pub(super) highest: f64,
    pub(super) n: usize,
    /// Those that are clipped to 0 and to 255.
    pub(super) n_clipped: (usize, usize),
}

impl Values {
    fn none(depth: Depth) -> Self {
        Self { depth, lowest: f64::INFINITY, highest: f64::NEG_INFINITY, n: 0, n_clipped: (0, 0) }
    }

    /// Adds values that become bytes by `range`.
    fn add(&mut self, values: impl Iterator<Item = f64>, (low, high): (f64, f64)) {
        for value in values {
            self.lowest = self.lowest.min(value);
            self.highest = self.highest.max(value);
            self.n += 1;
            self.n_clipped.0 += usize::from(value < low);
            self.n_clipped.1 += usize::from(value > high);
        }
    }

    /// Adds those of another file.
    pub(super) fn append(&mut self, other: &Self) {
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.max(other.highest);
        self.n += other.n;
        self.n_clipped.0 += other.n_clipped.0;
        self.n_clipped.1 += other.n_clipped.1;
    }
}

/// An image that is filled from the rows of a file.
pub(super) struct Canvas {
    shape: Shape,
    /// The channel of the file for each channel of the image.
    picks: Vec<usize>,
    /// The channels of the file that are taken, each once.
    taken: Vec<usize>,
    range: Option<(f64, f64)>,
    values: Vec<u8>,
    found: Values,
    left_out: Option<(usize, usize)>,
}

impl Canvas {
    /// An image for a file of this shape, all zeros.
    ///
    /// `n_held` is the memory that the decoder needs beside it, in bytes.
    ///
    /// # Errors
    /// If the image is too large, or has not the channels or the range that the options need.
    pub(super) fn new(shape: Shape, options: &ReadOptions, n_held: usize) -> Result<Self, String> {
        check_size(shape.width, shape.height)?;
        let (picks, left_out) = picks(&shape, options)?;
        if let (Depth::Integer(bits), None) = (shape.depth, options.range) {
            return Err(format!(
                "the file has integers of {bits} bits: say with `range` which become 0 and 255"
            ));
        }
        let n_values = shape.width * shape.height * picks.len();
        check_memory(n_values.saturating_add(n_held))?;
        let values = zeros(n_values)?;
        let mut taken = picks.clone();
        taken.sort_unstable();
        taken.dedup();
        let found = Values::none(shape.depth);
        Ok(Self { shape, picks, taken, range: options.range, values, found, left_out })
    }

    /// The image of decoded bytes, which are taken as they are where nothing else is asked for.
    pub(super) fn whole(shape: Shape, options: &ReadOptions, samples: Vec<u8>) -> Result<Decoded, String> {
        check_size(shape.width, shape.height)?;
        let (picks, left_out) = picks(&shape, options)?;
        if picks.iter().copied().eq(0..shape.n_channels) {
            let image = ByteImage {
                width: shape.width,
                height: shape.height,
                channels: picks.len(),
                values: samples,
            };
            return Ok(Decoded { image, found: Found { values: None, left_out } });
        }
        let mut canvas = Self::new(shape, options, samples.len())?;
        for (y, row) in samples.chunks_exact(shape.width * shape.n_channels).enumerate() {
            canvas.bytes(Place::row(y), row);
        }
        canvas.finish()
    }

    /// Samples of one row.
    pub(super) fn bytes(&mut self, place: Place, samples: &[u8]) {
        if place.part == Part::All && self.takes_all() {
            let at = (place.y * self.shape.width + place.x) * self.picks.len();
            self.values[at..at + samples.len()].copy_from_slice(samples);
            return;
        }
        self.draw(place, samples, |sample| sample);
    }

    /// The same for values of 16 bits.
    pub(super) fn words(&mut self, place: Place, samples: &[u16]) {
        match self.range {
            Some(range) => self.numbers_in(place, samples, range),
            None => {
                self.look(place, samples, ALL_WORDS);
                self.draw(place, samples, |sample| (sample >> 8) as u8);
            }
        }
    }

    /// The same for any other values.
    pub(super) fn numbers<T: Copy + Into<f64>>(&mut self, place: Place, samples: &[T]) {
        self.numbers_in(place, samples, self.range.unwrap_or(UNIT));
    }

    fn numbers_in<T: Copy + Into<f64>>(&mut self, place: Place, samples: &[T], range: (f64, f64)) {
        self.look(place, samples, range);
        self.draw(place, samples, |sample| scale(sample.into(), range));
    }

    /// Looks at those samples that are taken.
    fn look<T: Copy + Into<f64>>(&mut self, place: Place, samples: &[T], range: (f64, f64)) {
        let Self { found, taken, shape, .. } = self;
        match place.part {
            Part::All => {
                for &channel in taken.iter() {
                    let channel = samples.iter().skip(channel).step_by(shape.n_channels);
                    found.add(channel.map(|&sample| sample.into()), range);
                }
            }
            Part::Channel(channel) if taken.contains(&channel) => {
                found.add(samples.iter().map(|&sample| sample.into()), range);
            }
            Part::Channel(_) => {}
        }
    }

    /// The same for many rows of `n` samples.
    pub(super) fn all_numbers<T: Copy + Into<f64>>(
        &mut self,
        places: impl Iterator<Item = Place>,
        n: usize,
        samples: &[T],
    ) {
        places.zip(samples.chunks_exact(n)).for_each(|(place, row)| self.numbers(place, row));
    }

    /// Whether the image has the channels of the file, in their order.
    fn takes_all(&self) -> bool {
        self.picks.iter().copied().eq(0..self.shape.n_channels)
    }

    fn draw<T: Copy>(&mut self, place: Place, samples: &[T], to_byte: impl Fn(T) -> u8) {
        let n = self.picks.len();
        let pixels = self.values[(place.y * self.shape.width + place.x) * n..].chunks_exact_mut(n);
        match place.part {
            Part::All => {
                for (values, pixel) in pixels.zip(samples.chunks_exact(self.shape.n_channels)) {
                    for (value, &pick) in values.iter_mut().zip(&self.picks) {
                        *value = to_byte(pixel[pick]);
                    }
                }
            }
            Part::Channel(channel) => {
                for (values, &sample) in pixels.zip(samples) {
                    for (value, _) in values.iter_mut().zip(&self.picks).filter(|(_, pick)| **pick == channel)
                    {
                        *value = to_byte(sample);
                    }
                }
            }
        }
    }

    /// The image.
    ///
    /// # Errors
    /// If there were floats outside of 0 to 1, and no range is declared.
    pub(super) fn finish(self) -> Result<Decoded, String> {
        let Values { lowest, highest, depth, n, .. } = self.found;
        if self.range.is_none() && matches!(depth, Depth::Float(_)) && (lowest < 0.0 || highest > 1.0) {
            let odd = if highest > 1.0 { format!("up to {highest}") } else { format!("down to {lowest}") };
            return Err(format!(
                "float values {odd}, outside 0 to 1: say with `range` which become 0 and 255"
            ));
        }
        let found = Found { values: (n > 0).then_some(self.found), left_out: self.left_out };
        let Shape { width, height, .. } = self.shape;
        Ok(Decoded {
            image: ByteImage { width, height, channels: self.picks.len(), values: self.values },
            found,
        })
    }
}

/// An image, and what is worth telling about its file.
pub(super) struct Decoded {
    pub(super) image: ByteImage,
    pub(super) found: Found,
}

type LeftOut = Option<(usize, usize)>;

fn picks(shape: &Shape, options: &ReadOptions) -> Result<(Vec<usize>, LeftOut), String> {
    let n = shape.n_channels;
    let has = || match n {
        1 => format!("the file has 1 channel of {} bits", shape.depth.bits()),
        n => format!("the file has {n} channels of {} bits", shape.depth.bits()),
    };
    if let Some(bands) = &options.bands {
        return match bands.iter().find(|&&band| band >= n) {
            Some(band) => Err(format!("{}, and `bands` asks for channel {band}, counted from 0", has())),
            None => Ok((bands.clone(), None)),
        };
    }
    let (picks, n_taken) = match shape.meaning {
        Meaning::Gray => (vec![0; 3], 1),
        Meaning::Rgb => (vec![0, 1, 2], 3),
        Meaning::Unknown => {
            return Err(format!(
                "{}, and does not say which are red, green and blue: choose with `bands`",
                has()
            ));
        }
    };
    let n_others = n.saturating_sub(n_taken + usize::from(shape.has_alpha));
    Ok((picks, (n_others > 0).then_some((n, n_taken))))
}

/// What becomes 0 and 255 where nobody says: of 16 bits.
pub(super) const ALL_WORDS: (f64, f64) = (0.0, u16::MAX as f64);
/// Of floats.
pub(super) const UNIT: (f64, f64) = (0.0, 1.0);

/// `low` becomes 0 and `high` 255; what is no number becomes 0.
fn scale(value: f64, (low, high): (f64, f64)) -> u8 {
    ((value - low) / (high - low) * 255.0).round().clamp(0.0, 255.0) as u8
}
