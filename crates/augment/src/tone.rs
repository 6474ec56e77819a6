//! Brightness, contrast and saturation: blends an image with a degenerate one, as in Pillow's ImageEnhance.

use plugin_api::ByteImage;

use crate::grayscale::luma;
use crate::planes::{LANES, change_pixels, sum_pixels};
use crate::wide::{cut_off, wide};

/// Brightness: blends with black. Factor 0 gives black, 1 the image.
pub fn brighten(image: &mut ByteImage, factor: f32) {
    let rgb = &mut image.values[..];
    wide(
        #[inline(always)]
        || blend_with_value(rgb, 0, factor),
    );
}

/// Contrast: blends with the image's mean brightness, rounded. Factor 0 gives that gray everywhere, 1 the image.
pub fn contrast(image: &mut ByteImage, factor: f32) {
    let rgb = &mut image.values[..];
    wide(
        #[inline(always)]
        || blend_with_mean(rgb, factor),
    );
}

/// Saturation: blends every pixel with its own luminance. Factor 0 gives a gray image, 1 the image.
pub fn saturate(image: &mut ByteImage, factor: f32) {
    let rgb = &mut image.values[..];
    wide(
        #[inline(always)]
        || blend_with_luma(rgb, factor),
    );
}

/// `dull + factor (v - dull)`, clipped and truncated.
#[inline(always)]
pub(crate) fn blend(dull: f32, v: u8, factor: f32) -> u8 {
    cut_off(dull + factor * (f32::from(v) - dull))
}

#[inline(always)]
fn blend_with_value(rgb: &mut [u8], dull: u8, factor: f32) {
    let dull = f32::from(dull);
    for v in rgb {
        *v = blend(dull, *v, factor);
    }
}

#[inline(always)]
fn blend_with_mean(rgb: &mut [u8], factor: f32) {
    let sum = sum_pixels(rgb, luma);
    let mean = sum as f64 / (rgb.len() / 3) as f64;
    blend_with_value(rgb, (mean + 0.5) as u8, factor);
}

#[inline(always)]
fn blend_with_luma(rgb: &mut [u8], factor: f32) {
    change_pixels(
        rgb,
        #[inline(always)]
        |planes| {
            for i in 0..LANES {
                let dull = luma(planes.r[i], planes.g[i], planes.b[i]) as u8 as f32;
                planes.r[i] = blend(dull, planes.r[i], factor);
                planes.g[i] = blend(dull, planes.g[i], factor);
                planes.b[i] = blend(dull, planes.b[i], factor);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ByteImage {
        ByteImage::rgb(2, 1, vec![10, 200, 30, 255, 0, 77])
    }

    #[test]
    fn factor_one_changes_nothing() {
        for change in [brighten, contrast, saturate] {
            let mut changed = image();
            change(&mut changed, 1.0);
            assert_eq!(changed, image());
        }
    }

    #[test]
    fn factor_zero_leaves_the_dull_image() {
        let mut black = image();
        brighten(&mut black, 0.0);
        assert_eq!(black.values, [0; 6]);
        let mut flat = image();
        contrast(&mut flat, 0.0);
        assert_eq!(flat.values, [105; 6]); // The brightnesses are 124 and 85; their mean is 104.5.
        let mut gray = image();
        saturate(&mut gray, 0.0);
        assert_eq!(gray.values, [124, 124, 124, 85, 85, 85]);
    }

    #[test]
    fn values_are_clipped_and_cut_off() {
        let mut bright = image();
        brighten(&mut bright, 1.45);
        assert_eq!(bright.values, [14, 255, 43, 255, 0, 111]);
    }
}
