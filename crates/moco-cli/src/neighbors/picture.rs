//! The sheet as a picture.

use std::io::{self, BufWriter, Write};

use image::{Rgb, RgbImage};
use pages::{Relation, captioned, fitted, okabe_ito, sheet, short_name};

use super::{CELL_PX, Row, Shown};

const FRAME_PX: u32 = 4;
const QUERY: Rgb<u8> = Rgb([0, 0, 0]);

/// Writes one row of cells per query, each with its similarity, its class and the last part of its name.
pub(super) fn write(file: impl Write, rows: &[Row]) -> io::Result<()> {
    let has_classes = rows.iter().any(|row| row.all().any(|shown| shown.class.is_some()));
    let rows: Vec<Vec<RgbImage>> =
        rows.iter().map(|row| row.all().map(|shown| cell(shown, has_classes)).collect()).collect();
    let rows: Vec<&[RgbImage]> = rows.iter().map(Vec::as_slice).collect();
    let mut file = BufWriter::new(file);
    moco::write_picture(&mut file, &sheet(&rows))?;
    file.flush()
}

fn cell(shown: &Shown, has_classes: bool) -> RgbImage {
    let cell = fitted(&shown.image, (CELL_PX, CELL_PX));
    let framed = match shown.relation {
        Relation::Query => framed(&cell, QUERY),
        Relation::Same => framed(&cell, okabe_ito(0)),
        Relation::Other => framed(&cell, okabe_ito(1)),
        Relation::Unknown => cell,
    };
    let similarity = shown.similarity.map_or_else(|| "query".into(), |similarity| format!("{similarity:.3}"));
    let mut lines = vec![similarity];
    // All cells are equally high.
    if has_classes {
        lines.push(shown.class.clone().unwrap_or_default());
    }
    lines.push(short_name(&shown.name).to_owned());
    captioned(&framed, &lines)
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
        let color = okabe_ito(0);
        let cell = framed(&RgbImage::from_pixel(20, 30, Rgb([9; 3])), color);
        let pixel = |x, y| *cell.get_pixel(x, y);
        assert_eq!((pixel(0, 0), pixel(19, 29), pixel(3, 15)), (color, color, color));
        assert_eq!((pixel(4, 4), pixel(15, 25)), (Rgb([9; 3]), Rgb([9; 3])));
    }
}
