//! Hue shift, in Pillow's 8-bit HSV.

use plugin_api::ByteImage;

use crate::planes::{LANES, Planes, change_pixels};
use crate::wide::{cut_off_f64, wide};

/// Shifts every hue by `turn`, in full turns from -0.5 to 0.5, by converting to 8-bit HSV and back.
///
/// The conversion to 8 bits is slightly lossy even for `turn` 0, as in Pillow.
pub fn shift_hue(image: &mut ByteImage, turn: f64) {
    let steps = (turn * 255.0) as i32 as u8; // Towards zero, then around the byte, as torchvision casts it.
    let rgb = &mut image.values[..];
    wide(
        #[inline(always)]
        || shift_pixels(rgb, steps),
    );
}

#[inline(always)]
fn shift_pixels(rgb: &mut [u8], steps: u8) {
    change_pixels(
        rgb,
        #[inline(always)]
        |planes| shift_planes(planes, steps),
    );
}

#[inline(always)]
fn shift_planes(planes: &mut Planes, steps: u8) {
    let (mut h, mut s, mut v) = ([0; LANES], [0; LANES], [0; LANES]);
    for i in 0..LANES {
        (h[i], s[i], v[i]) = to_hsv(planes.r[i], planes.g[i], planes.b[i]);
    }
    for i in 0..LANES {
        (planes.r[i], planes.g[i], planes.b[i]) = to_rgb(h[i].wrapping_add(steps), s[i], v[i]);
    }
}

/// Hue, saturation and value. The hue circle has 255 steps; 0 and 255 are both red.
///
/// The precision of each operation is Pillow's: if the exact value is an integer, it decides whether the result is that
/// integer or the one below. There are no branches, so the loop is vectorized.
#[inline(always)]
fn to_hsv(r: u8, g: u8, b: u8) -> (u8, u8, u8) {
    let max = r.max(g).max(b);
    let range = f32::from(max - r.min(g).min(b));
    let colorless = range == 0.0;
    let divisor = if colorless { 1.0 } else { range };
    let rc = f32::from(max - r) / divisor;
    let gc = f32::from(max - g) / divisor;
    let bc = f32::from(max - b) / divisor;
    let from_red = bc - gc;
    let from_green = (2.0 + f64::from(rc) - f64::from(bc)) as f32;
    let from_blue = (4.0 + f64::from(gc) - f64::from(rc)) as f32;
    let sextant = if r == max {
        from_red
    } else if g == max {
        from_green
    } else {
        from_blue
    };
    let turns = f64::from(sextant) / 6.0 + 1.0; // From 5/6 to 11/6.
    let turn = (if turns >= 1.0 { turns - 1.0 } else { turns }) as f32;
    let hue = cut_off_f64(f64::from(turn) * 255.0);
    let saturation = cut_off_f64(f64::from(range / f32::from(max.max(1))) * 255.0);
    (if colorless { 0 } else { hue }, saturation, max)
}

/// The color of a hue, saturation and value, in integers: no product here is half-way between two bytes.
#[inline(always)]
fn to_rgb(h: u8, s: u8, v: u8) -> (u8, u8, u8) {
    let (h, s, v) = (u32::from(h) * 6, u32::from(s), u32::from(v));
    let sector = h / 255; // 0 to 6; 6 is 0 again.
    let along = h - sector * 255; // In 255ths of a sector.
    let p = ((v * (255 - s) + 127) / 255) as u8;
    let q = ((v * (65025 - s * along) + 32512) / 65025) as u8;
    let t = ((v * (65025 - s * (255 - along)) + 32512) / 65025) as u8;
    let v = v as u8;
    let red = if sector == 1 {
        q
    } else if sector == 2 || sector == 3 {
        p
    } else if sector == 4 {
        t
    } else {
        v
    };
    let green = if sector == 0 || sector == 6 {
        t
    } else if sector < 3 {
        v
    } else if sector == 3 {
        q
    } else {
        p
    };
    let blue = if sector == 2 {
        t
    } else if sector == 3 || sector == 4 {
        v
    } else if sector == 5 {
        q
    } else {
        p
    };
    (red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hue, saturation and value by the textbook's formulas (Smith 1978), in Pillow's precisions.
    fn plain_hsv(r: u8, g: u8, b: u8) -> (u8, u8, u8) {
        let max = r.max(g).max(b);
        let min = r.min(g).min(b);
        if max == min {
            return (0, 0, max);
        }
        let range = f32::from(max - min);
        let distance = |channel: u8| f32::from(max - channel) / range;
        let (rc, gc, bc) = (distance(r), distance(g), distance(b));
        let sextant = match max {
            _ if r == max => bc - gc,
            _ if g == max => (2.0 + f64::from(rc) - f64::from(bc)) as f32,
            _ => (4.0 + f64::from(gc) - f64::from(rc)) as f32,
        };
        let turn = ((f64::from(sextant) / 6.0 + 1.0) % 1.0) as f32;
        let saturation = range / f32::from(max);
        ((f64::from(turn) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, max)
    }

    /// The way back by the textbook's formulas, in Pillow's precisions.
    fn plain_rgb(h: u8, s: u8, v: u8) -> (u8, u8, u8) {
        let sextant = f64::from(h) * 6.0 / 255.0;
        let f = f64::from((sextant - sextant.floor()) as f32);
        let fs = f64::from((f64::from(s) / 255.0) as f32);
        let byte = |share: f64| (f64::from(v) * share).round() as u8;
        let (p, q, t) = (byte(1.0 - fs), byte(1.0 - fs * f), byte(1.0 - fs * (1.0 - f)));
        match sextant as u8 % 6 {
            0 => (v, t, p),
            1 => (q, v, p),
            2 => (p, v, t),
            3 => (p, q, v),
            4 => (t, p, v),
            _ => (v, p, q),
        }
    }

    #[test]
    fn every_color_has_the_hue_of_the_plain_formulas() {
        for (r, g, b) in every_triple() {
            assert_eq!(to_hsv(r, g, b), plain_hsv(r, g, b), "{r} {g} {b}");
        }
    }

    #[test]
    fn every_hue_has_the_color_of_the_plain_formulas() {
        for (h, s, v) in every_triple() {
            assert_eq!(to_rgb(h, s, v), plain_rgb(h, s, v), "{h} {s} {v}");
        }
    }

    #[test]
    fn a_third_of_a_turn_makes_green_of_red() {
        let mut image = ByteImage::rgb(1, 1, vec![200, 0, 0]);
        shift_hue(&mut image, 1.0 / 3.0);
        assert_eq!(image.values, [0, 200, 0]);
    }

    fn every_triple() -> impl Iterator<Item = (u8, u8, u8)> {
        (0..1_u32 << 24).map(|i| (i as u8, (i >> 8) as u8, (i >> 16) as u8))
    }
}
