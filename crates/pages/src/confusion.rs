//! Confusion matrices.

use image::{Rgb, RgbImage};
use maud::{Markup, html};

use crate::letters::{self, LETTER_PX};

/// With more classes, a picture has no room for text.
const MOST_WITH_TEXT: usize = 40;
/// Side of a cell with a number in it.
const TEXT_CELL_PX: u32 = 32;
/// Approximate longest side of a picture without numbers.
const MOST_PX: u32 = 1500;
/// Letters of a class name that are shown.
const NAME_LETTERS: usize = 20;
const WHITE: Rgb<u8> = Rgb([255; 3]);
const BLACK: Rgb<u8> = Rgb([0; 3]);
/// The color of a cell that has all of its row.
const DARK: [f64; 3] = [8.0, 48.0, 107.0];
const TITLES: [&str; 2] = ["class of the image", "class that was found"];

/// How often images of one class are taken for another.
#[derive(Clone, Copy, Debug)]
pub struct Confusion<'a> {
    /// Images by class, a row each, and by the class that was found: `n` rows of `n`.
    pub counts: &'a [u64],
    /// The names of the `n` classes.
    pub names: &'a [String],
    /// `n`.
    pub n_classes: usize,
}

/// A cell that has images.
struct Cell {
    row: usize,
    column: usize,
    n: u64,
    /// Of its row, 0–1.
    share: f64,
}

impl Confusion<'_> {
    fn name(&self, class: usize) -> String {
        let name = self.names.get(class).map(String::as_str).unwrap_or_default();
        format!("{class} {}", name.chars().take(NAME_LETTERS).collect::<String>())
    }

    fn cells(&self) -> impl Iterator<Item = Cell> {
        self.counts.chunks_exact(self.n_classes.max(1)).enumerate().flat_map(|(row, images)| {
            let all = images.iter().sum::<u64>().max(1) as f64;
            let found = images.iter().enumerate().filter(|(_, n)| **n > 0);
            found.map(move |(column, &n)| Cell { row, column, n, share: n as f64 / all })
        })
    }

    /// The matrix as a picture: one row per true class, one column per class that was found, in the same order. Each cell shows
    /// the percentage of its row; darker is more.
    pub fn picture(&self) -> RgbImage {
        let n = self.n_classes;
        let has_text = n <= MOST_WITH_TEXT;
        let cell = if has_text { TEXT_CELL_PX } else { (MOST_PX / n as u32).clamp(2, TEXT_CELL_PX) };
        let longest = (0..n).map(|class| letters::width(&self.name(class))).max().unwrap_or(0);
        let title_px = 2 * LETTER_PX;
        // The titles of the axes, then names or numbers.
        let (left, top) = match has_text {
            true => ((longest + LETTER_PX).max(letters::width(TITLES[0]) + LETTER_PX), 2 * title_px),
            false => (0, 0),
        };
        let least = if has_text { letters::width(TITLES[1]) } else { 0 };
        let mut picture =
            RgbImage::from_pixel(left + (n as u32 * cell).max(least), top + n as u32 * cell, WHITE);
        for Cell { row, column, share, .. } in self.cells() {
            let (x, y) = (left + column as u32 * cell, top + row as u32 * cell);
            fill(&mut picture, (x, y), cell, shade(share));
            if has_text {
                let text = format!("{:.0}", 100.0 * share);
                let color = if share > 0.5 { WHITE } else { BLACK };
                let place = (x + (cell - letters::width(&text)) / 2, y + (cell - LETTER_PX) / 2);
                letters::write(&mut picture, &text, place, color);
            }
        }
        if has_text {
            letters::write(&mut picture, TITLES[0], (0, title_px + LETTER_PX / 2), BLACK);
            letters::write(&mut picture, TITLES[1], (left, LETTER_PX / 2), BLACK);
            for class in 0..n {
                let at = class as u32 * cell;
                letters::write(
                    &mut picture,
                    &self.name(class),
                    (0, top + at + (cell - LETTER_PX) / 2),
                    BLACK,
                );
                let text = class.to_string();
                let x = left + at + (cell - letters::width(&text)) / 2;
                letters::write(&mut picture, &text, (x, title_px + LETTER_PX / 2), BLACK);
            }
        }
        picture
    }

    /// The matrix as an SVG file, which stands alone: with titles of its axes, and what each cell says where the pointer rests.
    pub fn svg(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        text.push_str(&self.drawn().into_string());
        text.push('\n');
        text
    }

    fn drawn(&self) -> Markup {
        let n = self.n_classes as f64;
        let cell = if self.n_classes <= MOST_WITH_TEXT { 36.0 } else { (1400.0 / n).max(2.0) };
        let has_text = self.n_classes <= MOST_WITH_TEXT;
        let longest = (0..self.n_classes).map(|class| self.name(class).chars().count()).max().unwrap_or(0);
        let side = n * cell;
        let (left, top) = if has_text { (30.0 + 7.6 * longest as f64, 52.0) } else { (30.0, 30.0) };
        let (width, height) = (left + side.max(170.0) + 8.0, top + side.max(150.0) + 8.0);
        let middle = |class: usize| (class as f64 + 0.5) * cell;
        html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width:.0} {height:.0}")) width=(format!("{width:.0}")) height=(format!("{height:.0}")) font-family="system-ui, sans-serif" font-size="13" {
                title { "Confusion matrix, in per cent of each row" }
                rect width="100%" height="100%" fill="#ffffff" {}
                text x=(left) y="17" font-weight="bold" { (TITLES[1]) }
                text transform=(format!("translate(17 {}) rotate(-90)", top + side.max(150.0))) font-weight="bold" { (TITLES[0]) }
                @if has_text {
                    @for class in 0..self.n_classes {
                        text x=(left - 8.0) y=(format!("{:.1}", top + middle(class) + 4.5)) text-anchor="end" { (self.name(class)) }
                        text x=(format!("{:.1}", left + middle(class))) y=(top - 9.0) text-anchor="middle" {
                            title { (self.name(class)) }
                            (class)
                        }
                    }
                }
                @for Cell { row, column, n, share } in self.cells() {
                    @let (x, y) = (left + column as f64 * cell, top + row as f64 * cell);
                    g {
                        title { (format!("{} taken for {}: {n}, {:.1} %", self.name(row), self.name(column), 100.0 * share)) }
                        rect x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(format!("{cell:.2}")) height=(format!("{cell:.2}")) fill=(hex(shade(share))) {}
                        @if has_text {
                            text x=(format!("{:.1}", x + cell / 2.0)) y=(format!("{:.1}", y + cell / 2.0 + 4.5)) text-anchor="middle" fill=(if share > 0.5 { "#ffffff" } else { "#000000" }) {
                                (format!("{:.0}", 100.0 * share))
                            }
                        }
                    }
                }
                rect x=(left) y=(top) width=(format!("{side:.1}")) height=(format!("{side:.1}")) fill="none" stroke="#888888" {}
            }
        }
    }
}

