//! Sharpness, as in Pillow's ImageEnhance.

use plugin_api::ByteImage;

use crate::tone::blend;

/// Weights of the neighbors and of the pixel itself: Pillow's filter SMOOTH.
const AROUND: f32 = 1.0 / 13.0;
const MIDDLE: f32 = 5.0 / 13.0;

/// Blends with a smoothed image, whose outermost pixels are those of the image. Factor 0 gives that, 1 the image.
pub fn sharpen(image: &mut ByteImage, factor: f32) {
    let smooth = smoothed(image);
    for (value, smooth) in image.values.iter_mut().zip(smooth) {
        *value = blend(f32::from(smooth), *value, factor);
    }
}

fn smoothed(image: &ByteImage) -> Vec<u8> {
    let ByteImage { width, height, channels, ref values } = *image;
    let mut smooth = values.clone();
    if width < 3 || height < 3 {
        return smooth;
    }
    let line = channels * width;
    for row in 1..height - 1 {
        let first = line * row + channels;
        for (i, smooth) in smooth[first..first + line - 2 * channels].iter_mut().enumerate() {
            let three = |middle: usize, weight: f32| {
                f32::from(values[middle - channels]) * AROUND
                    + f32::from(values[middle]) * weight
                    + f32::from(values[middle + channels]) * AROUND
            };
            // The rows from below to above, which is Pillow's order.
            let mut sum = 0.5;
            sum += three(first + i + line, AROUND);
            sum += three(first + i, MIDDLE);
            sum += three(first + i - line, AROUND);
            *smooth = sum as u8;
        }
    }
    smooth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_spread_by_less_and_raised_by_more_than_one() {
        let mut values = vec![0; 25];
        values[12] = 130;
        let image = ByteImage { width: 5, height: 5, channels: 1, values };
        let with = |factor| {
            let mut image = image.clone();
            sharpen(&mut image, factor);
            [image.values[12], image.values[6], image.values[0]]
        };
        assert_eq!(with(0.0), [50, 10, 0]);
        assert_eq!(with(1.0), [130, 0, 0]);
        assert_eq!(with(1.9), [202, 0, 0]);
    }

    #[test]
    fn an_image_without_an_inside_stays() {
        let mut image = ByteImage { width: 2, height: 4, channels: 1, values: (0..8).collect() };
        let before = image.clone();
        sharpen(&mut image, 0.1);
        assert_eq!(image, before);
    }
}
