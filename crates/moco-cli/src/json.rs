//! Results for other programs: one JSON object on standard output, on one line.
//!
//! A command that takes `--json` says in the help of this option which fields the object has. Fields are added, and neither
//! renamed nor removed. Shares are of 1, times in seconds, sizes in bytes, moments as RFC 3339 has them, in UTC; what is not
//! known is `null`.

use std::io::{self, Write};
use std::time::SystemTime;

use serde_json::Value;

/// Writes the result of a command.
pub(crate) fn print(out: &mut dyn Write, result: &Value) -> io::Result<()> {
    writeln!(out, "{result}")
}

/// The result of a command as a file: the same object, for people to read.
pub(crate) fn file(result: &Value) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(result)?;
    text.push(b'\n');
    Ok(text)
}

/// A moment: `2026-11-29T11:44:53Z`.
pub(crate) fn moment(time: SystemTime) -> String {
    run_store::stamp(time)
}
