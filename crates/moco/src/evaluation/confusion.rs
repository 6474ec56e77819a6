//! Draws a confusion matrix.

use std::io::{self, Cursor};

use evaluate::linear::ClassifierScore;
use pages::Confusion;

use crate::write_picture;

/// Draws the confusion matrix of a classifier as a PNG file: one row per true class, one column per predicted class, in the
/// order of `names`. Each cell shows the percentage of its row.
///
/// # Errors
/// If it cannot be encoded.
pub fn confusion_png(score: &ClassifierScore, names: &[String]) -> io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    write_picture(&mut bytes, &matrix(score, names).picture())?;
    Ok(bytes.into_inner())
}

/// The same as an SVG file, with the numbers of images where the pointer rests on a cell.
pub fn confusion_svg(score: &ClassifierScore, names: &[String]) -> Vec<u8> {
    matrix(score, names).svg().into_bytes()
}

fn matrix<'a>(score: &'a ClassifierScore, names: &'a [String]) -> Confusion<'a> {
    Confusion { counts: &score.confusion, names, n_classes: score.n_classes }
}
