//! Trains a pipeline with two values of the momentum and three seeds, and prints the table.

#![allow(clippy::print_stdout)] // An example is a program.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use moco::Silent;
use moco::sweep::{Axis, Sweep, Variations};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut variations = Variations::new("pipelines/mocov2.ron");
    variations.axes.push(Axis::parse("momentum.start=0.9,0.99")?);
    variations.n_seeds = 3;

    let device = moco::device()?;
    let workers = NonZeroUsize::new(2).expect("2 is not 0");
    let mut sweep = Sweep::create(&variations, Path::new("runs"), None, &device)?;
    sweep.train(&device, workers, &mut Silent, &AtomicBool::new(false))?;
    println!("{}", sweep.table());
    Ok(())
}
