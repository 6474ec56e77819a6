//! The segments before the first scan of a JPEG file (ITU-T T.81, annex B).

use std::borrow::Cow;
use std::ops::Range;

/// How the coefficients are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Sequential,
    Progressive,
    Arithmetic,
    Lossless,
    Hierarchical,
}

/// What the start-of-frame segment says.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) coding: Coding,
    pub(super) bits: u8,
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples in a row and in a column of each component, for each unit of the image.
    pub(super) components: Vec<(usize, usize)>,
    /// Components in the first scan.
    n_in_first_scan: usize,
}

impl Frame {
    /// The most that the decoder holds beside the pixels.
    ///
    /// It keeps the coefficients, of two bytes each, if they come in several scans; else a few rows of blocks.
    pub(super) fn n_decoder_bytes(&self) -> usize {
        let h_max = self.components.iter().map(|(h, _)| *h).max().unwrap_or(1);
        let v_max = self.components.iter().map(|(_, v)| *v).max().unwrap_or(1);
        let n_units = (self.width.div_ceil(8 * h_max), self.height.div_ceil(8 * v_max));
        let n_row: usize = self.components.iter().map(|(h, v)| 64 * h * v * n_units.0).sum();
        let n_upsampled = self.components.len() * n_units.0 * 64 * h_max * v_max;
        let has_scans = self.coding == Coding::Progressive || self.n_in_first_scan < self.components.len();
        let n_kept = if has_scans { n_row * n_units.1 } else { 0 };
        2 * (n_kept + n_row + 2 * n_upsampled)
    }
}

/// Where the segments are.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) frame: Frame,
    /// The EXIF data in the form of a TIFF file, if there are any.
    pub(super) exif: Option<Range<usize>>,
    /// The segments with their markers, up to and with the start of the first scan.
    segments: Vec<Range<usize>>,
}

impl Segments {
    /// # Errors
    /// If a segment is cut short, or if there is no frame before the first scan.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut frame = None;
        let mut exif = None;
        let start_of_image = 0..2;
        let mut segments = Vec::from([start_of_image]);
        let mut at = 2;
        loop {
            let Some(start) = next_marker(bytes, at) else {
                return Err("damaged JPEG: it has no scan".into());
            };
            let marker = bytes[start + 1];
            // Markers that stand alone.
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                at = start + 2;
                continue;
            }
            let length = bytes.get(start + 2..start + 4).map_or(0, |length| u16_at(length, 0));
            let end = start + 2 + length;
            if length < 2 || end > bytes.len() {
                return Err("damaged JPEG: a segment is cut short".into());
            }
            let data = &bytes[start + 4..end];
            match marker {
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                    frame = Some(frame_of(marker, data)?)
                }
                0xe1 if data.starts_with(b"Exif\0\0") => exif = exif.or(Some(start + 10..end)),
                _ => {}
            }
            segments.push(start..end);
            at = end;
            if marker == 0xda {
                let mut frame = frame.ok_or("damaged JPEG: it has a scan before its size")?;
                frame.n_in_first_scan = data.first().copied().unwrap_or(0).into();
                return Ok(Self { frame, exif, segments });
            }
        }
    }

    /// The file without what is between its segments. Some cameras leave zeros there, which libjpeg passes over.
    pub(super) fn without_stray_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let end = self.segments.last().map_or(0, |last| last.end);
        let n_kept: usize = self.segments.iter().map(Range::len).sum();
        if n_kept == end {
            return bytes.into();
        }
        let mut clean = Vec::with_capacity(bytes.len());
        for segment in &self.segments {
            clean.extend_from_slice(&bytes[segment.clone()]);
        }
        clean.extend_from_slice(&bytes[end..]);
        clean.into()
    }
}

/// The next byte 0xff that a marker follows. Any number of them may come before the marker.
fn next_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let pairs = bytes.get(from..)?.windows(2);
    pairs.into_iter().position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff)).map(|at| from + at)
}

fn frame_of(marker: u8, data: &[u8]) -> Result<Frame, String> {
    let coding = match marker {
        0xc0 | 0xc1 => Coding::Sequential,
        0xc2 => Coding::Progressive,
        0xc3 | 0xcb => Coding::Lossless,
        0xc9 | 0xca => Coding::Arithmetic,
        _ => Coding::Hierarchical,
    };
    let n_components = data.get(5).copied().unwrap_or(0);
    let Some(components) = data.get(6..6 + 3 * usize::from(n_components)) else {
        return Err("damaged JPEG: its size is cut short".into());
    };
    let sampling = |component: &[u8]| ((component[1] >> 4).into(), (component[1] & 15).into());
    let components: Vec<(usize, usize)> = components.chunks_exact(3).map(sampling).collect();
    if components.iter().any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v)) {
        return Err("damaged JPEG: the sampling of its components makes no sense".into());
    }
    Ok(Frame {
        coding,
        bits: data[0],
        width: u16_at(data, 3),
        height: u16_at(data, 1),
        components,
        n_in_first_scan: 0,
    })
}

fn u16_at(data: &[u8], at: usize) -> usize {
    u16::from_be_bytes([data[at], data[at + 1]]).into()
}
