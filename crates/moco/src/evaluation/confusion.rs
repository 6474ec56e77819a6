//! Draws a confusion matrix.

use std::io::{self, Cursor};

use evaluate::linear::ClassifierScore;
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts as _};
use image::{Rgb, RgbImage};

use crate::write_picture;

/// With more classes, there is no room for text.
const MOST_WITH_TEXT: usize = 40;
/// Side of a cell with a number in it.
const TEXT_CELL_PX: u32 = 32;
/// Approximate longest side of a picture without numbers.
const MOST_PX: u32 = 1500;
const LETTER_PX: u32 = 8;
/// Letters of a class name that are shown.
const NAME_LETTERS: usize = 20;
const WHITE: Rgb<u8> = Rgb([255; 3]);
const BLACK: Rgb<u8> = Rgb([0; 3]);

/// One row per true class, one column per predicted class, in the same order. Each cell shows the percentage of its
/// row; darker is more.
fn draw(score: &ClassifierScore, names: &[String]) -> RgbImage {
    let n = score.n_classes;
    let has_text = n <= MOST_WITH_TEXT;
    let cell = if has_text { TEXT_CELL_PX } else { (MOST_PX / n as u32).clamp(2, TEXT_CELL_PX) };
    let label = |class: usize| {
        let name: String =
            names.get(class).into_iter().flat_map(|name| name.chars()).take(NAME_LETTERS).collect();
        format!("{class} {name}")
    };
    let longest = (0..n).map(|class| label(class).chars().count()).max().unwrap_or(0) as u32;
    let (left, top) = if has_text { ((longest + 1) * LETTER_PX, 2 * LETTER_PX) } else { (0, 0) };
    let mut picture = RgbImage::from_pixel(left + n as u32 * cell, top + n as u32 * cell, WHITE);
    for (row, images) in score.confusion.chunks_exact(n).enumerate() {
        let all = images.iter().sum::<u64>().max(1) as f64;
        let y = top + row as u32 * cell;
        for (column, &found) in images.iter().enumerate() {
            let share = found as f64 / all;
            let x = left + column as u32 * cell;
            fill(&mut picture, (x, y), cell, shade(share));
            if has_text && found > 0 {
                let text = format!("{:.0}", 100.0 * share);
                let color = if share > 0.5 { WHITE } else { BLACK };
                let width = text.len() as u32 * LETTER_PX;
                write(&mut picture, &text, (x + (cell - width) / 2, y + (cell - LETTER_PX) / 2), color);
            }
        }
        if has_text {
            write(&mut picture, &label(row), (0, y + (cell - LETTER_PX) / 2), BLACK);
            let text = row.to_string();
            let width = text.len() as u32 * LETTER_PX;
            let x = left + row as u32 * cell + (cell - width) / 2;
            write(&mut picture, &text, (x, LETTER_PX / 2), BLACK);
        }
    }
    picture
}

/// Draws the confusion matrix of a classifier as a PNG file: one row per true class, one column per predicted class, in the
/// order of `names`. Each cell shows the percentage of its row.
///
/// # Errors
/// If it cannot be encoded.
pub fn confusion_png(score: &ClassifierScore, names: &[String]) -> io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    write_picture(&mut bytes, &draw(score, names))?;
    Ok(bytes.into_inner())
}

/// White to dark blue.
fn shade(share: f64) -> Rgb<u8> {
    let towards = |dark: f64| (255.0 + share * (dark - 255.0)).round() as u8;
    Rgb([towards(8.0), towards(48.0), towards(107.0)])
}

fn fill(picture: &mut RgbImage, (left, top): (u32, u32), size: u32, color: Rgb<u8>) {
    for y in top..top + size {
        for x in left..left + size {
            picture.put_pixel(x, y, color);
        }
    }
}

fn write(picture: &mut RgbImage, text: &str, (left, top): (u32, u32), color: Rgb<u8>) {
    for (i, letter) in text.chars().enumerate() {
        let glyph =
            BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).or_else(|| BASIC_FONTS.get('?'));
        for (row, bits) in glyph.unwrap_or_default().iter().enumerate() {
            for column in (0..LETTER_PX).filter(|column| bits >> column & 1 == 1) {
                let (x, y) = (left + i as u32 * LETTER_PX + column, top + row as u32);
                if x < picture.width() && y < picture.height() {
                    picture.put_pixel(x, y, color);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(n_classes: usize) -> ClassifierScore {
        let confusion = (0..n_classes * n_classes).map(|i| u64::from(i % (n_classes + 1) == 0)).collect();
        ClassifierScore { n_classes, confusion, n_in_top5: 0, loss_sum: 0.0, is_finite: true }
    }

    #[test]
    fn the_diagonal_of_a_perfect_classifier_is_dark() {
        let names = ["cat".to_owned(), "naïve".to_owned(), "猫".to_owned()];
        let picture = draw(&score(3), &names);
        let (left, top) = (picture.width() - 3 * TEXT_CELL_PX, picture.height() - 3 * TEXT_CELL_PX);
        let corner = |row: u32, column: u32| {
            *picture.get_pixel(left + column * TEXT_CELL_PX, top + row * TEXT_CELL_PX)
        };
        assert_eq!((corner(1, 1), corner(1, 2)), (shade(1.0), WHITE));
        // Names to the left, in black.
        assert!((0..left).any(|x| (0..picture.height()).any(|y| *picture.get_pixel(x, y) == BLACK)));
    }

    #[test]
    fn a_thousand_classes_are_a_picture_of_pixels() {
        assert_eq!(draw(&score(1000), &[]).dimensions(), (2000, 2000));
        assert_eq!(draw(&score(100), &[]).dimensions(), (1500, 1500));
    }
}
