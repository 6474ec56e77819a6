//! Rotations, shears and translations, with Pillow's bicubic filter.

use plugin_api::ByteImage;

/// Where each pixel comes from: `x' = m[0] x + m[1] y + m[2]` and `y' = m[3] x + m[4] y + m[5]`, at the middles of pixels.
type Matrix = [f64; 6];

/// Turns the image by `degrees`, counterclockwise, around its middle; pixels from outside get the color `fill`.
///
/// # Panics
/// If `fill` has another number of channels.
pub fn rotate(image: &ByteImage, degrees: f64, fill: &[u8]) -> ByteImage {
    let angle = degrees.rem_euclid(360.0);
    if angle == 0.0 {
        return image.clone();
    }
    // Pillow rounds them to 15 digits.
    let rounded = |value: f64| (value * 1e15).round_ties_even() / 1e15;
    let (sin, cos) = (-angle.to_radians()).sin_cos();
    let (sin, cos) = (rounded(sin), rounded(cos));
    let (x, y) = (image.width as f64 / 2.0, image.height as f64 / 2.0);
    let right = cos * -x + sin * -y + x;
    let down = -sin * -x + cos * -y + y;
    moved(image, [cos, sin, right, -sin, cos, down], fill)
}

/// Each row comes from `slope` pixels further right than the row above it; pixels from outside get the color `fill`.
///
/// # Panics
/// If `fill` has another number of channels.
pub fn shear_horizontally(image: &ByteImage, slope: f64, fill: &[u8]) -> ByteImage {
    moved(image, [1.0, slope, 0.0, 0.0, 1.0, 0.0], fill)
}

/// Each column comes from `slope` pixels further down than the column left of it; pixels from outside get the color `fill`.
///
/// # Panics
/// If `fill` has another number of channels.
pub fn shear_vertically(image: &ByteImage, slope: f64, fill: &[u8]) -> ByteImage {
    moved(image, [1.0, 0.0, 0.0, slope, 1.0, 0.0], fill)
}

/// Each pixel comes from so many pixels further `(down, right)`; pixels from outside get the color `fill`.
///
/// # Panics
/// If `fill` has another number of channels.
pub fn translate(image: &ByteImage, (down, right): (f64, f64), fill: &[u8]) -> ByteImage {
    moved(image, [1.0, 0.0, right, 0.0, 1.0, down], fill)
}

fn moved(image: &ByteImage, m: Matrix, fill: &[u8]) -> ByteImage {
    let n = image.channels;
    assert_eq!(fill.len(), n, "a color has a value for each channel");
    let mut values = Vec::with_capacity(image.values.len());
    for row in 0..image.height {
        for column in 0..image.width {
            let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
            let from = (m[3] * x + m[4] * y + m[5], m[0] * x + m[1] * y + m[2]);
            match Taps::at(image, from) {
                Some(taps) => values.extend((0..n).map(|channel| taps.value(image, channel))),
                None => values.extend_from_slice(fill),
            }
        }
    }
    ByteImage { values, ..*image }
}

/// The 4 x 4 pixels around a point.
struct Taps {
    /// Rows; the same as the one before where the image ends below it.
    rows: [usize; 4],
    columns: [usize; 4],
    /// Where the point is between the middles of the second and the third of them.
    down: f64,
    right: f64,
}

impl Taps {
    /// Around `(y, x)`; `None` outside of the image.
    fn at(image: &ByteImage, (y, x): (f64, f64)) -> Option<Self> {
        let is_within = |at: f64, side: usize| 0.0 <= at && at < side as f64;
        if !(is_within(y, image.height) && is_within(x, image.width)) {
            return None;
        }
        let (y, x) = (y - 0.5, x - 0.5);
        let (top, left) = (y.floor(), x.floor());
        let places = |first: f64, side: usize| {
            std::array::from_fn(|i| (first as i64 - 1 + i as i64).clamp(0, side as i64 - 1) as usize)
        };
        Some(Self {
            rows: places(top, image.height),
            columns: places(left, image.width),
            down: y - top,
            right: x - left,
        })
    }

    fn value(&self, image: &ByteImage, channel: usize) -> u8 {
        let of_row = |row: usize| {
            let at = |column: usize| {
                f64::from(image.values[image.channels * (row * image.width + column) + channel])
            };
            cubic(self.columns.map(at), self.right)
        };
        // `as` cuts off, as Pillow does.
        cubic(self.rows.map(of_row), self.down) as u8
    }
}

/// The cubic through the middle two of `v` with the slopes of their neighbors, at `d` from the second.
fn cubic(v: [f64; 4], d: f64) -> f64 {
    let p = [v[1], -v[0] + v[2], 2.0 * (v[0] - v[1]) + v[2] - v[3], -v[0] + v[1] - v[2] + v[3]];
    p[0] + d * (p[1] + d * (p[2] + d * p[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pixels_move_as_they_are_and_the_rest_is_filled() {
        let image = ByteImage { width: 3, height: 2, channels: 1, values: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(translate(&image, (0.0, 1.0), &[9]).values, [2, 3, 9, 5, 6, 9]);
        assert_eq!(translate(&image, (-1.0, 0.0), &[9]).values, [9, 9, 9, 1, 2, 3]);
        assert_eq!(rotate(&image, 180.0, &[9]).values, [6, 5, 4, 3, 2, 1]);
        assert_eq!(rotate(&image, 360.0, &[9]), image);
    }

    #[test]
    fn one_pixel_is_enough() {
        let image = ByteImage::rgb(1, 1, vec![7, 8, 9]);
        assert_eq!(rotate(&image, 27.0, &[0; 3]), image);
        assert_eq!(shear_horizontally(&image, 0.3, &[0; 3]), image);
        assert_eq!(shear_vertically(&image, -0.3, &[0; 3]), image);
    }
}
