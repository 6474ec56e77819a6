//! Text in pictures: letters of 8 by 8 pixels.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts as _};
use image::{Rgb, RgbImage};

/// Side of a letter in pixels.
pub(crate) const LETTER_PX: u32 = 8;

/// Writes `text` with its left upper corner at `(left, top)`. What does not fit is left out; letters without a glyph become `?`.
pub(crate) fn write(picture: &mut RgbImage, text: &str, (left, top): (u32, u32), color: Rgb<u8>) {
    for (i, letter) in (0..).zip(text.chars()) {
        for (row, bits) in (0..).zip(glyph(letter)) {
            for column in (0..LETTER_PX).filter(|column| bits >> column & 1 == 1) {
                let (x, y) = (left + i * LETTER_PX + column, top + row);
                if x < picture.width() && y < picture.height() {
                    picture.put_pixel(x, y, color);
                }
            }
        }
    }
}

fn glyph(letter: char) -> [u8; 8] {
    let known = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter));
    known.or_else(|| BASIC_FONTS.get('?')).unwrap_or_default()
}

/// The width of `text` in pixels.
pub(crate) fn width(text: &str) -> u32 {
    text.chars().count() as u32 * LETTER_PX
}

/// The first letters of `text`, with `..` in place of what has no room in `pixels`.
pub(crate) fn cut(text: &str, pixels: u32) -> String {
    let room = (pixels / LETTER_PX) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(2)).collect();
    format!("{kept}..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_drawn_where_they_fit() {
        let mut picture = RgbImage::new(12, 8);
        write(&mut picture, "Hé猫", (0, 0), Rgb([255; 3]));
        assert!(picture.pixels().any(|pixel| pixel.0 == [255; 3]));
        write(&mut picture, "far away", (100, 100), Rgb([255; 3]));
        assert_eq!(
            (width("Hé猫"), cut("a long name", 40), cut("short", 40)),
            (24, "a l..".into(), "short".into())
        );
    }
}
