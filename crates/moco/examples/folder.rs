//! A pipeline for a folder of images, and what it would take to train it.

#![allow(clippy::print_stdout)] // An example is a program.

use std::error::Error;

use moco::estimate::{EstimateOptions, estimate};
use moco::recipe::{Recipe, Wishes};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give a folder of images")?;
    let (looked, _notes) = moco::data::look(&[folder.into()])?;
    let text = Recipe::choose(&looked, &Wishes::default())?.to_ron();
    let cost = estimate(moco::parse_pipeline("photos", &text, &[])?, &EstimateOptions::default())?;
    println!("{text}{:?} a step, {:?} in all", cost.step, cost.total());
    Ok(())
}
