//! The datasets as a pipeline sees them: built from RON text by name, opened, read.

mod archives;
mod cifar;
mod decoding;
mod folders;
#[cfg(feature = "jxl")]
mod jpeg_xl;
mod known_sets;
mod lists;
#[cfg(feature = "npy")]
mod numpy;
mod packs;
mod parquet;
mod passed_over;
mod pillow;
#[cfg(unix)]
mod pipes;
mod reading;
mod registry;
mod shapes;
mod split;
mod tables;
mod tiff_file;

use std::path::Path;

use datasets as _;
use image::{Rgb, RgbImage};
use plugin_api::{Config, ConfigError, Dataset, DatasetContext, DatasetError, Images, Splits, build};

fn dataset(name: &str, config: &str) -> Result<Box<dyn Dataset>, ConfigError> {
    build::<dyn Dataset>(name, Config::new(config), &DatasetContext { seed: 0 })
}

fn open(name: &str, config: &str) -> Result<Splits, DatasetError> {
    dataset(name, config).unwrap_or_else(|error| panic!("{name} {config}: {error}")).open()
}

/// The error of opening, as the command line prints it.
fn open_error(name: &str, config: &str) -> String {
    match open(name, config) {
        Ok(_) => panic!("{name} {config} opens"),
        Err(error) => format!("{error}\nhint: {}", error.hint),
    }
}

/// A config with a path in it, written as RON writes strings.
fn root(folder: &Path) -> String {
    format!("(root: {:?})", folder.to_str().unwrap())
}

/// A small image of one color at `path`, whose folder is made.
fn save(path: impl AsRef<Path>, color: [u8; 3]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    RgbImage::from_pixel(4, 3, Rgb(color)).save(path).unwrap();
}

fn names(images: &dyn Images, under: &Path) -> Vec<String> {
    let prefix = format!("{}/", under.display());
    (0..images.len()).map(|i| images.name(i).trim_start_matches(&prefix).replace('\\', "/")).collect()
}

fn labels(images: &dyn Images) -> Vec<Option<u32>> {
    (0..images.len()).map(|i| images.label(i)).collect()
}
