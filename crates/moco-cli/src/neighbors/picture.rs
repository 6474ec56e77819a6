//! The sheet as a picture.

use std::io::{self, BufWriter, Write};

use image::{Rgb, RgbImage};

use super::Row;
use crate::sheet;

const FRAME_PX: u32 = 4;
// Colors that most people tell apart, color-blind or not (Okabe and Ito).
const QUERY: Rgb<u8> = Rgb([0, 0, 0]);
const SAME: Rgb<u8> = Rgb([0, 114, 178]);
const OTHER: Rgb<u8> = Rgb([213, 94, 0]);

/// Writes one row of cells per query.
pub(super) fn write(file: impl Write, rows: &[Row]) -> io::Result<()> {
    let cells: Vec<Vec<RgbImage>> = rows.iter().map(cells).collect();
    let cells: Vec<&[RgbImage]> = cells.iter().map(Vec::as_slice).collect();
    let mut file = BufWriter::new(file);
    moco::write_picture(&mut file, &sheet::draw(&cells))?;
    file.flush()
}

fn cells(row: &Row) -> Vec<RgbImage> {
    let mut cells = vec![framed(&row.query.cell, QUERY)];
    cells.extend(row.neighbors.iter().map(|other| match other.agrees {
        Some(true) => framed(&other.cell, SAME),
        Some(false) => framed(&other.cell, OTHER),
        None => other.cell.clone(),
    }));
    cells
}

fn framed(cell: &RgbImage, color: Rgb<u8>) -> RgbImage {
    let (width, height) = cell.dimensions();
    let is_frame = |at: u32, len: u32| at < FRAME_PX || at + FRAME_PX >= len;
    RgbImage::from_fn(width, height, |x, y| {
        if is_frame(x, width) || is_frame(y, height) { color } else { *cell.get_pixel(x, y) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_covers_the_edge_alone() {
        let cell = framed(&RgbImage::from_pixel(20, 30, Rgb([9; 3])), SAME);
        let pixel = |x, y| *cell.get_pixel(x, y);
        assert_eq!((pixel(0, 0), pixel(19, 29), pixel(3, 15)), (SAME, SAME, SAME));
        assert_eq!((pixel(4, 4), pixel(15, 25)), (Rgb([9; 3]), Rgb([9; 3])));
    }
}
