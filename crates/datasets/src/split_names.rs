//! Names of folders and files that hold a split, in small or capital letters.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::listing::{Entries, bytes_of, has_runs, is_hidden, path_of, split_first};

/// Of training images.
const TRAIN: &str = "train";

/// Of test images. Where there are several, as in ImageNet, those of the first have labels more often.
pub(crate) const TEST: [&str; 4] = ["val", "valid", "validation", "test"];

/// Names that hold a split whatever is beside them. Others may be classes: `Train` beside `Car`, or `valid` beside `invalid`.
const ALWAYS: [&[u8]; 3] = [b"train", b"val", b"test"];

fn is_one_of(name: &[u8], known: &[&str]) -> bool {
    known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether training images are in a folder of this name.
pub(crate) fn is_of_training(name: &[u8]) -> bool {
    is_one_of(name, &[TRAIN])
}

/// Whether test images are in a folder of this name.
pub(crate) fn is_of_test(name: &[u8]) -> bool {
    is_one_of(name, &TEST)
}

/// Whether a folder of this name holds a split.
pub(crate) fn is_of_split(name: &[u8]) -> bool {
    is_of_training(name) || is_of_test(name)
}

/// Those of `names` that are of training images: one in small letters before others.
pub(crate) fn of_training(names: &[Vec<u8>]) -> Vec<&[u8]> {
    in_order(names, &[TRAIN])
}

/// Those of `names` that are of test images, those that are measured on first.
pub(crate) fn of_test(names: &[Vec<u8>]) -> Vec<&[u8]> {
    in_order(names, &TEST)
}

fn in_order<'a>(names: &'a [Vec<u8>], known: &[&str]) -> Vec<&'a [u8]> {
    let mut found: Vec<&[u8]> = Vec::new();
    for known in known {
        let mut same: Vec<&[u8]> =
            names.iter().map(Vec::as_slice).filter(|name| is_one_of(name, &[known])).collect();
        same.sort_by_key(|name| (*name != known.as_bytes(), *name));
        found.extend(same);
    }
    found
}

/// Those of `names`, the folders beside one another, that hold a split. One that may be a class does only if all of them are called
/// as splits are, or if it has class folders.
fn splits_among(names: Vec<Vec<u8>>, has_folders: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let are_all = names.iter().all(|name| is_of_split(name));
    let holds_split =
        |name: &[u8]| is_of_split(name) && (are_all || ALWAYS.contains(&name) || has_folders(name));
    names.into_iter().filter(|name| holds_split(name)).collect()
}

/// The folders directly in `folder` that hold a split.
pub(crate) fn folders_of_splits(folder: &Path) -> Vec<Vec<u8>> {
    splits_among(folders_in(folder), |name| !folders_in(&folder.join(path_of(name))).is_empty())
}

/// The first folders of `entries` that hold a split.
pub(crate) fn splits_of_entries(entries: &Entries) -> Vec<Vec<u8>> {
    let first: BTreeSet<&[u8]> =
        entries.paths().filter_map(|path| split_first(path).map(|(first, _)| first)).collect();
    let is_deep = |path, name: &[u8]| {
        split_first(path).is_some_and(|(first, rest)| first == name && split_first(rest).is_some())
    };
    let has_folders = |name: &[u8]| entries.paths().any(|path| is_deep(path, name));
    splits_among(first.into_iter().map(<[u8]>::to_vec).collect(), has_folders)
}

/// The names of the folders in `folder` that may have images.
fn folders_in(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| {
        let name = bytes_of(&entry.file_name()).filter(|name| !is_hidden(name))?.to_vec();
        let path = entry.path();
        (path.is_dir() && !has_runs(&path)).then_some(name)
    };
    entries.filter_map(name).collect()
}

/// The folders in a folder that hold its splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFolders {
    /// `train`, in small or capital letters.
    pub train: Option<PathBuf>,
    /// The first that is there of `val`, `valid`, `validation` and `test`.
    pub test: Option<PathBuf>,
}

impl SplitFolders {
    /// Those in `folder`.
    pub fn of(folder: &Path) -> Self {
        let names = folders_of_splits(folder);
        let first = |names: Vec<&[u8]>| names.first().map(|name| folder.join(path_of(name)));
        Self { train: first(of_training(&names)), test: first(of_test(&names)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_letters_go_before_others_and_names_by_their_order() {
        let names = ["test", "VAL", "Test", "Train", "valid", "train", "trainer", "bee"];
        let names = names.map(|name| name.as_bytes().to_vec());
        assert_eq!(of_training(&names), [b"train", b"Train"]);
        assert_eq!(of_test(&names), [&b"VAL"[..], b"valid", b"test", b"Test"]);
    }

    #[test]
    fn names_that_may_be_classes_are_splits_among_splits_or_with_class_folders() {
        for (names, with_folders, expected) in [
            (&["Bus", "Car", "Train"][..], "", &[][..]),
            (&["Bus", "Car", "train"], "", &["train"]),
            (&["invalid", "valid"], "", &[]),
            (&["Bus", "Train", "val"], "Train", &["Train", "val"]),
            (&["Test", "Train"], "", &["Test", "Train"]),
        ] {
            let given = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            let found = splits_among(given, |name| name == with_folders.as_bytes());
            let expected: Vec<&[u8]> = expected.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(found, expected, "{names:?}");
        }
    }
}
