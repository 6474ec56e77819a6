//! Mixup and CutMix: each image of a batch is mixed with another one, and so is its label.

use plugin_api::Rng;

use super::targets::Targets;

/// How the images of a batch are mixed (Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899), as by timm's
/// `Mixup` in its mode `batch`: all by one share, each with the image as far from the end of the batch as it is from the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixing {
    /// Mixup's α: the share is of the distribution Beta(α, α). 0 turns it off.
    pub mixup: f64,
    /// CutMix's α: the share outside of a rectangle that is taken from the other image. 0 turns it off.
    pub cutmix: f64,
    /// How often it is CutMix, where both are on, from 0 to 1.
    pub cutmix_share: f64,
}

impl Mixing {
    /// No mixing.
    pub const NONE: Self = Self { mixup: 0.0, cutmix: 0.0, cutmix_share: 0.5 };

    /// Mixes images, `(N, H, W, C)`, of `[H, W, C]` values each, and what is to be said of them.
    pub(super) fn apply(
        &self,
        images: &mut [f32],
        [height, width, channels]: [usize; 3],
        targets: &mut Targets,
        rng: &mut Rng,
    ) {
        let Self { mixup, cutmix, cutmix_share } = *self;
        // As many draws as there may be, in one order.
        let switch = rng.unit();
        let is_cut = cutmix > 0.0 && (mixup == 0.0 || switch < cutmix_share);
        let alpha = if is_cut { cutmix } else { mixup };
        if alpha == 0.0 {
            return;
        }
        let own = beta(alpha, rng);
        let n_of_image = height * width * channels;
        if is_cut {
            let region = Rectangle::draw((height, width), own, rng);
            for (image, other) in pairs(images, n_of_image) {
                region.exchange(image, other, width * channels, channels);
            }
            targets.mix_with_reversed(1.0 - region.area() as f64 / (height * width) as f64);
        } else {
            let (share, rest) = (own as f32, (1.0 - own) as f32);
            for (image, other) in pairs(images, n_of_image) {
                for (a, b) in image.iter_mut().zip(other) {
                    (*a, *b) = (share * *a + rest * *b, share * *b + rest * *a);
                }
            }
            targets.mix_with_reversed(own);
        }
    }
}

/// Each image of the first half with its counterpart; one in the middle, mixed with itself, stays.
fn pairs(images: &mut [f32], n_of_image: usize) -> impl Iterator<Item = (&mut [f32], &mut [f32])> {
    let n = images.len() / n_of_image;
    let (first, second) = images.split_at_mut(n.div_ceil(2) * n_of_image);
    first.chunks_exact_mut(n_of_image).zip(second.chunks_exact_mut(n_of_image).rev())
}

/// What CutMix cuts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rectangle {
    top: usize,
    left: usize,
    bottom: usize,
    right: usize,
}

impl Rectangle {
    /// Of images of `(H, W)` pixels: the share `1 - own` of both sides' product, around a point of the image, cut off at the
    /// image's edges.
    fn draw((height, width): (usize, usize), own: f64, rng: &mut Rng) -> Self {
        let side = (1.0 - own).sqrt();
        let mut span = |of: usize| {
            let length = (of as f64 * side) as usize;
            let middle = rng.below(of);
            (middle.saturating_sub(length / 2), (middle + length.div_ceil(2)).min(of))
        };
        let (top, bottom) = span(height);
        let (left, right) = span(width);
        Self { top, left, bottom, right }
    }

    fn area(self) -> usize {
        (self.bottom - self.top) * (self.right - self.left)
    }

    /// Exchanges it between two images, of `row` values a row.
    fn exchange(self, image: &mut [f32], other: &mut [f32], row: usize, channels: usize) {
        for y in self.top..self.bottom {
            let values = row * y + channels * self.left..row * y + channels * self.right;
            image[values.clone()].swap_with_slice(&mut other[values]);
        }
    }
}

/// A draw of Beta(α, α): one of two equal gamma draws, as a share of both.
fn beta(alpha: f64, rng: &mut Rng) -> f64 {
    let (a, b) = (gamma(alpha, rng), gamma(alpha, rng));
    // Of a tiny α both may be too small for a number: then one of the images is all.
    if a + b > 0.0 { a / (a + b) } else { 1.0 }
}

