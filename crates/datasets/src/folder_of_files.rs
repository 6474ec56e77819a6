//! Folders of archives, packs or Parquet files, which have the images.

use std::path::{Path, PathBuf};

use plugin_api::{DatasetConfig, DatasetFiles};

use crate::listing::{bytes_of, has_runs, is_hidden, is_image};
use crate::split_names::{is_of_test, is_of_training};

/// Folders inside of one another in which files are looked for.
const DEEPEST: usize = 4;

/// Dataset plugins that take their test images apart.
const WITH_TEST: [&str; 2] = ["archive", "parquet"];

/// The dataset that the folder at `path` is: one of the archives, packs or Parquet files in it, or of a plugin's own files, if
/// they are all of one kind and there is no image beside them. Of files whose names begin as those of splits do, as on the
/// Hugging Face Hub (`test-00000-of-00001.parquet`), those of test images are measured on.
pub fn dataset_of_folder(path: &Path) -> Option<DatasetConfig> {
    let mut found = Vec::new();
    if !path.is_dir() || !look(path, DEEPEST, &mut found) {
        return None;
    }
    let (_, kind) = found.first()?;
    if found.iter().any(|(_, other)| other.dataset != kind.dataset) {
        return None;
    }
    let files: Vec<PathBuf> = found.iter().map(|(path, _)| path.clone()).collect();
    let starts_as = |is_of: fn(&[u8]) -> bool| move |path: &PathBuf| is_of(first_word(path).as_bytes());
    let (test, train): (Vec<PathBuf>, Vec<PathBuf>) = files.iter().cloned().partition(starts_as(is_of_test));
    let all_train = !train.is_empty() && train.iter().all(starts_as(is_of_training));
    if test.is_empty() || !all_train || !WITH_TEST.contains(&kind.dataset) {
        return Some(DatasetConfig::new(kind.dataset, format!("({}: {})", kind.field, written(&files))));
    }
    let (train, test) = (written(&train), written(&test));
    Some(DatasetConfig::new(kind.dataset, format!("({}: {train}, test: {test})", kind.field)))
}

/// Adds the files of datasets below `folder`, folder by folder. `false` if there is an image.
fn look(folder: &Path, depth: usize, found: &mut Vec<(PathBuf, &'static DatasetFiles)>) -> bool {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| !path.file_name().and_then(bytes_of).is_none_or(is_hidden));
    if paths.iter().any(|path| path.file_name().and_then(bytes_of).is_some_and(is_image)) {
        return false;
    }
    paths.sort_unstable();
    let mut folders = Vec::new();
    for path in paths {
        // Only lists of images are not taken by the dozen, and a text file beside others may be any text.
        match DatasetFiles::of(&path).filter(|files| files.takes_several) {
            Some(files) if path.is_file() => found.push((path, files)),
            _ if path.is_dir() && !has_runs(&path) => folders.push(path),
            _ => {}
        }
    }
    depth == 1 || folders.iter().all(|folder| look(folder, depth - 1, found))
}

/// The letters that the name of a file begins with.
fn first_word(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.chars().take_while(char::is_ascii_alphabetic).collect()
}

/// As RON has these files: a pattern, if it matches them and no others.
fn written(files: &[PathBuf]) -> String {
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    match files {
        [file] => quoted(file),
        files => match pattern(files) {
            Some(pattern) => format!("{pattern:?}"),
            None => format!("[{}]", files.iter().map(|file| quoted(file)).collect::<Vec<_>>().join(", ")),
        },
    }
}

fn pattern(files: &[PathBuf]) -> Option<String> {
    let ending = files.first()?.extension()?.to_str()?;
    let names: Option<Vec<&str>> = files.iter().map(|file| file.file_name()?.to_str()).collect();
    let names = names?;
    let is_same = |at: usize| names.iter().all(|name| name.as_bytes().get(at) == names[0].as_bytes().get(at));
    let n_same = (0..names[0].len()).take_while(|&at| is_same(at)).count();
    let begin = names[0].get(..n_same)?.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let begin = begin.strip_suffix(&format!(".{ending}")).unwrap_or(begin);
    let pattern = files[0].with_file_name(format!("{begin}*.{ending}")).to_str()?.to_owned();
    let mut matches: Vec<PathBuf> = glob::glob(&pattern).ok()?.filter_map(Result::ok).collect();
    matches.sort_unstable();
    (matches == files).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(names: &[&str]) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir_all(root.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let config = dataset_of_folder(root.path())?;
        let written = format!("{}{}", config.name(), config.config());
        Some(written.replace(&format!("{}/", root.path().display()), ""))
    }

    #[test]
    fn files_of_one_kind_are_a_dataset() {
        for (names, expected) in [
            (&["a.tar"][..], r#"archive(path: "a.tar")"#),
            (&["s-000.tar", "s-001.tar", "readme.txt", ".x.jpg"], r#"archive(path: "s-*.tar")"#),
            (&["a/x.zip", "b/y.zip"], r#"archive(path: ["a/x.zip", "b/y.zip"])"#),
            (&["p-0.pack", "p-1.pack"], r#"pack(path: "p-*.pack")"#),
            (&["train-0.pack", "test-0.pack"], r#"pack(path: "t*.pack")"#),
            (&["test.zip", "train.zip"], r#"archive(path: "train.zip", test: "test.zip")"#),
            (
                &["data/test-0.parquet", "data/train-00.parquet", "data/train-01.parquet", "README.md"],
                r#"parquet(path: "data/train-*.parquet", test: "data/test-0.parquet")"#,
            ),
            (&["data/test-0.parquet"], r#"parquet(path: "data/test-0.parquet")"#),
        ] {
            assert_eq!(config(names).as_deref(), Some(expected));
        }
    }

    #[test]
    fn images_and_files_of_two_kinds_are_none() {
        for names in [&["a.tar", "b.parquet"][..], &["a.tar", "deep/er/0.jpg"], &["list.txt"], &[]] {
            assert_eq!(config(names), None, "{names:?}");
        }
    }
}
