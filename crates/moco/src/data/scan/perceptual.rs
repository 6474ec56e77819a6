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

/// The means over the cells of a grid of `SIDE` x `SIDE`; a pixel that cells share counts in each as far as it covers it.
fn reduced(image: &ByteImage) -> Vec<f64> {
    let columns: Vec<Cell> = (0..SIDE).map(|i| Cell::of(i, image.width)).collect();
    let mut gray = vec![0.0; SIDE * SIDE];
    for (cells, row) in gray.chunks_exact_mut(SIDE).zip((0..SIDE).map(|i| Cell::of(i, image.height))) {
        for (y, height) in row.pixels() {
            let pixels = &image.values[y * image.width * image.channels..];
            for (cell, column) in cells.iter_mut().zip(&columns) {
                let sum: f64 = column
                    .pixels()
                    .map(|(x, width)| width * brightness(&pixels[x * image.channels..][..image.channels]))
                    .sum();
                *cell += height * sum;
            }
        }
    }
    gray
}

/// A part of a side, of as many as `SIDE`.
struct Cell {
    from: f64,
    to: f64,
}

impl Cell {
    fn of(i: usize, side: usize) -> Self {
        let place = |i: usize| (i * side) as f64 / SIDE as f64;
        Self { from: place(i), to: place(i + 1) }
    }

    /// The pixels that it touches, and the share of it that each covers.
    fn pixels(&self) -> impl Iterator<Item = (usize, f64)> {
        let (from, to) = (self.from, self.to);
        (from as usize..to.ceil() as usize).map(move |pixel| {
            let covered = (pixel as f64 + 1.0).min(to) - (pixel as f64).max(from);
            (pixel, covered / (to - from))
        })
    }
}

/// The usual weights for three channels, otherwise the mean of the channels.
fn brightness(pixel: &[u8]) -> f64 {
    match pixel {
        &[r, g, b] => 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b),
        values => values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64,
    }
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

    /// A smooth picture, of waves whose heights are drawn by `kind`.
    fn picture(kind: u64, width: usize, height: usize) -> ByteImage {
        let mut rng = plugin_api::Rng::new(kind, "picture", &[]);
        let heights: Vec<f64> = (0..64).map(|_| 12.0 * rng.normal()).collect();
        let value = |x: usize, y: usize| {
            let (x, y) = ((x as f64 + 0.5) / width as f64, (y as f64 + 0.5) / height as f64);
            let wave = |i: usize| (PI * x * (i % 8) as f64).cos() * (PI * y * (i / 8) as f64).cos();
            let sum: f64 = heights.iter().enumerate().map(|(i, height)| height * wave(i)).sum();
            (127.0 + sum).clamp(0.0, 255.0) as u8
        };
        let values = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| [value(x, y); 3])
            .collect();
        ByteImage::rgb(width, height, values)
    }

    fn distance(a: &ByteImage, b: &ByteImage) -> u32 {
        (hash(a).unwrap() ^ hash(b).unwrap()).count_ones()
    }

    #[test]
    fn another_size_looks_alike_and_another_picture_does_not() {
        let large = picture(7, 300, 200);
        assert!(distance(&large, &picture(7, 150, 100)) <= 4);
        assert!(distance(&large, &picture(7, 64, 64)) <= 4);
        assert!(distance(&large, &picture(3, 300, 200)) > 8);
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
