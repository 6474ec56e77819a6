//! Tells the classes of image files, by the classifier that was trained last on the encoder of a run.

#![allow(clippy::print_stdout)] // An example is a program.

use moco::Classifier;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut classifier = Classifier::load("runs/mocov2-001")?; // or the folder of an evaluation
    let images = ["cat.jpg", "dog.jpg"];
    let predictions = classifier.predict(&images)?;
    for (row, image) in images.iter().enumerate() {
        for found in predictions.top(row, 3) {
            println!("{image}: {} {:.1} %", classifier.class_names()[found.class], 100.0 * found.confidence);
        }
    }
    Ok(())
}
