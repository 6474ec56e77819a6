//! Computes features of image files and of images in memory with the encoder of a run.

#![allow(clippy::print_stdout)] // An example is a program.

use moco::{Encoder, EncoderOptions, Level};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut encoder = Encoder::load("runs/mocov2-001")?;
    let features = encoder.embed(&["cat.jpg", "dog.jpg"])?;
    let cat: &[f32] = features.row(0); // encoder.n_features() values

    let images = [image::open("cat.jpg")?, image::open("dog.jpg")?];
    assert_eq!(encoder.embed(&images)?.row(0), cat);

    let options = EncoderOptions { level: Level::Head, threads: Some(2), ..EncoderOptions::default() };
    let mut head = Encoder::load_with("runs/mocov2-001", &options)?;
    println!("{} features, {} embeddings", cat.len(), head.embed(&images)?.d());
    Ok(())
}
