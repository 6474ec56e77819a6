//! The box blur with a fractional radius, in Pillow's integer arithmetic.

use plugin_api::ByteImage;

use crate::wide::wide;

/// A box of `2 whole + 1` pixels with weight `near`, and one pixel with weight `far` at each end, in 2⁻²⁴.
///
/// A sum of bytes with these weights fits in 32 bits, because the weights add up to at most 2²⁴.
#[derive(Clone, Copy)]
pub(crate) struct BoxKernel {
    whole: usize,
    near: u32,
    far: u32,
}

impl BoxKernel {
    /// The largest radius for which the plain sum of bytes fits in 16 bits.
    pub(crate) const MAX_RADIUS: f32 = 128.0;

    /// The kernel for a radius from 0 to below [`MAX_RADIUS`](Self::MAX_RADIUS).
    pub(crate) fn new(radius: f32) -> Self {
        let whole = radius as usize;
        let near = (16_777_216.0 / (radius * 2.0 + 1.0)) as u32;
        let far = ((1 << 24) - (2 * whole as u32 + 1) * near) / 2;
        Self { whole, near, far }
    }

    /// `n_passes` blurs along the rows, then as many along the columns.
    pub(crate) fn blur(self, image: &mut ByteImage, n_passes: usize) {
        wide(
            #[inline(always)]
            || blur_rows(self, image, n_passes),
        );
        wide(
            #[inline(always)]
            || blur_columns(self, image, n_passes),
        );
    }
}

#[inline(always)]
fn blur_rows(kernel: BoxKernel, image: &mut ByteImage, n_passes: usize) {
    let n = image.channels;
    let len = n * image.width;
    let reach = kernel.whole + 1;
    let mut padded = vec![0; len + 2 * n * reach];
    let mut sums = vec![0; len];
    for row in image.values.chunks_exact_mut(len) {
        for _ in 0..n_passes {
            pad(row, n, reach, &mut padded);
            weigh(
                kernel,
                #[inline(always)]
                |tap| &padded[n * tap..][..len],
                &mut sums,
                row,
            );
        }
    }
}

#[inline(always)]
fn blur_columns(kernel: BoxKernel, image: &mut ByteImage, n_passes: usize) {
    let len = image.channels * image.width;
    let reach = kernel.whole + 1;
    let mut sums = vec![0; len];
    let mut blurred = vec![0; image.values.len()];
    for _ in 0..n_passes {
        for (y, row) in blurred.chunks_exact_mut(len).enumerate() {
            let tap_row = |tap: usize| (y + tap).saturating_sub(reach).min(image.height - 1);
            weigh(
                kernel,
                #[inline(always)]
                |tap| &image.values[tap_row(tap) * len..][..len],
                &mut sums,
                row,
            );
        }
        std::mem::swap(&mut image.values, &mut blurred);
    }
}

/// `row` with its first and last pixel of `n` channels repeated `reach` times.
#[inline(always)]
fn pad(row: &[u8], n: usize, reach: usize, padded: &mut [u8]) {
    let (first, last) = (&row[..n], &row[row.len() - n..]);
    padded[n * reach..][..row.len()].copy_from_slice(row);
    for i in 0..reach {
        padded[n * i..][..n].copy_from_slice(first);
        padded[n * reach + row.len() + n * i..][..n].copy_from_slice(last);
    }
}

/// The weighted sum of the kernel's taps, slices of the length of `out`. It loops over two or three slices each, which
/// the compiler vectorizes.
#[inline(always)]
fn weigh<'a>(kernel: BoxKernel, tap: impl Fn(usize) -> &'a [u8], sums: &mut [u16], out: &mut [u8]) {
    let n_near = 2 * kernel.whole + 1;
    for (sum, &v) in sums.iter_mut().zip(tap(1)) {
        *sum = u16::from(v);
    }
    for near in 2..=n_near {
        for (sum, &v) in sums.iter_mut().zip(tap(near)) {
            *sum += u16::from(v);
        }
    }
    let ends = tap(0).iter().zip(tap(n_near + 1));
    for ((value, &near), (&first, &last)) in out.iter_mut().zip(&*sums).zip(ends) {
        let far = u32::from(first) + u32::from(last);
        *value = ((u32::from(near) * kernel.near + far * kernel.far + (1 << 23)) >> 24) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_blurred_as_if_it_were_alone() {
        for n_channels in [2, 3, 5, 16] {
            let values = (0..11 * 9 * n_channels).map(|i| (i * i * 31 + i * 7) as u8).collect();
            let image = ByteImage { width: 11, height: 9, channels: n_channels, values };
            let mut all = image.clone();
            BoxKernel::new(1.4).blur(&mut all, 3);
            for c in 0..n_channels {
                let of = |image: &ByteImage| -> Vec<u8> {
                    image.values.iter().copied().skip(c).step_by(n_channels).collect()
                };
                let mut alone = ByteImage { channels: 1, values: of(&image), ..image };
                BoxKernel::new(1.4).blur(&mut alone, 3);
                assert_eq!(of(&all), alone.values, "channel {c} of {n_channels}");
            }
        }
    }

    /// One pass along a line, term by term.
    fn plain(line: &[u8], radius: f32) -> Vec<u8> {
        let BoxKernel { whole, near, far } = BoxKernel::new(radius);
        let (whole, last) = (whole as isize, line.len() as isize - 1);
        let at = |i: isize| u32::from(line[i.clamp(0, last) as usize]);
        let sum = |i| {
            (i - whole..=i + whole).map(at).sum::<u32>() * near
                + (at(i - whole - 1) + at(i + whole + 1)) * far
        };
        (0..=last).map(|i| ((sum(i) + (1 << 23)) >> 24) as u8).collect()
    }

    #[test]
    fn rows_and_columns_are_blurred_alike_to_the_border() {
        for len in [1, 2, 9, 40] {
            let line: Vec<u8> = (0..len).map(|i| (i * i * 31 + i * 7) as u8).collect();
            let rgb: Vec<u8> = line.iter().flat_map(|&v| [v, 255 - v, 9]).collect();
            for radius in [0.01, 0.7, 1.0, 1.4, 2.5, 30.0] {
                let mut row = ByteImage::rgb(len, 1, rgb.clone());
                let mut column = ByteImage::rgb(1, len, rgb.clone());
                BoxKernel::new(radius).blur(&mut row, 1);
                BoxKernel::new(radius).blur(&mut column, 1);
                let red: Vec<u8> = row.values.iter().copied().step_by(3).collect();
                assert_eq!(red, plain(&line, radius), "{len} pixels, radius {radius}");
                assert_eq!(row.values, column.values);
            }
        }
    }
}
