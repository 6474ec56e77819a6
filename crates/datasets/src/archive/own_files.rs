//! What this program has written itself, which is no data, in archives as in folders.

use std::collections::BTreeSet;

use crate::images::Part;
use crate::listing::{
    Entries, NAMES_OF_RUNS, PassedOver, Reason, SEPARATOR, file_name, is_run_folder, own_pictures,
};

/// Leaves out pictures that this program drew, and the folders of runs.
pub(super) fn leave_out(part: &mut Part, others: &Entries, passed: &mut PassedOver) {
    let around = around(&part.entries);
    let runs = run_folders(others, around.len());
    runs.iter().for_each(|folder| passed.add(Reason::RunFolder, folder));
    let is_in_run = |path: &[u8]| runs.iter().any(|folder| is_below(path, folder));
    let Part { entries, store, .. } = part;
    let beginning = |index: usize, n_bytes: usize| {
        store.read_beginning(entries.path(index), entries.number(index), n_bytes).unwrap_or_default()
    };
    let own = own_pictures(entries, is_in_run, beginning);
    own.iter().for_each(|&index| passed.add(Reason::OwnPicture, entries.path(index)));
    if !own.is_empty() {
        *entries = entries.without(&own);
    }
    if !runs.is_empty() {
        *entries = entries.filtered(|path| !is_in_run(path));
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
    let pipeline = NAMES_OF_RUNS[0].as_bytes();
    let folders = others.paths().filter(|path| file_name(path) == pipeline);
    let folders =
        folders.map(|path| &path[..path.len() - pipeline.len()]).filter(|path| path.len() > n_around);
    let has = |folder: &[u8], name: &str| {
        let path = [folder, name.as_bytes()].concat();
        others.paths().any(|other| other == path || is_below(other, &path))
    };
    let runs = folders.filter(|folder| is_run_folder(|name| has(folder, name)));
    let place = |run: &[u8]| {
        let run = &run[..run.len() - 1];
        let parent = &run[..run.len() - file_name(run).len()];
        let parent = parent.strip_suffix(&[SEPARATOR]).unwrap_or(parent);
        let is_usual = parent.len() > n_around && file_name(parent) == b"runs";
        if is_usual { parent.to_vec() } else { run.to_vec() }
    };
    runs.map(place).collect()
}
