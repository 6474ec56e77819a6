//! Folders of archives, packs or Parquet files, which have the images.

use std::path::{Path, PathBuf};

use plugin_api::{DatasetConfig, DatasetFiles};

use crate::listing::{bytes_of, has_runs, is_hidden, is_image, shown_path};
use crate::split_names::{TEST, is_of_training};

/// Folders inside of one another in which files are looked for.
const DEEPEST: usize = 4;

/// Dataset plugins that take their test images apart.
const WITH_TEST: [&str; 2] = ["archive", "parquet"];

/// The dataset that a folder of files is.
pub struct FolderOfFiles {
    /// As a pipeline has it.
    pub config: DatasetConfig,
    /// Which of the files are left out, and why, one sentence each.
    pub left_out: Vec<String>,
}

/// The dataset that the folder at `path` is: one of the archives, packs or Parquet files in it, or of a plugin's own files, if
/// they are all of one kind and there is no image beside them. Files are of test images if their names begin as those of splits
/// do, as on the Hugging Face Hub (`test-00000-of-00001.parquet`), or a folder around them is called so (`val/0.tar`). They are
/// never trained on beside others, and the first kind of `val`, `valid`, `validation` and `test` is measured on.
pub fn dataset_of_folder(path: &Path) -> Option<FolderOfFiles> {
    let mut found = Vec::new();
    if !path.is_dir() || !look(path, DEEPEST, &mut found) {
        return None;
    }
    let (_, kind) = found.first()?;
    if found.iter().any(|(_, other)| other.dataset != kind.dataset) {
        return None;
    }
    let files: Vec<PathBuf> = found.iter().map(|(path, _)| path.clone()).collect();
    let (mut train, mut tests) = by_split(path, &files);
    if train.is_empty() {
        (train, tests) = (files, Vec::new());
    }
    let takes_test = WITH_TEST.contains(&kind.dataset) && !tests.is_empty();
    let measured = takes_test.then(|| tests.remove(0));
    let test = measured.as_ref().map_or_else(String::new, |(_, test)| format!(", test: {}", written(test)));
    let config = DatasetConfig::new(kind.dataset, format!("({}: {}{test})", kind.field, written(&train)));
    let why = match &measured {
        Some((name, _)) => format!("since `{name}` is measured on"),
        None => format!("since they have test images and the dataset `{}` takes none", kind.dataset),
    };
    Some(FolderOfFiles { config, left_out: tests.iter().map(|(_, files)| left_out(files, &why)).collect() })
}

/// The files of training images among `files` below `root`, and those of each kind of test images that is there, in the order of
/// [`TEST`].
fn by_split(root: &Path, files: &[PathBuf]) -> (Vec<PathBuf>, Vec<(&'static str, Vec<PathBuf>)>) {
    let of = |kind| files.iter().filter(|file| test_kind(root, file) == kind).cloned().collect::<Vec<_>>();
    let tests = TEST.into_iter().map(|name| (name, of(Some(name))));
    (of(None), tests.filter(|(_, files)| !files.is_empty()).collect())
}

/// The kind of test images that `file` has: by its own name, or else by that of the nearest folder below `root` that is called as
/// a split is.
fn test_kind(root: &Path, file: &Path) -> Option<&'static str> {
    let folders = file.strip_prefix(root).ok().and_then(Path::parent).into_iter().flat_map(Path::iter).rev();
    let folders = folders.map(|name| name.to_string_lossy().into_owned());
    for name in std::iter::once(first_word(file)).chain(folders) {
        let test = TEST.into_iter().find(|test| name.eq_ignore_ascii_case(test));
        if test.is_some() || is_of_training(name.as_bytes()) {
            return test;
        }
    }
    None
}

fn left_out(files: &[PathBuf], why: &str) -> String {
    match files {
        [file] => format!("{} is left out, {why}", shown_path(file)),
        [first, .., last] => {
            let (n, first, last) = (files.len(), shown_path(first), shown_path(last));
            format!("{n} files, {first} to {last}, are left out, {why}")
        }
        [] => String::new(),
    }
}

/// Adds the files of datasets below `folder`, folder by folder. `false` if there is an image, or if folders are too deep to look
/// for one.
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
    // Of what is deeper nobody knows whether it has images, which would be left out without a word.
    if depth == 1 {
        return folders.is_empty();
    }
    folders.iter().all(|folder| look(folder, depth - 1, found))
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
        config_and_left_out(names).map(|(config, _)| config)
    }

    fn config_and_left_out(names: &[&str]) -> Option<(String, Vec<String>)> {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir_all(root.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let FolderOfFiles { config, left_out } = dataset_of_folder(root.path())?;
        let plain = |text: String| text.replace(&format!("{}/", root.path().display()), "");
        let written = format!("{}{}", config.name(), config.config());
        Some((plain(written), left_out.into_iter().map(plain).collect()))
    }

    #[test]
    fn files_of_one_kind_are_a_dataset() {
        for (names, expected) in [
            (&["a.tar"][..], r#"archive(path: "a.tar")"#),
            (&["s-000.tar", "s-001.tar", "readme.txt", ".x.jpg"], r#"archive(path: "s-*.tar")"#),
            (&["a/x.zip", "b/y.zip"], r#"archive(path: ["a/x.zip", "b/y.zip"])"#),
            (&["p-0.pack", "p-1.pack"], r#"pack(path: "p-*.pack")"#),
            (&["train-0.pack", "test-0.pack"], r#"pack(path: "train-0.pack")"#),
            (&["photos.zip", "test.zip"], r#"archive(path: "photos.zip", test: "test.zip")"#),
            (
                &["train/0.tar", "train/1.tar", "val/0.tar"],
                r#"archive(path: "train/*.tar", test: "val/0.tar")"#,
            ),
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
    fn test_files_that_are_not_measured_on_are_told_and_not_trained_on() {
        for (names, config, left_out) in [
            (
                &["test-0.tar", "train-0.tar", "validation-0.tar"][..],
                r#"archive(path: "train-0.tar", test: "validation-0.tar")"#,
                "test-0.tar is left out, since `validation` is measured on",
            ),
            (
                &["a.pack", "test/0.pack", "test/1.pack"],
                r#"pack(path: "a.pack")"#,
                "2 files, test/0.pack to test/1.pack, are left out, since they have test images and the dataset `pack` \
                 takes none",
            ),
        ] {
            assert_eq!(config_and_left_out(names), Some((config.into(), vec![left_out.into()])), "{names:?}");
        }
    }

    #[test]
    fn images_and_files_of_two_kinds_are_none() {
        let too_deep = ["backup.zip", "2024/05/12/phone/1.jpg"];
        for names in [&["a.tar", "b.parquet"][..], &["a.tar", "deep/er/0.jpg"], &too_deep, &["list.txt"], &[]]
        {
            assert_eq!(config(names), None, "{names:?}");
        }
    }
}
