//! Datasets in files.

use std::path::Path;

use plugin_api::{Config, Dataset, DatasetContext, Images, build};

/// Lists of images: lines of text, or a table where the first line has commas.
pub fn list(bytes: &[u8]) {
    let is_table = bytes.split(|byte| *byte == b'\n').next().is_some_and(|line| line.contains(&b','));
    in_file(bytes, if is_table { "csv" } else { "txt" }, "list-file", "path");
}

/// Zip files, as class folders and as they come.
pub fn zip(bytes: &[u8]) {
    in_file(bytes, "zip", "archive", "path");
    in_file(bytes, "zip", "class-folders", "root");
}

/// Tar files, with the labels of WebDataset.
pub fn tar(bytes: &[u8]) {
    in_file(bytes, "tar", "archive", "path");
}

/// Packs.
pub fn pack(bytes: &[u8]) {
    in_file(bytes, "pack", "pack", "path");
}

/// Parquet files; in a build without the feature, the message that says so.
pub fn parquet(bytes: &[u8]) {
    // Pages may say in few bytes that many rows are alike.
    in_file_of_any_length(bytes, "parquet", "parquet", "path", usize::MAX);
}

/// The files of CIFAR-10, one of which is given.
pub fn cifar(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let whole: Vec<u8> = (0..3073).map(|i| (i % 10) as u8).collect();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    {
        let content = if name == "data_batch_3" { bytes } else { &whole };
        write(&folder.path().join(format!("{name}.bin")), content);
    }
    check("cifar10", &format!("(root: {:?})", folder.path()), bytes.len() + 6 * whole.len());
}

fn in_file(bytes: &[u8], ending: &str, plugin: &str, field: &str) {
    in_file_of_any_length(bytes, ending, plugin, field, bytes.len());
}

fn in_file_of_any_length(bytes: &[u8], ending: &str, plugin: &str, field: &str, most_images: usize) {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join(format!("a.{ending}"));
    write(&path, bytes);
    check(plugin, &format!("({field}: {path:?})"), most_images);
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("there is room for a file");
}

/// A dataset, or an error with a reason and a hint; of its images, an image or a reason.
fn check(plugin: &str, config: &str, most_images: usize) {
    /// Images that are looked at, of each split.
    const MOST: usize = 64;
    let context = DatasetContext { seed: 0 };
    let built = build::<dyn Dataset>(plugin, Config::new(config), &context);
    let dataset = match built {
        Ok(dataset) => dataset,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let splits = match dataset.open() {
        Ok(splits) => splits,
        Err(error) => return assert!(!error.reason.is_empty() && !error.hint.is_empty(), "{error}"),
    };
    let parts: Vec<&dyn Images> =
        [Some(&splits.train), splits.test.as_ref()].into_iter().flatten().map(|part| &**part).collect();
    for images in parts {
        assert!(images.len() <= most_images, "{} images, and at most {most_images} fit", images.len());
        for index in 0..images.len().min(MOST) {
            let n_classes = images.class_names().len() as u32;
            assert!(images.label(index).is_none_or(|label| label < n_classes));
            assert!(!images.name(index).contains('\n'));
            if let Err(error) = images.load(index) {
                assert!(!error.reason.is_empty());
            }
        }
    }
    assert!(splits.notes.iter().all(|note| !note.contains('\n')), "{:?}", splits.notes);
}
