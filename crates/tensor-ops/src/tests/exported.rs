//! What this crate exports, against the tables of its tests.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{formulas, strided};

/// Functions that take rows and have no line in a table, and why.
const NOT_IN_A_TABLE: [(&str, &str); 4] = [
    ("check_gradient", "it copies its inputs row after row, and what takes rows is given"),
    ("detach", "it is the same tensor, as the tables take it"),
    ("fork", "it is the same tensor twice, which lines of a table begin with"),
    ("top1_row", "it has no gradient, and is among what reads rows"),
];

#[test]
fn every_function_that_takes_rows_is_tested_with_rows_of_any_strides() {
    let of_lib: BTreeSet<&str> = words(include_str!("../lib.rs")).collect();
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut taking: Vec<String> = sources.iter().flat_map(|source| taking_features(source)).collect();
    taking.retain(|name| of_lib.contains(name.as_str()));
    assert!(taking.len() > 40, "so few are found that the search must be wrong: {taking:?}");

    // The name of a line begins with that of the function.
    let names = strided::OPERATIONS.iter().map(|operation| operation.name);
    let names = names.chain(formulas::OPERATIONS.iter().map(|operation| operation.name));
    let tested: BTreeSet<&str> = names.filter_map(|name| words(name).next()).collect();
    let excused = NOT_IN_A_TABLE.map(|(name, _)| name);
    for name in &taking {
        let (is_tested, is_excused) = (tested.contains(name.as_str()), excused.contains(&name.as_str()));
        assert!(is_tested != is_excused, "`{name}` must be in one of the tables, or in the list of reasons");
    }
    for name in excused.iter().chain(&tested) {
        assert!(taking.iter().any(|taking| taking == name), "`{name}` is no exported function on rows");
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// The text of every file in a folder and the folders in it.
fn sources(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let own = files.iter().map(|file| fs::read_to_string(file).unwrap());
    own.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// Public functions of a file with `Features` among what they take.
fn taking_features(source: &str) -> Vec<String> {
    let functions = source.split("\npub fn ").skip(1);
    let takes = functions.filter_map(|function| {
        let signature = function.split_once('{')?.0;
        let (name, arguments) = signature.split_once(['(', '<'])?;
        // What is behind the last arrow is given.
        let taken = arguments.rsplit_once("->").map_or(arguments, |(taken, _)| taken);
        words(taken).any(|word| word == "Features").then(|| name.to_owned())
    });
    takes.collect()
}
