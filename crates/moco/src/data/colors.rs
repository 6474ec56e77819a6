//! Mean and deviation of the channels of images.

use plugin_api::ByteImage;

/// One channel of some images, every image with the same weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Channel {
    /// The mean of the pixels, from 0 to 1.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
}

/// Of each channel of an image, the mean of the values from 0 to 1, and that of their squares. Exact: sums of bytes and of their
/// squares are whole numbers.
pub(super) fn moments(image: &ByteImage) -> Vec<(f64, f64)> {
    let mut sums = vec![(0_u64, 0_u64); image.channels];
    for pixel in image.values.chunks_exact(image.channels) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            *sum = (sum.0 + u64::from(value), sum.1 + u64::from(value).pow(2));
        }
    }
    let n = (image.width * image.height) as f64;
    sums.into_iter().map(|(sum, square)| (sum as f64 / n / 255.0, square as f64 / n / 65025.0)).collect()
}

/// The channels of images with these `moments`; none without images. Sums are in the order given, so they do not depend on threads.
pub(super) fn channels<'a>(
    moments: impl IntoIterator<Item = &'a [(f64, f64)]>,
    n_channels: usize,
) -> Vec<Channel> {
    let mut sums = vec![(0.0, 0.0); n_channels];
    let mut n = 0.0;
    for image in moments {
        for (sum, (mean, mean_square)) in sums.iter_mut().zip(image) {
            *sum = (sum.0 + mean, sum.1 + mean_square);
        }
        n += 1.0;
    }
    let channel = |(mean, square): (f64, f64)| {
        let (mean, square) = (mean / n, square / n);
        Channel { mean, std: (square - mean * mean).max(0.0).sqrt() }
    };
    if n == 0.0 { Vec::new() } else { sums.into_iter().map(channel).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_each_channel() {
        let image = ByteImage { width: 2, height: 1, channels: 2, values: vec![0, 51, 255, 51] };
        let found = moments(&image);
        for ((mean, square), (expected, expected_square)) in found.into_iter().zip([(0.5, 0.5), (0.2, 0.04)])
        {
            assert!((mean - expected).abs() < 1e-12 && (square - expected_square).abs() < 1e-12);
        }
    }
}
