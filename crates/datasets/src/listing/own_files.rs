//! What this program has written itself, which is no data.

use std::ffi::OsStr;
use std::path::Path;

use super::names::path_of;

/// The keyword and the text of the chunk that marks a PNG file as drawn by this program.
pub const PICTURE_MARK: (&str, &str) = ("Software", "moco");

/// How far into a PNG file the mark is looked for: it stands right behind the header.
const N_BYTES_LOOKED_AT: usize = 128;
/// With more PNG files than this in one folder, only those with usual names are looked into.
const MAX_LOOKED_INTO: usize = 4096;
/// How the names of our pictures usually begin.
const USUAL_NAMES: [&str; 4] = ["views", "neighbors", "near", "confusion"];

/// Names in the folder of a run.
pub(crate) const NAMES_OF_RUNS: [&str; 3] = ["pipeline.ron", "checkpoints", "metrics.jsonl"];

/// Whether a folder is that of a run, by the [`NAMES_OF_RUNS`] that it `has`.
pub(crate) fn is_run_folder(mut has: impl FnMut(&str) -> bool) -> bool {
    let [pipeline, checkpoints, metrics] = NAMES_OF_RUNS;
    has(pipeline) && (has(checkpoints) || has(metrics))
}

/// Whether the folder at `path` is that of a run, or the one in which runs are kept by default.
pub(crate) fn has_runs(path: &Path) -> bool {
    let is_run = |path: &Path| is_run_folder(|name| path.join(name).exists());
    let is_usual = || path.file_name() == Some(OsStr::new("runs"));
    let mut below = std::fs::read_dir(path).into_iter().flatten().flatten();
    is_run(path) || is_usual() && below.any(|entry| is_run(&entry.path()))
}

/// Those of the PNG files `names` in `folder` that this program drew.
pub(crate) fn own_pictures<'a>(folder: &Path, names: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let is_usual = |name: &[u8]| USUAL_NAMES.iter().any(|usual| name.starts_with(usual.as_bytes()));
    let is_looked_into = |name: &[u8]| names.len() <= MAX_LOOKED_INTO || is_usual(name);
    let names = names.iter().filter(|name| is_looked_into(name));
    names.filter(|name| has_mark(&folder.join(path_of(name)))).copied().collect()
}

fn has_mark(path: &Path) -> bool {
    let start = regular_files::beginning(path, N_BYTES_LOOKED_AT).unwrap_or_default();
    let mark = [b"tEXt", PICTURE_MARK.0.as_bytes(), b"\0", PICTURE_MARK.1.as_bytes()].concat();
    start.windows(mark.len()).any(|window| window == mark)
}
