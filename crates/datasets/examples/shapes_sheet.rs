//! Writes a contact sheet of the `shapes` dataset: one row per class.
//!
//! `cargo run --release -p datasets --example shapes_sheet -- sheet.png '(size: 32)' 3`: the file, the config, and how many
//! times to enlarge.

#![allow(clippy::print_stdout)]

use std::error::Error;

use datasets::Shapes;
use image::imageops::FilterType;
use plugin_api::{Config, Dataset};

const N_COLUMNS: usize = 14;
const GAP_PX: usize = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "sheet.png".into());
    let config = arguments.next().unwrap_or_else(|| "()".into());
    let times: u32 = arguments.next().map_or(Ok(3), |times| times.parse())?;

    let images = Shapes::new(Config::new(&config).parse()?, 0)?.open()?.train;
    let n_rows = images.class_names().len();
    let cell = images.load(0)?.width + GAP_PX;
    let mut sheet = image::RgbImage::new((N_COLUMNS * cell) as u32, (n_rows * cell) as u32);
    for row in 0..n_rows {
        for column in 0..N_COLUMNS {
            let picture = images.load(column * n_rows + row)?;
            let side = picture.width as u32;
            let picture =
                image::RgbImage::from_raw(side, side, picture.values).ok_or("the image has too few bytes")?;
            image::imageops::replace(&mut sheet, &picture, (column * cell) as i64, (row * cell) as i64);
        }
    }
    image::imageops::resize(&sheet, sheet.width() * times, sheet.height() * times, FilterType::Nearest)
        .save(&path)?;
    println!("{path}: {}", images.class_names().join(", "));
    Ok(())
}
