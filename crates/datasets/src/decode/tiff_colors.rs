//! What the bytes of a TIFF file mean, and how they become gray or RGB.

use std::borrow::Cow;

/// How the samples of a row become those of the canvas.
pub(super) enum Colors {
    /// They are gray, RGB, or what the file does not say.
    AsTheyAre,
    /// White is zero.
    Inverted,
    /// Colors that have been multiplied by the alpha behind them, and what comes with them.
    Premultiplied { n_colors: usize, n_channels: usize },
    /// An index into RGB, and what comes with it.
    Palette { colors: Vec<[u8; 3]>, n_channels: usize },
    /// Inks, and what comes with them.
    Cmyk { n_channels: usize },
    /// Luma and chroma of ITU-R BT.601 in full range, as in JPEG, and what comes with them.
    YCbCr { n_channels: usize },
}

impl Colors {
    /// A palette as the file has it: all reds, all greens, all blues, in 16 bits.
    pub(super) fn palette(values: &[u64], n_channels: usize, bits: usize) -> Result<Self, String> {
        let n_colors = 1 << bits;
        if values.len() != 3 * n_colors {
            return Err(format!(
                "damaged TIFF: its palette has {} values, not {}",
                values.len(),
                3 * n_colors
            ));
        }
        let byte = |at: usize| (values[at] >> 8) as u8;
        let colors = (0..n_colors).map(|i| [byte(i), byte(n_colors + i), byte(2 * n_colors + i)]).collect();
        Ok(Self::Palette { colors, n_channels })
    }

    /// Whether samples are indices, which are not scaled to 255.
    pub(super) fn has_indices(&self) -> bool {
        matches!(self, Self::Palette { .. })
    }

    /// A row of bytes in the channels of the canvas.
    pub(super) fn converted<'a>(&self, row: &'a [u8]) -> Cow<'a, [u8]> {
        match self {
            Self::AsTheyAre => row.into(),
            Self::Inverted => row.iter().map(|&sample| !sample).collect(),
            Self::Premultiplied { n_colors, n_channels } => {
                let mut row = row.to_vec();
                row.chunks_exact_mut(*n_channels).for_each(|pixel| divide_by_alpha(pixel, *n_colors));
                row.into()
            }
            Self::Palette { colors, n_channels } => {
                let color = |pixel: &[u8]| colors.get(usize::from(pixel[0])).copied().unwrap_or([0; 3]);
                row.chunks_exact(*n_channels).flat_map(color).collect()
            }
            Self::Cmyk { n_channels } => row.chunks_exact(*n_channels).flat_map(cmyk_to_rgb).collect(),
            Self::YCbCr { n_channels } => row.chunks_exact(*n_channels).flat_map(ycbcr_to_rgb).collect(),
        }
    }
}

fn divide_by_alpha(pixel: &mut [u8], n_colors: usize) {
    let alpha = u32::from(pixel[n_colors]);
    for color in &mut pixel[..n_colors] {
        *color = (u32::from(*color) * 255).checked_div(alpha).unwrap_or(0).min(255) as u8;
    }
}

/// As Pillow converts without color profiles.
fn cmyk_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let white = 255 - i32::from(pixel[3]);
    [0, 1, 2].map(|i| {
        let product = i32::from(pixel[i]) * white + 128;
        (white - (((product >> 8) + product) >> 8)).clamp(0, 255) as u8
    })
}

/// JFIF's conversion.
fn ycbcr_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let [y, cb, cr] = [0, 1, 2].map(|i| f32::from(pixel[i]));
    let (cb, cr) = (cb - 128.0, cr - 128.0);
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// A row of `n` samples of 8 bits or fewer as bytes, scaled to 255 if they are no indices.
pub(super) fn unpack(row: &[u8], n: usize, bits: usize, has_indices: bool) -> Cow<'_, [u8]> {
    if bits == 8 {
        return row.into();
    }
    let highest = (1_u8 << bits) - 1;
    let scale = if has_indices { 1 } else { 255 / highest };
    let sample = |i: usize| {
        let at = i * bits;
        (row[at / 8] >> (8 - bits - at % 8) & highest) * scale
    };
    (0..n).map(sample).collect()
}
