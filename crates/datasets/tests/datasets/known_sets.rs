//! Tiny ImageNet and STL-10, in small.

use std::fs;

use tempfile::tempdir;

use super::*;

/// Two classes, with two training images each, and three test images.
fn tiny(folder: &Path) {
    for (number, file) in [
        "train/n02/images/n02_0.png",
        "train/n02/images/n02_1.png",
        "train/n01/images/n01_0.png",
        "train/n01/images/n01_1.png",
        "val/images/val_0.png",
        "val/images/val_1.png",
        "val/images/val_2.png",
    ]
    .iter()
    .enumerate()
    {
        save(folder.join(file), [number as u8; 3]);
    }
    fs::write(folder.join("train/n01/n01_boxes.txt"), "n01_0.png\t0\t0\t3\t3\n").unwrap();
    let annotations = "val_0.png\tn02\t0\t0\t3\t3\nval_1.png\tn01\t0\t0\t3\t3\nval_2.png\tn02\t0\t0\t3\t3\n";
    fs::write(folder.join("val/val_annotations.txt"), annotations).unwrap();
}

#[test]
fn tiny_imagenet_has_its_test_labels_in_a_file_in_a_folder_or_a_zip() {
    let root_folder = tempdir().unwrap();
    let set = root_folder.path().join("tiny-imagenet-200");
    tiny(&set);
    let zip_file = root_folder.path().join("tiny.zip");
    let mut zip = zip::ZipWriter::new(fs::File::create(&zip_file).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for entry in [
        "train/n01/images/n01_0.png",
        "train/n02/images/n02_0.png",
        "val/images/val_1.png",
        "val/val_annotations.txt",
    ] {
        zip.start_file(format!("tiny-imagenet-200/{entry}"), options).unwrap();
        std::io::Write::write_all(&mut zip, &fs::read(set.join(entry)).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    for path in [&set, &root_folder.path().to_owned()] {
        let splits = open("tiny-imagenet", &root(path)).unwrap();
        let test = splits.test.unwrap();
        assert_eq!(splits.train.class_names(), ["n01", "n02"]);
        assert_eq!(labels(&*splits.train), [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(labels(&*test), [Some(1), Some(0), Some(1)]);
        assert_eq!(names(&*test, &set)[0], "val/images/val_0.png");
        assert_eq!((splits.train.load(0).unwrap().values[0], test.load(2).unwrap().values[0]), (2, 6));
        assert!(splits.notes.is_empty(), "{:?}", splits.notes);
    }
    let splits = open("tiny-imagenet", &root(&zip_file)).unwrap();
    assert_eq!(
        (labels(&*splits.train), labels(&*splits.test.unwrap())),
        (vec![Some(0), Some(1)], vec![Some(0)])
    );

    // One file too many in either folder is no reason to refuse all.
    for file in ["train/loose.png", "val/images/more.png"] {
        save(set.join(file), [9; 3]);
    }
    fs::write(set.join("train/n01/list.csv"), "").unwrap();
    let splits = open("tiny-imagenet", &root(&set)).unwrap();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (4, 3));
    let place = set.display();
    let expected = [
        format!("{place}/train: 2 files are passed over, since they do not end like an image: 1 csv, 1 txt"),
        format!("{place}/train: 1 image is in no class folder and left out: loose.png"),
        format!("{place}/val: 1 image is not in `val_annotations.txt` and left out: images/more.png"),
    ];
    assert_eq!(splits.notes, expected);
    fs::write(set.join("val/val_annotations.txt"), "other.png\tn02\n").unwrap();
    let error = open_error("tiny-imagenet", &root(&set));
    assert!(error.contains("val: 4 images are not in `val_annotations.txt`: images/more.png, "), "{error}");
    fs::remove_file(set.join("val/val_annotations.txt")).unwrap();
    let error = open_error("tiny-imagenet", &root(&set));
    assert!(error.contains("val_annotations.txt: it cannot be read: "), "{error}");
    fs::remove_dir_all(set.join("train")).unwrap();
    let error = open_error("tiny-imagenet", &root(&set));
    assert!(error.contains("there are no folders `train` and `val`, neither here nor in"), "{error}");
}

/// `n` images that begin with their number; red is x, green is y and blue is 7.
fn stl_images(n: usize) -> Vec<u8> {
    let plane = |value: &dyn Fn(usize, usize) -> u8| -> Vec<u8> {
        // Column by column.
        (0..96).flat_map(|x| (0..96).map(move |y| (x, y))).map(|(x, y)| value(x, y)).collect()
    };
    let image = |number: usize| {
        let mut bytes = [plane(&|x, _| x as u8), plane(&|_, y| y as u8), plane(&|_, _| 7)].concat();
        bytes[0] = number as u8;
        bytes
    };
    (0..n).flat_map(image).collect()
}

#[test]
fn stl10_is_read_column_by_column_with_labels_from_1() {
    let folder = tempdir().unwrap();
    let write =
        |name: &str, bytes: Vec<u8>| fs::write(folder.path().join("stl10_binary").join(name), bytes).unwrap();
    fs::create_dir(folder.path().join("stl10_binary")).unwrap();
    write("unlabeled_X.bin", stl_images(3));
    write("train_X.bin", stl_images(2));
    write("train_y.bin", vec![10, 1]);
    write("test_X.bin", stl_images(2));
    write("test_y.bin", vec![2, 1]);
    let splits = open("stl10", &root(folder.path())).unwrap();
    let test = splits.test.unwrap();
    assert_eq!((labels(&*splits.train), labels(&*test)), (vec![None; 3], vec![Some(1), Some(0)]));
    assert!(splits.train.class_names().is_empty() && test.class_names()[9] == "truck");
    let image = splits.train.load(2).unwrap();
    let pixel = |x: usize, y: usize| image.values[3 * (y * 96 + x)..][..3].to_vec();
    assert_eq!((image.width, image.height), (96, 96));
    assert_eq!((pixel(0, 0), pixel(5, 90), pixel(95, 1)), (vec![2, 0, 7], vec![5, 90, 7], vec![95, 1, 7]));

    let labeled = format!("(root: {:?}, train: Labeled)", folder.path());
    assert_eq!(labels(&*open("stl10", &labeled).unwrap().train), [Some(9), Some(0)]);
    write("train_y.bin", vec![10]);
    assert!(open_error("stl10", &labeled).contains("train_y.bin: it has 1 labels, and there are 2 images"));
    write("train_y.bin", vec![10, 11]);
    assert!(open_error("stl10", &labeled).contains("label 1 is 11, but they are from 1 to 10"));
    write("test_X.bin", vec![0; 100]);
    let error = open_error("stl10", &labeled.replace("Labeled", "Unlabeled"));
    assert!(error.contains("test_X.bin: it has 100 bytes, which is not a multiple of the 27648"), "{error}");
    fs::remove_dir_all(folder.path().join("stl10_binary")).unwrap();
    let error = open_error("stl10", &root(folder.path()));
    assert!(error.contains("there is no `test_X.bin`, neither here nor in `stl10_binary`"), "{error}");
}
