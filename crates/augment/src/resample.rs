//! Cropping and resizing, with Pillow's antialiased filters.

use plugin_api::ByteImage;
use resample::{Filter, MAX_CHANNELS, Rect, Source, Window, fill};

use crate::region::{self, Region};

/// The longest side that is filtered together with the other one. It is that of the largest JPEG file.
const LONG: usize = 1 << 16;

/// The filter that an image is resized with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
pub enum Interpolation {
    /// Over two pixels, or as many more as the image shrinks.
    Bilinear,
    /// Over four pixels, or as many more as the image shrinks: sharper.
    Bicubic,
}

/// As [`resized_crop_by`], bilinear.
///
/// # Panics
/// If the region reaches beyond the image or a side is 0.
pub fn resized_crop(image: &ByteImage, region: Region, size: (usize, usize)) -> ByteImage {
    resized_crop_by(image, region, size, Interpolation::Bilinear)
}

/// Resizes `region` of `image` to `(height, width)`. Pixels outside of the region have no influence.
///
/// Besides the result it takes the memory of the larger of the region and the result, or of 65,536 columns in the height
/// of the result: a longer side is shrunk first, and by itself.
///
/// # Panics
/// If the region reaches beyond the image or a side is 0.
pub fn resized_crop_by(
    image: &ByteImage,
    region: Region,
    size: (usize, usize),
    interpolation: Interpolation,
) -> ByteImage {
    let (height, width) = size;
    let shrunk = if region.width > LONG.max(width) {
        in_strips(image, region, (region.height, width), interpolation)
    } else if region.height > LONG.max(height) {
        in_strips(image, region, (height, region.width), interpolation)
    } else if interpolation == Interpolation::Bicubic && width != region.width && height != region.height {
        // It overshoots, and what is cut off in between depends on the order: rows first, as in Pillow.
        filtered(image, region, whole(region), (region.height, width), interpolation)
    } else {
        return filtered(image, region, whole(region), size, interpolation);
    };
    resized_crop_by(&shrunk, Region::whole(&shrunk), size, interpolation)
}

/// The `part` of what `image` resized to `full` is; nothing else of that is made.
///
/// Values may differ by one level from those of the whole, whose filter is rounded by its own largest weight.
pub(crate) fn resized_part(image: &ByteImage, full: (usize, usize), part: Region) -> ByteImage {
    let region = Region::whole(image);
    let window = window_of(region, full, part);
    filtered(image, region, window, (part.height, part.width), Interpolation::Bilinear)
}

/// Resizes along the axis on which `region` is very long, in strips whose filters have about [`LONG`] weights.
fn in_strips(
    image: &ByteImage,
    region: Region,
    size: (usize, usize),
    interpolation: Interpolation,
) -> ByteImage {
    let (height, width) = size;
    let n_together = |from: usize, to: usize| (LONG / from.div_ceil(to)).max(1);
    let along_rows = height == region.height;
    let n = if along_rows { n_together(region.width, width) } else { n_together(region.height, height) };
    let mut shrunk = region::black(size, image.channels);
    for start in (0..if along_rows { width } else { height }).step_by(n) {
        let part = if along_rows {
            Region { top: 0, left: start, height, width: n.min(width - start) }
        } else {
            Region { top: start, left: 0, height: n.min(height - start), width }
        };
        let window = window_of(region, size, part);
        let strip = filtered(image, region, window, (part.height, part.width), interpolation);
        region::copy(&strip, Region::whole(&strip), &mut shrunk, (part.top, part.left));
    }
    shrunk
}

/// All of `region`.
fn whole(region: Region) -> Window {
    Window { top: 0.0, left: 0.0, height: region.height as f64, width: region.width as f64 }
}

/// What becomes `part` when all of `region` becomes `full`.
fn window_of(region: Region, full: (usize, usize), part: Region) -> Window {
    let span = |side: usize, full: usize, from: usize, n: usize| {
        let scale = side as f64 / full as f64;
        let start = from as f64 * scale;
        (start, (n as f64 * scale).min(side as f64 - start))
    };
    let (top, height) = span(region.height, full.0, part.top, part.height);
    let (left, width) = span(region.width, full.1, part.left, part.width);
    Window { top, left, height, width }
}

