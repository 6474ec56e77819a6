//! A number for what an image looks like: nearly the same for other sizes, formats and qualities of one picture.
//!
//! The picture is reduced to 32 x 32 gray values, and the signs of the lowest frequencies of its cosine transform, against
//! their median, are 63 bits: the known "pHash" (Zauner 2010, Implementation and benchmarking of perceptual image hash
//! functions).

use std::f64::consts::PI;
use std::sync::LazyLock;

use plugin_api::ByteImage;

/// Side of the reduced picture.
const SIDE: usize = 32;

/// Frequencies that are kept along each axis.
const N_FREQUENCIES: usize = 8;

/// Pictures whose gray values differ less than this from their mean, on average, look like nothing.
const LEAST_CONTRAST: f64 = 2.0;

/// The bits; `None` for a picture of one color, which looks like every other of its kind.
pub(super) fn hash(image: &ByteImage) -> Option<u64> {
    let gray = reduced(image);
    let mean = gray.iter().sum::<f64>() / gray.len() as f64;
    let contrast = gray.iter().map(|value| (value - mean).abs()).sum::<f64>() / gray.len() as f64;
    if contrast < LEAST_CONTRAST {
        return None;
    }
    let frequencies = frequencies(&gray);
    // The first is the mean of the picture.
    let kept = &frequencies[1..];
    let mut sorted = kept.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    Some(kept.iter().fold(0, |bits, &value| bits << 1 | u64::from(value > median)))
}

/// The means of the cells of a grid of `SIDE` x `SIDE`; of an image that is smaller, the nearest pixels.
fn reduced(image: &ByteImage) -> Vec<f64> {
    let cell = |i: usize, side: usize| {
        let from = i * side / SIDE;
        from..((i + 1) * side / SIDE).max(from + 1)
    };
    let mut gray = Vec::with_capacity(SIDE * SIDE);
    for y in 0..SIDE {
        let rows = cell(y, image.height);
        for x in 0..SIDE {
            let columns = cell(x, image.width);
            let mut sum = 0;
            for row in rows.clone() {
                let start = (row * image.width + columns.start) * image.channels;
                sum += brightness(&image.values[start..][..columns.len() * image.channels], image.channels);
            }
            gray.push(sum as f64 / (rows.len() * columns.len()) as f64);
        }
    }
    gray
}

/// The sum over pixels: the usual weights for three channels, otherwise the mean of the channels.
fn brightness(values: &[u8], channels: usize) -> u64 {
    let pixels = values.chunks_exact(channels);
    if channels == 3 {
        let weighted = |p: &[u8]| 299 * u64::from(p[0]) + 587 * u64::from(p[1]) + 114 * u64::from(p[2]);
        return pixels.map(weighted).sum::<u64>() / 1000;
    }
    values.iter().map(|&value| u64::from(value)).sum::<u64>() / channels as u64
}

/// `cos(pi (2 x + 1) u / 2 SIDE)` for each frequency `u` and place `x`.
static COSINES: LazyLock<[[f64; SIDE]; N_FREQUENCIES]> = LazyLock::new(|| {
    std::array::from_fn(|u| {
        std::array::from_fn(|x| (PI * (2 * x + 1) as f64 * u as f64 / (2 * SIDE) as f64).cos())
    })
});

/// The lowest frequencies of the cosine transform, row by row.
fn frequencies(gray: &[f64]) -> Vec<f64> {
    let along =
        |values: &[f64], u: usize| -> f64 { values.iter().zip(&COSINES[u]).map(|(v, c)| v * c).sum() };
    let rows: Vec<[f64; N_FREQUENCIES]> =
        gray.chunks_exact(SIDE).map(|row| std::array::from_fn(|u| along(row, u))).collect();
    let mut found = Vec::with_capacity(N_FREQUENCIES * N_FREQUENCIES);
    for v in 0..N_FREQUENCIES {
        for u in 0..N_FREQUENCIES {
            let column: Vec<f64> = rows.iter().map(|row| row[u]).collect();
            found.push(along(&column, v));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth picture that depends on `kind`.
    fn picture(kind: f64, width: usize, height: usize) -> ByteImage {
        let value = |x: usize, y: usize, c: f64| {
            let (x, y) = (x as f64 / width as f64, y as f64 / height as f64);
            (127.0 + 90.0 * (kind * x + c).sin() + 30.0 * (2.0 * kind * y).cos()) as u8
        };
        let values = (0..height)
            .flat_map(|y| {
                (0..width).flat_map(move |x| [value(x, y, 0.0), value(x, y, 0.1), value(x, y, 0.2)])
            })
            .collect();
        ByteImage::rgb(width, height, values)
    }

    fn distance(a: &ByteImage, b: &ByteImage) -> u32 {
        (hash(a).unwrap() ^ hash(b).unwrap()).count_ones()
    }

    #[test]
    fn another_size_looks_alike_and_another_picture_does_not() {
        let large = picture(7.0, 300, 200);
        assert!(distance(&large, &picture(7.0, 150, 100)) <= 4);
        assert!(distance(&large, &picture(7.0, 64, 64)) <= 4);
        assert!(distance(&large, &picture(3.0, 300, 200)) > 8);
    }

    #[test]
    fn a_picture_of_one_color_looks_like_nothing() {
        assert_eq!(hash(&ByteImage::rgb(5, 7, vec![90; 105])), None);
        assert!(hash(&ByteImage::rgb(1, 2, vec![0, 0, 0, 255, 255, 255])).is_some());
    }

    #[test]
    fn the_cosine_transform_is_that_of_its_definition() {
        let gray: Vec<f64> = (0..SIDE * SIDE).map(|i| ((i * 37) % 101) as f64).collect();
        let found = frequencies(&gray);
        for (v, u) in [(0, 0), (0, 3), (5, 2), (7, 7)] {
            let mut sum = 0.0;
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let angle = |x: usize, u: usize| PI * (x as f64 + 0.5) * u as f64 / SIDE as f64;
                    sum += gray[y * SIDE + x] * angle(x, u).cos() * angle(y, v).cos();
                }
            }
            assert!((found[v * N_FREQUENCIES + u] - sum).abs() < 1e-6 * (1.0 + sum.abs()));
        }
    }
}
