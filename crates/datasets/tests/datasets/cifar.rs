use std::fs;
use std::path::Path;

use tempfile::tempdir;

use super::*;

/// A record whose planes count up from `label`.
fn record(labels: &[u8]) -> Vec<u8> {
    let mut record = labels.to_vec();
    record.extend((0..3072_usize).map(|i| (i / 1024 * 50 + i % 32) as u8 + labels[labels.len() - 1]));
    record
}

fn write_cifar10(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for batch in 1..=5_u8 {
        fs::write(folder.join(format!("data_batch_{batch}.bin")), [record(&[batch]), record(&[9])].concat())
            .unwrap();
    }
    fs::write(folder.join("test_batch.bin"), record(&[3])).unwrap();
}

#[test]
fn the_five_batches_are_one_training_split() {
    let folder = tempdir().unwrap();
    write_cifar10(folder.path());
    let splits = open("cifar10", &root(folder.path())).unwrap();
    let train = splits.train;
    assert_eq!(labels(&*train), [1, 9, 2, 9, 3, 9, 4, 9, 5, 9].map(Some));
    assert_eq!((train.class_names()[0].as_str(), train.class_names()[9].as_str()), ("airplane", "truck"));
    let image = train.load(4).unwrap();
    assert_eq!((image.width, image.height, image.values.len()), (32, 32, 3072));
    // The second pixel of the third row: planes have become channels.
    let at = (2 * 32 + 1) * 3;
    assert_eq!(image.values[at..at + 3], [4, 54, 104]);
    assert!(train.name(4).ends_with("data_batch_3.bin, record 0"), "{}", train.name(4));
    assert_eq!(labels(&*splits.test.unwrap()), [Some(3)]);
}

/// A file that claims to be long, with nothing on the disk.
#[test]
fn holes_are_no_datasets() {
    let folder = tempdir().unwrap();
    write_cifar10(folder.path());
    let hole = |name: &str, n: u64| fs::File::create(folder.path().join(name)).unwrap().set_len(n).is_ok();
    if hole("data_batch_2.bin", 3073 << 30) {
        let error = open_error("cifar10", &root(folder.path()));
        assert!(error.contains("data_batch_2.bin") && error.contains("more than 1048576"), "{error}");
    }
    if hole("list.txt", 1 << 33) {
        let error = open_error("list-file", &format!("(path: {:?})", folder.path().join("list.txt")));
        assert!(error.contains("the list is no text in UTF-8"), "{error}");
    }
}

#[test]
fn the_folder_that_the_archive_unpacks_to_is_found() {
    let folder = tempdir().unwrap();
    write_cifar10(&folder.path().join("cifar-10-batches-bin"));
    assert_eq!(open("cifar10", &root(folder.path())).unwrap().train.len(), 10);
}

#[test]
fn cifar100_has_its_fine_labels() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("train.bin"), [record(&[4, 30]), record(&[1, 99])].concat()).unwrap();
    fs::write(folder.path().join("test.bin"), record(&[19, 0])).unwrap();
    let splits = open("cifar100", &root(folder.path())).unwrap();
    assert_eq!(labels(&*splits.train), [Some(30), Some(99)]);
    assert_eq!(splits.train.class_names().len(), 100);
    assert_eq!(splits.train.class_names()[30], "dolphin");
    assert_eq!(splits.train.load(0).unwrap().values[..3], [30, 80, 130]);
}

#[test]
fn files_that_are_missing_cut_short_or_of_another_kind_are_refused() {
    let folder = tempdir().unwrap();
    let error = open_error("cifar10", &root(folder.path()));
    assert!(
        error.contains("there is no `data_batch_1.bin`") && error.contains("cifar-10-binary.tar.gz"),
        "{error}"
    );

    fs::write(folder.path().join("data_batch_1"), "pickled").unwrap();
    let error = open_error("cifar10", &root(folder.path()));
    assert!(error.contains("this is the Python version"), "{error}");

    write_cifar10(folder.path());
    let batch = folder.path().join("data_batch_2.bin");
    fs::write(&batch, &record(&[1])[..3000]).unwrap();
    let error = open_error("cifar10", &root(folder.path()));
    assert!(
        error.contains("it has 3000 bytes, which is not a multiple of the record size of 3073"),
        "{error}"
    );

    fs::write(&batch, [record(&[1]), record(&[10])].concat()).unwrap();
    let error = open_error("cifar10", &root(folder.path()));
    assert!(error.contains("record 1 has class 10, but there are only 10"), "{error}");

    fs::remove_file(&batch).unwrap();
    let error = open_error("cifar10", &root(folder.path()));
    assert!(error.contains("data_batch_2.bin: it cannot be read"), "{error}");
}
