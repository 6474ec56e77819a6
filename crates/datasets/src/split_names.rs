//! Names of folders and files that hold a split, in small or capital letters.

use std::path::{Path, PathBuf};

use crate::listing::{bytes_of, path_of};

/// Of training images.
const TRAIN: &str = "train";

/// Of test images. Where there are several, as in ImageNet, those of the first have labels more often.
const TEST: [&str; 4] = ["val", "valid", "validation", "test"];

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

/// The folders directly in `folder` that are called as those of splits are.
pub(crate) fn folders_of_splits(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| {
        let name = bytes_of(&entry.file_name()).filter(|name| is_of_split(name))?.to_vec();
        entry.path().is_dir().then_some(name)
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
}