/// The `window` of `region` in `size`. Pixels of the region next to the window have their influence.
fn filtered(
    image: &ByteImage,
    region: Region,
    window: Window,
    size: (usize, usize),
    interpolation: Interpolation,
) -> ByteImage {
    if image.channels > MAX_CHANNELS {
        return filtered_in_groups(image, region, window, size, interpolation);
    }
    let Region { top, left, height, width } = region;
    let source = Source {
        values: &image.values,
        size: (image.height, image.width),
        channels: image.channels,
        region: Rect { top, left, height, width },
        window,
    };
    let filter = match interpolation {
        Interpolation::Bilinear => Filter::Bilinear,
        Interpolation::Bicubic => Filter::Bicubic,
    };
    let mut filtered = region::black(size, image.channels);
    fill(&source, &mut filtered.values, size, filter);
    filtered
}

/// Four channels at a time: each is filtered by itself, so that its neighbors make no difference.
fn filtered_in_groups(
    image: &ByteImage,
    region: Region,
    window: Window,
    size: (usize, usize),
    interpolation: Interpolation,
) -> ByteImage {
    let n_channels = image.channels;
    let mut all = region::black(size, n_channels);
    for first in (0..n_channels).step_by(MAX_CHANNELS) {
        let n = MAX_CHANNELS.min(n_channels - first);
        let mut group = region::black((region.height, region.width), n);
        for (row, values) in group.values.chunks_exact_mut(n * region.width).enumerate() {
            let start = n_channels * ((region.top + row) * image.width + region.left);
            let pixels = image.values[start..].chunks_exact(n_channels);
            for (value, pixel) in values.chunks_exact_mut(n).zip(pixels) {
                value.copy_from_slice(&pixel[first..first + n]);
            }
        }
        let group = filtered(&group, Region::whole(&group), window, size, interpolation);
        for (pixel, value) in all.values.chunks_exact_mut(n_channels).zip(group.values.chunks_exact(n)) {
            pixel[first..first + n].copy_from_slice(value);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise((height, width): (usize, usize), channels: usize) -> ByteImage {
        let mut image = region::black((height, width), channels);
        for (i, value) in image.values.iter_mut().enumerate() {
            *value = (i * i * 31 + i * 7 + i / 5) as u8;
        }
        image
    }

    fn channel(image: &ByteImage, c: usize) -> ByteImage {
        let values = image.values.iter().copied().skip(c).step_by(image.channels).collect();
        ByteImage { channels: 1, values, ..*image }
    }

    #[test]
    fn each_channel_is_resized_as_if_it_were_alone() {
        let region = Region { top: 3, left: 5, height: 30, width: 41 };
        for n_channels in 1..=16 {
            let image = noise((40, 57), n_channels);
            for size in [(17, 17), (64, 50), (30, 12), (9, 41)] {
                let resized = resized_crop(&image, region, size);
                assert_eq!(resized.channels, n_channels);
                for c in 0..n_channels {
                    let alone = resized_crop(&channel(&image, c), region, size);
                    assert_eq!(channel(&resized, c), alone, "channel {c} of {n_channels}, {size:?}");
                }
            }
        }
    }

    #[test]
    fn a_part_is_the_whole_there_to_within_a_level() {
        let image = noise((60, 45), 3);
        for full in [(32, 24), (100, 75), (61, 44)] {
            let part = Region { top: 7, left: 3, height: 20, width: 19 };
            let whole = resized_crop(&image, Region::whole(&image), full);
            let mut cut = region::black((20, 19), 3);
            region::copy(&whole, part, &mut cut, (0, 0));
            let part = resized_part(&image, full, part);
            assert!(part.values.iter().zip(&cut.values).all(|(a, b)| a.abs_diff(*b) <= 1), "{full:?}");
        }
    }

    #[test]
    fn a_very_long_side_is_shrunk_as_a_shorter_one_is() {
        // A ramp that rises by one every thousand pixels.
        let ramp = |pixel: usize| (pixel / 1000) as u8;
        let row =
            ByteImage { width: 100_000, height: 1, channels: 1, values: (0..100_000).map(ramp).collect() };
        let column = ByteImage { width: 1, height: 100_000, ..row.clone() };
        let shrunk = resized_crop(&row, Region::whole(&row), (2, 50));
        // Each pixel is the mean of four thousand or so, the middle of which is at 2000 (i + 1/2).
        for (i, value) in shrunk.values[1..49].iter().enumerate() {
            assert!(value.abs_diff((2 * (i + 1)) as u8) <= 1, "{:?}", shrunk.values);
        }
        assert_eq!(shrunk.values[..50], shrunk.values[50..]);
        assert_eq!(resized_crop(&column, Region::whole(&column), (50, 1)).values, shrunk.values[..50]);
    }
}
