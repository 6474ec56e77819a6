//! What a listing of images left out or found odd.

use std::io::{self, Write as _};

/// Prints each on standard error. A closed standard error is no reason to end.
pub(crate) fn print(notes: &[String]) {
    for note in notes {
        let _ = writeln!(io::stderr(), "note: {}", note.replace('\n', " "));
    }
}
