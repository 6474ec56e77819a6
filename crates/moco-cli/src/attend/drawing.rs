//! Maps over images.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma, RgbImage};

/// The shorter side of a picture is at least this many pixels.
const SHORTEST_PX: u32 = 160;

/// How much of a picture is the map, and not the image.
const OPACITY: f32 = 0.6;

/// The colors of a map, from its least value to its largest: dark to bright, in equal steps.
const COLORS: [[f32; 3]; 5] =
    [[0.0, 0.0, 4.0], [87.0, 16.0, 110.0], [188.0, 55.0, 84.0], [249.0, 142.0, 9.0], [252.0, 255.0, 164.0]];

/// The image, each of its pixels as a square, large enough to look at.
pub(super) fn enlarged(image: &RgbImage) -> RgbImage {
    let times = SHORTEST_PX.div_ceil(image.width().min(image.height()).max(1));
    imageops::resize(image, times * image.width(), times * image.height(), FilterType::Nearest)
}

/// A map of `(H, W)` places over an image, and its smallest and largest value.
///
/// # Panics
/// If the map has another number of values.
pub(super) fn overlaid(
    image: &RgbImage,
    (height, width): (usize, usize),
    values: &[f32],
) -> (RgbImage, [f32; 2]) {
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let span = largest - least;
    let shares: Vec<f32> =
        values.iter().map(|value| if span > 0.0 { (value - least) / span } else { 0.0 }).collect();
    let map: ImageBuffer<Luma<f32>, Vec<f32>> =
        ImageBuffer::from_raw(width as u32, height as u32, shares).expect("a map has a value for each place");
    let map = imageops::resize(&map, image.width(), image.height(), FilterType::Triangle);
    let mut drawn = image.clone();
    for (pixel, share) in drawn.pixels_mut().zip(map.pixels()) {
        let color = heat(share[0]);
        for (value, color) in pixel.0.iter_mut().zip(color) {
            *value = ((1.0 - OPACITY) * f32::from(*value) + OPACITY * color).round() as u8;
        }
    }
    (drawn, [least, largest])
}

fn heat(share: f32) -> [f32; 3] {
    let at = share.clamp(0.0, 1.0) * (COLORS.len() - 1) as f32;
    let below = (at as usize).min(COLORS.len() - 2);
    let part = at - below as f32;
    std::array::from_fn(|i| COLORS[below][i] + part * (COLORS[below + 1][i] - COLORS[below][i]))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn bright_places_are_where_the_map_is_large() {
        let gray = RgbImage::from_pixel(32, 16, Rgb([100; 3]));
        let image = enlarged(&gray);
        assert_eq!(image.dimensions(), (320, 160));
        let (drawn, range) = overlaid(&image, (1, 2), &[0.25, 0.75]);
        assert_eq!((drawn.dimensions(), range), ((320, 160), [0.25, 0.75]));
        let sum = |x: u32| drawn.get_pixel(x, 80).0.iter().map(|&v| u32::from(v)).sum::<u32>();
        assert!(sum(10) < sum(160) && sum(160) < sum(310), "{} {} {}", sum(10), sum(160), sum(310));
        let (flat, _) = overlaid(&image, (1, 1), &[0.5]);
        assert!(flat.pixels().all(|pixel| pixel == flat.get_pixel(0, 0)));
        assert_eq!(heat(1.0), COLORS[4]);
    }
}
