//! What this program has written itself, which is no data, in archives as in folders.

use std::collections::BTreeSet;

use crate::images::Part;
use crate::listing::{Entries, PICTURE_MARK, PassedOver, Reason, SEPARATOR, ending_of, file_name};

/// How far into a PNG file the mark is looked for.
const N_BYTES_LOOKED_AT: usize = 128;
/// With more PNG files than this, only those with usual names are looked into.
const MAX_LOOKED_INTO: usize = 4096;
/// How the names of our pictures usually begin, and those of `attend` end.
const USUAL_NAMES: [&str; 5] = ["views", "neighbors", "near", "confusion", "map"];
const USUAL_ENDS: [&str; 2] = ["-image.png", "-similarity.png"];

/// Leaves out pictures that this program drew, and the folders of runs.
pub(super) fn leave_out(part: &mut Part, others: &Entries, passed: &mut PassedOver) {
    let around = around(&part.entries);
    let runs = run_folders(others, around.len());
    runs.iter().for_each(|folder| passed.add(Reason::RunFolder, folder));
    let is_in_run = |path: &[u8]| runs.iter().any(|folder| is_below(path, folder));
    let own = own_pictures(part, &is_in_run);
    own.iter().for_each(|path| passed.add(Reason::OwnPicture, path));
    if !runs.is_empty() || !own.is_empty() {
        part.entries = part.entries.filtered(|path| !is_in_run(path) && !own.contains(path));
    }
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&SEPARATOR))
}

/// The folder that all images are in, with a separator at its end; empty if there is none.
fn around(images: &Entries) -> Vec<u8> {
    let mut paths = images.paths();
    let folder = |path: &[u8]| path[..path.len() - file_name(path).len()].to_vec();
    let first = paths.next().map(folder).unwrap_or_default();
    paths.fold(first, |around, path| {
        let n_common = around.iter().zip(path).take_while(|(a, b)| a == b).count();
        folder(&around[..n_common])
    })
}

/// The folders of runs, by the same names as in a folder, and those called `runs` that have one.
fn run_folders(others: &Entries, n_around: usize) -> BTreeSet<Vec<u8>> {
    const PIPELINE: &[u8] = b"pipeline.ron";
    let folders = others.paths().filter(|path| file_name(path) == PIPELINE);
    let folders =
        folders.map(|path| &path[..path.len() - PIPELINE.len()]).filter(|path| path.len() > n_around);
    let has = |folder: &[u8], name: &[u8]| {
        let path = [folder, name].concat();
        others.paths().any(|other| other == path || is_below(other, &path))
    };
    let runs = folders.filter(|folder| has(folder, b"checkpoints") || has(folder, b"metrics.jsonl"));
    let place = |run: &[u8]| {
        let run = &run[..run.len() - 1];
        let parent = &run[..run.len() - file_name(run).len()];
        let parent = parent.strip_suffix(&[SEPARATOR]).unwrap_or(parent);
        let is_usual = parent.len() > n_around && file_name(parent) == b"runs";
        if is_usual { parent.to_vec() } else { run.to_vec() }
    };
    runs.map(place).collect()
}

fn own_pictures(part: &Part, is_left_out: &dyn Fn(&[u8]) -> bool) -> BTreeSet<Vec<u8>> {
    let mark = [b"tEXt", PICTURE_MARK.0.as_bytes(), b"\0", PICTURE_MARK.1.as_bytes()].concat();
    let path = |index: usize| part.entries.path(index);
    let is_png = |&index: &usize| ending_of(path(index)) == "png" && !is_left_out(path(index));
    let pngs: Vec<usize> = (0..part.entries.len()).filter(is_png).collect();
    let is_usual = |index: usize| {
        let name = file_name(path(index));
        USUAL_NAMES.iter().any(|usual| name.starts_with(usual.as_bytes()))
            || USUAL_ENDS.iter().any(|usual| name.ends_with(usual.as_bytes()))
    };
    let has_mark = |index: usize| {
        let start = part.store.read_beginning(path(index), part.entries.number(index), N_BYTES_LOOKED_AT);
        let start = start.unwrap_or_default();
        start[..start.len().min(N_BYTES_LOOKED_AT)].windows(mark.len()).any(|window| window == mark)
    };
    let looked_into = pngs.iter().filter(|&&index| pngs.len() <= MAX_LOOKED_INTO || is_usual(index));
    looked_into.filter(|&&index| has_mark(index)).map(|&index| path(index).to_vec()).collect()
}