/// A draw of the gamma distribution of this shape and scale 1 (Marsaglia & Tsang 2000, doi:10.1145/358407.358414).
fn gamma(shape: f64, rng: &mut Rng) -> f64 {
    if shape < 1.0 {
        let boost = (1.0 - rng.unit()).powf(1.0 / shape);
        return boost * gamma(shape + 1.0, rng);
    }
    let d = shape - 1.0 / 3.0;
    loop {
        let x = rng.normal();
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        let u = 1.0 - rng.unit();
        if v > 0.0 && u.ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [8, 6, 2];

    /// Images of one value each, which is also their class.
    fn batch(n: usize) -> (Vec<f32>, Targets) {
        let labels: Vec<u32> = (0..n as u32).collect();
        let images = labels.iter().flat_map(|&label| vec![label as f32; SHAPE.iter().product()]).collect();
        (images, Targets::of_labels(&labels, n, 0.0))
    }

    fn mixed(mixing: Mixing, n: usize, seed: u64) -> (Vec<f32>, Targets) {
        let (mut images, mut targets) = batch(n);
        mixing.apply(&mut images, SHAPE, &mut targets, &mut Rng::new(seed, "mix", &[]));
        (images, targets)
    }

    /// The mean value of an image of single-valued ones is that of its label.
    #[test]
    fn labels_are_mixed_by_the_share_of_pixels_of_each_image() {
        for (mixup, cutmix) in [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)] {
            for seed in 0..50 {
                let n = 4 + seed as usize % 2;
                let (images, targets) = mixed(Mixing { mixup, cutmix, cutmix_share: 0.5 }, n, seed);
                let n_of_image = SHAPE.iter().product::<usize>();
                for (image, row) in images.chunks(n_of_image).zip(targets.shares().chunks(n)) {
                    let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / n_of_image as f64;
                    let expected: f64 =
                        row.iter().enumerate().map(|(class, share)| class as f64 * share).sum();
                    assert!((mean - expected).abs() < 1e-5, "{mean} {expected}");
                    assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn mixup_blends_all_pixels_and_cutmix_exchanges_a_rectangle() {
        let is_of_whole_values = |images: &[f32]| images.iter().all(|value| value.fract() == 0.0);
        let (mut n_cut, mut n_blended) = (0, 0);
        for seed in 0..200 {
            let mixing = Mixing { mixup: 0.8, cutmix: 1.0, cutmix_share: 0.25 };
            let (images, _) = mixed(mixing, 4, seed);
            if is_of_whole_values(&images) { n_cut += 1 } else { n_blended += 1 }
        }
        assert!((30..70).contains(&n_cut), "{n_cut} of {}", n_cut + n_blended);
        let (images, _) = mixed(Mixing { mixup: 0.0, cutmix: 1.0, cutmix_share: 0.0 }, 4, 3);
        assert!(is_of_whole_values(&images) && images != batch(4).0);
        assert_eq!(mixed(Mixing::NONE, 4, 0), batch(4));
    }

    #[test]
    fn a_rectangle_has_the_sides_and_the_place_that_timm_gives_it() {
        // import numpy as np; from unittest import mock; from timm.data.mixup import rand_bbox
        // with mock.patch("numpy.random.randint", side_effect=[7, 1]): print(rand_bbox((8, 6), 0.6))
        // (np.int64(5), np.int64(8), np.int64(0), np.int64(3)): top, bottom, left and right around row 7 and column 1
        let seed = (0..10_000).find(|&seed| {
            let mut rng = Rng::new(seed, "mix", &[]);
            (rng.below(8), rng.below(6)) == (7, 1)
        });
        let region = Rectangle::draw((8, 6), 0.6, &mut Rng::new(seed.unwrap(), "mix", &[]));
        assert_eq!(region, Rectangle { top: 5, bottom: 8, left: 0, right: 3 });
    }

    #[test]
    fn shares_have_the_moments_of_their_distribution() {
        for alpha in [0.2, 0.8, 1.0, 3.0] {
            let mut rng = Rng::new(1, "shares", &[]);
            let shares: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut rng)).collect();
            let mean = shares.iter().sum::<f64>() / 2e4;
            let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 2e4;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.01 && (variance - expected).abs() < 0.004, "{alpha}: {variance}");
        }
        assert!((0.0..=1.0).contains(&beta(1e-6, &mut Rng::new(0, "shares", &[]))));
    }
}
