use std::collections::BTreeSet;
use std::path::Path;

use plugin_api::{Images, Splits};
use tempfile::tempdir;

use crate::{dataset, open, open_error, root, save};

fn of(folder: &Path, more: &str) -> String {
    format!("(of: (\"class-folders\", {}){more})", root(folder))
}

fn keys(images: &dyn Images) -> BTreeSet<String> {
    (0..images.len()).map(|index| images.key(index)).collect()
}

fn images(folder: &Path, numbers: std::ops::Range<usize>) {
    for number in numbers {
        save(folder.join(format!("{}/{number}.png", ["ant", "bee"][number % 2])), [number as u8, 0, 0]);
    }
}

fn test_keys(splits: &Splits) -> BTreeSet<String> {
    splits.test.as_ref().map_or_else(BTreeSet::new, |test| keys(&**test))
}

#[test]
fn each_image_is_in_one_part_and_keeps_its_label() {
    let folder = tempdir().unwrap();
    images(folder.path(), 0..200);
    let splits = open("split", &of(folder.path(), ", test: 0.2")).unwrap();
    let test = splits.test.as_ref().unwrap();
    assert_eq!(splits.train.len() + test.len(), 200);
    assert!((20..=60).contains(&test.len()), "{}", test.len());
    assert!(keys(&*splits.train).is_disjoint(&keys(&**test)));
    for images in [&splits.train, test] {
        assert_eq!(images.class_names(), ["ant", "bee"]);
        for index in 0..images.len() {
            let key = images.key(index);
            let class = usize::from(key.starts_with("bee/"));
            assert_eq!(images.label(index), Some(class as u32), "{key}");
            let number: u8 = key[4..].trim_end_matches(".png").parse().unwrap();
            assert_eq!(images.load(index).unwrap().values[0], number);
            assert!(images.name(index).ends_with(&key), "{}", images.name(index));
        }
    }
}

#[test]
fn an_image_stays_in_its_part_when_others_come_and_the_folder_moves() {
    let (here, there) = (tempdir().unwrap(), tempdir().unwrap());
    images(here.path(), 0..120);
    images(there.path(), 0..200);
    let before = open("split", &of(here.path(), ", test: 0.2")).unwrap();
    let now = open("split", &of(there.path(), ", test: 0.2")).unwrap();
    let old: BTreeSet<String> = keys(&*before.train).union(&test_keys(&before)).cloned().collect();
    assert_eq!(&test_keys(&now) & &old, test_keys(&before));
    // A larger share takes more, and lets none go.
    let larger = open("split", &of(there.path(), ", test: 0.4")).unwrap();
    assert!(test_keys(&larger).is_superset(&test_keys(&now)));
}

#[test]
fn a_part_can_be_trained_on_and_the_seed_draws_another() {
    let folder = tempdir().unwrap();
    images(folder.path(), 0..200);
    let open = |more: &str| open("split", &of(folder.path(), more)).unwrap();
    let quarter = open(", test: 0.1, train: 0.25");
    assert!((30..=70).contains(&quarter.train.len()), "{}", quarter.train.len());
    assert_eq!(test_keys(&quarter), test_keys(&open(", test: 0.1")));
    assert!(keys(&*quarter.train).is_disjoint(&test_keys(&quarter)));
    assert_ne!(test_keys(&open(", test: 0.1, seed: 1")), test_keys(&quarter));
    let all = open(", test: 0");
    assert!(all.train.len() == 200 && all.test.is_none());
}

#[test]
fn shares_out_of_range_and_a_second_test_split_are_refused() {
    let folder = tempdir().unwrap();
    images(&folder.path().join("train"), 0..4);
    images(&folder.path().join("val"), 0..2);
    let config = |more: &str| dataset("split", &of(folder.path(), more)).err().unwrap().to_string();
    assert_eq!(config(", test: 1.0"), "`test` is 1, but it must be from 0 to below 1");
    assert!(config(", train: 0").starts_with("`train` is 0, but it must be above 0"));
    assert!(config(", test: 0.5, train: 0.6").contains("at most 1 less `test`, 0.5"));
    assert!(dataset("split", &of(folder.path(), ", test: 0.9, train: 0.1")).is_ok());
    assert!(dataset("split", "(of: (\"flat-folde\", (root: \"a\")))").is_err());
    let message = open_error("split", &of(folder.path(), ""));
    assert!(message.contains("has test images of its own") && message.contains("`test: 0`"), "{message}");
    let splits = open("split", &of(folder.path(), ", test: 0")).unwrap();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (4, 2));
}