/// White to dark blue.
fn shade(share: f64) -> Rgb<u8> {
    Rgb(DARK.map(|dark| (255.0 + share * (dark - 255.0)).round() as u8))
}

fn hex(Rgb([red, green, blue]): Rgb<u8>) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn fill(picture: &mut RgbImage, (left, top): (u32, u32), size: u32, color: Rgb<u8>) {
    for y in top..top + size {
        for x in left..left + size {
            picture.put_pixel(x, y, color);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perfect(n: usize) -> Vec<u64> {
        (0..n * n).map(|i| u64::from(i % (n + 1) == 0)).collect()
    }

    #[test]
    fn the_diagonal_of_a_perfect_classifier_is_dark() {
        let names = ["cat".to_owned(), "naïve".to_owned(), "猫".to_owned()];
        let counts = perfect(3);
        let picture = Confusion { counts: &counts, names: &names, n_classes: 3 }.picture();
        let left = letters::width(TITLES[0]) + LETTER_PX;
        let top = picture.height() - 3 * TEXT_CELL_PX;
        let corner = |row: u32, column: u32| {
            *picture.get_pixel(left + column * TEXT_CELL_PX, top + row * TEXT_CELL_PX)
        };
        assert_eq!((corner(1, 1), corner(1, 2)), (shade(1.0), WHITE));
        // Names to the left, in black.
        assert!((0..left).any(|x| (top..picture.height()).any(|y| *picture.get_pixel(x, y) == BLACK)));
    }

    #[test]
    fn a_thousand_classes_are_a_picture_of_pixels() {
        for (n, side) in [(1000, 2000), (100, 1500)] {
            let counts = perfect(n);
            assert_eq!(
                Confusion { counts: &counts, names: &[], n_classes: n }.picture().dimensions(),
                (side, side)
            );
        }
    }

    #[test]
    fn a_file_of_its_own_names_its_axes_and_its_cells() {
        let names = ["a <b>".to_owned(), "c & d".to_owned()];
        let text = Confusion { counts: &[3, 1, 0, 4], names: &names, n_classes: 2 }.svg();
        for part in [
            "xmlns=\"http://www.w3.org/2000/svg\"",
            "class of the image",
            "class that was found",
            "0 a &lt;b&gt; taken for 1 c &amp; d: 1, 25.0 %",
            ">75</text>",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches("<g>").count(), 3, "an empty cell needs no mark");
        assert_eq!(text.matches('<').count() - text.matches("<?").count(), 2 * text.matches("</").count());
    }
}
