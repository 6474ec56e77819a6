//! Trains a pipeline, and computes features of two images with its encoder.

#![allow(clippy::print_stdout)] // An example is a program.

use moco::{Run, Silent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pipeline = moco::read_pipeline("pipelines/mocov2.ron", &["seed=1".into()])?;
    let mut run = Run::create(pipeline)?;
    run.train(&mut Silent)?;

    let mut encoder = run.encoder()?;
    let features = encoder.embed(&["cat.jpg", "dog.jpg"])?;
    println!("{} features of the cat: {:?}", features.d(), features.row(0));
    Ok(())
}
