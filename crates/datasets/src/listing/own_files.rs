//! What this program has written itself, which is no data.

use std::ffi::OsStr;
use std::path::Path;

use super::endings::ending_of;
use super::entries::{Entries, file_name, split_first};

/// The keyword and the text of the chunk that marks a PNG file as drawn by this program.
pub const PICTURE_MARK: (&str, &str) = ("Software", "moco");

/// How far into a PNG file the mark is looked for: it stands right behind the header.
const N_BYTES_LOOKED_AT: usize = 128;
/// With more PNG files than this directly in the root, or below it in all, only those with usual names are looked into, and of
/// these not more either: someone else's `map_*.png` may be a million.
const MAX_LOOKED_INTO: usize = 4096;
/// How the names of our pictures usually begin.
const USUAL_NAMES: [&str; 5] = ["views", "neighbors", "near", "confusion", "map"];

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

/// The places in `images`, sorted paths, of the PNG files that this program drew, but for those that are `left_out` anyway.
/// `beginning` reads so many bytes of the file at a place, or more.
pub(crate) fn own_pictures(
    images: &Entries,
    left_out: impl Fn(&[u8]) -> bool,
    beginning: impl Fn(usize, usize) -> Vec<u8>,
) -> Vec<usize> {
    let is_png = |&index: &usize| ending_of(images.path(index)) == "png" && !left_out(images.path(index));
    let (at_root, below): (Vec<usize>, Vec<usize>) =
        (0..images.len()).filter(is_png).partition(|&index| split_first(images.path(index)).is_none());
    let mut own = Vec::new();
    for pngs in [at_root, below] {
        let looked_into = looked_into(images, pngs);
        own.extend(looked_into.filter(|&index| has_mark(&beginning(index, N_BYTES_LOOKED_AT))));
    }
    own
}

fn looked_into(images: &Entries, pngs: Vec<usize>) -> impl Iterator<Item = usize> {
    let are_few = pngs.len() <= MAX_LOOKED_INTO;
    let chosen = pngs.into_iter().filter(move |&index| are_few || has_usual_name(images.path(index)));
    chosen.take(MAX_LOOKED_INTO)
}

/// Whether a picture at `path` is called as ours are by default: `views-2.png`, or `001-image.png` of `attend`.
fn has_usual_name(path: &[u8]) -> bool {
    let name = file_name(path);
    let is_numbered = || {
        name.split_first_chunk::<4>().is_some_and(|(&[a, b, c, dash], rest)| {
            [a, b, c].iter().all(u8::is_ascii_digit)
                && dash == b'-'
                && rest.first().is_some_and(u8::is_ascii_lowercase)
        })
    };
    USUAL_NAMES.iter().any(|usual| name.starts_with(usual.as_bytes())) || is_numbered()
}

fn has_mark(beginning: &[u8]) -> bool {
    let start = &beginning[..beginning.len().min(N_BYTES_LOOKED_AT)];
    let mark = [b"tEXt", PICTURE_MARK.0.as_bytes(), b"\0", PICTURE_MARK.1.as_bytes()].concat();
    start.windows(mark.len()).any(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_pictures_than_the_limit_are_looked_into_whatever_they_are_called() {
        let n_looked_into = |usual: usize, others: usize| {
            let mut images = Entries::default();
            (0..usual).for_each(|i| images.push(&[format!("map_{i}.png").as_bytes()], 0));
            (0..others).for_each(|i| images.push(&[format!("photo_{i}.png").as_bytes()], 0));
            looked_into(&images, (0..images.len()).collect()).count()
        };
        assert_eq!(n_looked_into(MAX_LOOKED_INTO + 1, 0), MAX_LOOKED_INTO);
        assert_eq!(n_looked_into(2, MAX_LOOKED_INTO - 2), MAX_LOOKED_INTO);
        assert_eq!(n_looked_into(2, MAX_LOOKED_INTO), 2);
    }
}
