//! What a listing of images left out or found odd, what a look at a few of them found, and what is unusual about a pipeline.

use std::io::{self, Write as _};

use pipeline::Pipeline;
use plugin_api::{Dataset, Images, Splits};

/// What is to be told of both splits. A few images of each are read.
pub(crate) fn of(splits: &Splits) -> Vec<String> {
    let mut notes = splits.notes.clone();
    for images in [Some(&splits.train), splits.test.as_ref()].into_iter().flatten() {
        let new: Vec<String> = images.notes().into_iter().filter(|note| !notes.contains(note)).collect();
        notes.extend(new);
    }
    notes
}

/// What a look at a few of `images` finds, as `dataset`, of which an encoder has its own, reads them.
pub(crate) fn of_images(images: &dyn Images, dataset: Option<&dyn Dataset>) -> Vec<String> {
    let as_read = dataset.and_then(|dataset| datasets::notes_as_read(images, &|bytes| dataset.decode(bytes)));
    as_read.unwrap_or_else(|| images.notes())
}

/// What is to be told before `pipeline` is trained on `splits`: what was found in them, and what is unusual.
pub(crate) fn before_training(pipeline: &Pipeline, splits: &Splits) -> Vec<String> {
    let mut notes = of(splits);
    notes.extend(moco::advice::of(pipeline, splits.train.len()));
    notes.extend(moco::advice::of_images(pipeline, &*splits.train));
    // `run` has refused it already.
    if let Err(error) = train_core::trainer::check_labels(pipeline, splits) {
        let hint = error.hint().map_or_else(String::new, |hint| format!("; {hint}"));
        notes.push(format!("`run` would refuse it here: {error}{hint}"));
    }
    notes
}

/// Prints each on standard error. A closed standard error is no reason to end.
pub(crate) fn print(notes: &[String]) {
    for note in notes {
        let _ = writeln!(io::stderr(), "note: {}", run_store::one_line(note));
    }
}
