//! Trains a pipeline in silence, embeds a folder of images, and exports the encoder.
//!
//!     cargo run --release --package moco --example train_embed_export -- PIPELINE.ron IMAGES OUT

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use moco::exchange::Target;
use moco::{Run, RunOptions, Silent};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pipeline, images, out] = &arguments[..] else {
        return Err("usage: train_embed_export PIPELINE.ron IMAGES OUT".into());
    };
    let out = Path::new(out);

    let options = RunOptions { folder: Some(out.join("run")), ..RunOptions::default() };
    let mut run = Run::create_with(moco::read_pipeline(pipeline, &[])?, &options)?;
    let summary = run.train(&mut Silent)?;
    println!("{} steps; {}", summary.n_steps, summary.checkpoint.display());

    let mut encoder = run.encoder()?;
    let images = moco::open_images(images)?.images;
    let (features, unreadable) = encoder.embed_dataset(&images)?;
    println!("{} images, {} features each; {} unreadable", features.n(), features.d(), unreadable.len());

    let exported = run.export(Target::Moco, out.join("encoder.safetensors"))?;
    print!("{}", exported.python);
    Ok(())
}
