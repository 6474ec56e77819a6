//! What a listing of images left out or found odd, and what a look at a few of them found.

use std::io::{self, Write as _};

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

/// Prints each on standard error. A closed standard error is no reason to end.
pub(crate) fn print(notes: &[String]) {
    for note in notes {
        let _ = writeln!(io::stderr(), "note: {}", note.replace('\n', " "));
    }
}
