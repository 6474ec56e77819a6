//! What a listing of images left out or found odd, what a look at a few of them found, and what is unusual about a pipeline.

use std::io::{self, Write as _};

use pipeline::Pipeline;
use plugin_api::Splits;

/// What is to be told of both splits. A few images of each are read.
pub(crate) fn of(splits: &Splits) -> Vec<String> {
    let mut notes = splits.notes.clone();
    for images in [Some(&splits.train), splits.test.as_ref()].into_iter().flatten() {
        let new: Vec<String> = images.notes().into_iter().filter(|note| !notes.contains(note)).collect();
        notes.extend(new);
    }
    notes
}

/// What is to be told before `pipeline` is trained on `splits`: what was found in them, and what is unusual.
pub(crate) fn before_training(pipeline: &Pipeline, splits: &Splits) -> Vec<String> {
    let mut notes = of(splits);
    notes.extend(moco::advice::of(pipeline, splits.train.len()));
    notes.extend(moco::advice::of_images(pipeline, &*splits.train));
    notes
}

/// Prints each on standard error. A closed standard error is no reason to end.
pub(crate) fn print(notes: &[String]) {
    for note in notes {
        let _ = writeln!(io::stderr(), "note: {}", run_store::one_line(note));
    }
}
