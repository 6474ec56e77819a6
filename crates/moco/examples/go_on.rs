//! Goes on with a run for more epochs, and starts another pipeline from its weights.

#![allow(clippy::print_stdout)] // An example is a program.

use std::path::Path;

use moco::{Changes, Origin, RunOptions, Silent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Origin::Checkpoint(checkpoint) = Origin::open(Path::new("runs/mocov2-001"))? else {
        return Err("these are weights of another program".into());
    };
    let more = Changes { overrides: vec!["epochs=400".into()], ..Changes::default() };
    let (mut run, goes_on) = checkpoint.go_on(&more, &RunOptions::default())?;
    println!("{goes_on}");
    run.resume(&mut Silent)?;

    let pipeline = moco::read_pipeline("pipelines/mocov3.ron", &[])?;
    let (mut run, modules) = checkpoint.start(pipeline, false, &RunOptions::default())?;
    for module in modules.iter().filter(|module| module.random.is_some()) {
        println!("{} starts at random", module.module);
    }
    run.resume(&mut Silent)?;
    Ok(())
}
