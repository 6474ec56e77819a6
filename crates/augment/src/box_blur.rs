//! The box blur with a fractional radius, in Pillow's whole-number arithmetic.

use train_core::ByteImage;

use crate::wide::wide;

/// A box of `2 whole + 1` pixels of weight `near` and one of weight `far` at each end, in 2⁻²⁴.
///
/// A sum of bytes with these weights fits 32 bits, for the weights add up to 2²⁴ or a little less.
#[derive(Clone, Copy)]
pub(crate) struct BoxKernel {
    whole: usize,
    near: u32,
    far: u32,
}

impl BoxKernel {
    /// The kernel of a radius of 0 or more.
    pub(crate) fn new(radius: f32) -> Self {
        let whole = radius as usize;
        let near = (16_777_216.0 / (radius * 2.0 + 1.0)) as u32;
        let far = ((1 << 24) - (2 * whole as u32 + 1) * near) / 2;
        Self { whole, near, far }
    }

    /// `n_passes` blurs along the rows, then as many along the columns.
    pub(crate) fn blur(self, image: &mut ByteImage, n_passes: usize) {
        // Up to three whole pixels each way (a sigma of 6), a sum over slices that the compiler sees as a whole.
        match self.whole {
            0 => wide(|| blur_narrow::<3>(self, image, n_passes)),
            1 => wide(|| blur_narrow::<5>(self, image, n_passes)),
            2 => wide(|| blur_narrow::<7>(self, image, n_passes)),
            3 => wide(|| blur_narrow::<9>(self, image, n_passes)),
            _ => blur_far(self, image, n_passes),
        }
    }

    #[inline(always)]
    fn weigh(self, near: u32, far: u32) -> u8 {
        ((near * self.near + far * self.far + (1 << 23)) >> 24) as u8
    }
}

/// The blur with a kernel of `N = 2 whole + 3` taps.
#[inline(always)]
fn blur_narrow<const N: usize>(kernel: BoxKernel, image: &mut ByteImage, n_passes: usize) {
    let reach = N / 2;
    let (width, height) = (image.width, image.height);
    let len = 3 * width;
    let mut padded = vec![0; len + 6 * reach];
    for row in image.rgb.chunks_exact_mut(len) {
        for _ in 0..n_passes {
            pad(row, reach, &mut padded);
            weigh_taps(kernel, std::array::from_fn::<&[u8], N, _>(|tap| &padded[3 * tap..][..len]), row);
        }
    }
    let mut other = vec![0; image.rgb.len()];
    for _ in 0..n_passes {
        for (y, row) in other.chunks_exact_mut(len).enumerate() {
            let tap_row = |tap: usize| (y + tap).saturating_sub(reach).min(height - 1);
            weigh_taps(kernel, std::array::from_fn::<&[u8], N, _>(|tap| &image.rgb[tap_row(tap) * len..][..len]), row);
        }
        std::mem::swap(&mut image.rgb, &mut other);
    }
}

/// `row` with its first and last pixel repeated `reach` times.
#[inline(always)]
fn pad(row: &[u8], reach: usize, padded: &mut [u8]) {
    let (first, last) = (&row[..3], &row[row.len() - 3..]);
    padded[3 * reach..][..row.len()].copy_from_slice(row);
    for i in 0..reach {
        padded[3 * i..][..3].copy_from_slice(first);
        padded[3 * reach + row.len() + 3 * i..][..3].copy_from_slice(last);
    }
}

#[inline(always)]
fn weigh_taps<const N: usize>(kernel: BoxKernel, taps: [&[u8]; N], out: &mut [u8]) {
    let n = out.len();
    let taps = taps.map(|tap| &tap[..n]);
    for (i, value) in out.iter_mut().enumerate() {
        let mut near = 0;
        for tap in &taps[1..N - 1] {
            near += u16::from(tap[i]);
        }
        let far = u16::from(taps[0][i]) + u16::from(taps[N - 1][i]);
        *value = kernel.weigh(u32::from(near), u32::from(far));
    }
}

/// The blur with a kernel of any length, by running sums.
fn blur_far(kernel: BoxKernel, image: &mut ByteImage, n_passes: usize) {
    let (width, height) = (image.width, image.height);
    let mut line = Vec::new();
    for _ in 0..n_passes {
        for y in 0..height {
            for channel in 0..3 {
                blur_line(kernel, &mut image.rgb[3 * width * y + channel..], 3, width, &mut line);
            }
        }
    }
    for _ in 0..n_passes {
        for column in 0..3 * width {
            blur_line(kernel, &mut image.rgb[column..], 3 * width, height, &mut line);
        }
    }
}

/// The blur of the `n` values that lie `stride` apart.
fn blur_line(kernel: BoxKernel, values: &mut [u8], stride: usize, n: usize, line: &mut Vec<u8>) {
    line.clear();
    line.extend(values.iter().step_by(stride).take(n));
    let at = |i: isize| u32::from(line[i.clamp(0, n as isize - 1) as usize]);
    let whole = kernel.whole as isize;
    let mut near: u32 = (-whole..=whole).map(at).sum();
    for i in 0..n as isize {
        values[i as usize * stride] = kernel.weigh(near, at(i - whole - 1) + at(i + whole + 1));
        near = near + at(i + whole + 1) - at(i - whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_sums_and_sums_over_slices_agree() {
        for (width, height) in [(1, 1), (2, 9), (33, 7)] {
            let rgb: Vec<u8> = (0..width * height * 3).map(|i| (i * i * 31 + i * 7) as u8).collect();
            for radius in [0.01, 0.7, 1.0, 1.4, 2.5, 3.99] {
                let mut narrow = ByteImage { width, height, rgb: rgb.clone() };
                let mut far = narrow.clone();
                BoxKernel::new(radius).blur(&mut narrow, 3);
                blur_far(BoxKernel::new(radius), &mut far, 3);
                assert_eq!(narrow, far, "{width} x {height}, radius {radius}");
            }
        }
    }
}
