use tempfile::tempdir;

use super::*;

const RED: [u8; 3] = [255, 0, 0];

#[test]
fn classes_are_numbered_by_name_and_files_come_by_path() {
    let folder = tempdir().unwrap();
    for file in [
        "train/owl/b.png",
        "train/owl/deep/down/a.PNG",
        "train/bee/z.bmp",
        "train/bee/a.jpg",
        "test/bee/1.png",
    ] {
        save(folder.path().join(file), RED);
    }
    save(folder.path().join("test/owl/1.png"), RED);
    let splits = open("class-folders", &root(folder.path())).unwrap();
    let (train, test) = (splits.train, splits.test.unwrap());
    assert_eq!(train.class_names(), ["bee", "owl"]);
    let expected = ["train/bee/a.jpg", "train/bee/z.bmp", "train/owl/b.png", "train/owl/deep/down/a.PNG"];
    assert_eq!(names(&*train, folder.path()), expected);
    assert_eq!(labels(&*train), [Some(0), Some(0), Some(1), Some(1)]);
    assert_eq!(names(&*test, folder.path()), ["test/bee/1.png", "test/owl/1.png"]);
    let image = train.load(2).unwrap();
    assert_eq!((image.width, image.height), (4, 3));
    assert_eq!(image.values[..3], RED);
}

#[test]
fn without_a_train_folder_the_class_folders_are_in_the_root() {
    let folder = tempdir().unwrap();
    save(folder.path().join("bee/1.png"), RED);
    save(folder.path().join("owl/1.png"), RED);
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!(splits.train.class_names(), ["bee", "owl"]);
    assert!(splits.test.is_none());
}

#[test]
fn a_labeled_val_folder_goes_before_a_test_folder_without_labels() {
    let folder = tempdir().unwrap();
    for file in ["train/bee/1.png", "val/bee/2.png", "test/3.png"] {
        save(folder.path().join(file), RED);
    }
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!(names(&*splits.test.unwrap(), folder.path()), ["val/bee/2.png"]);
}

#[test]
fn the_folders_of_the_splits_can_be_named() {
    let folder = tempdir().unwrap();
    for file in ["learn/bee/1.png", "check/bee/2.png", "val/bee/3.png"] {
        save(folder.path().join(file), RED);
    }
    let config = format!("(root: {:?}, train: \"learn\", test: \"check\")", folder.path());
    let splits = open("class-folders", &config).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["learn/bee/1.png"]);
    assert_eq!(names(&*splits.test.unwrap(), folder.path()), ["check/bee/2.png"]);
}

#[test]
fn splits_with_other_classes_are_refused_and_the_odd_one_is_named() {
    let folder = tempdir().unwrap();
    for file in ["train/bee/1.png", "train/owl/1.png", "val/bee/1.png"] {
        save(folder.path().join(file), RED);
    }
    let error = open_error("class-folders", &root(folder.path()));
    assert!(error.contains("train: class folder `owl` is missing in"), "{error}");
    save(folder.path().join("val/owl/1.png"), RED);
    save(folder.path().join("val/yak/1.png"), RED);
    let error = open_error("class-folders", &root(folder.path()));
    assert!(error.contains("val: class folder `yak` is missing in"), "{error}");
}

#[test]
fn test_images_without_training_images_are_no_class() {
    let folder = tempdir().unwrap();
    save(folder.path().join("val/bee/1.png"), RED);
    let error = open_error("class-folders", &root(folder.path()));
    assert!(error.contains("there is a folder of test images, `val`, but no folder `train`"), "{error}");
}

#[test]
fn a_class_folder_without_images_is_named() {
    let folder = tempdir().unwrap();
    save(folder.path().join("bee/1.png"), RED);
    std::fs::create_dir(folder.path().join("owl")).unwrap();
    std::fs::write(folder.path().join("owl/notes.txt"), "hoo").unwrap();
    let error = open_error("class-folders", &root(folder.path()));
    assert!(error.contains("owl: there are no images in this folder"), "{error}");
    assert!(error.contains("jpg, jpeg, png, bmp, gif, webp, tif, tiff"), "{error}");
}

#[test]
fn images_without_class_folders_are_sent_to_flat_folder() {
    let folder = tempdir().unwrap();
    save(folder.path().join("1.png"), RED);
    let error = open_error("class-folders", &root(folder.path()));
    assert!(error.contains("there are no class folders in it") && error.contains("`flat-folder`"), "{error}");
}

#[test]
fn a_flat_folder_has_every_visible_image_and_no_labels() {
    let folder = tempdir().unwrap();
    for file in ["b.jpg", "a/c.png", "a/.thumbnail.png", ".cache/x.png"] {
        save(folder.path().join(file), RED);
    }
    std::fs::write(folder.path().join("readme.txt"), "not an image").unwrap();
    let splits = open("flat-folder", &root(folder.path())).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["a/c.png", "b.jpg"]);
    assert_eq!(splits.train.label(0), None);
    assert!(splits.train.class_names().is_empty() && splits.test.is_none());
}

#[test]
fn a_missing_folder_a_file_and_an_empty_folder_are_three_errors() {
    let folder = tempdir().unwrap();
    let missing = open_error("flat-folder", "(root: \"no/such/place\")");
    assert!(missing.starts_with("no/such/place: the folder does not exist"), "{missing}");
    assert!(missing.contains("hint: a relative path starts at the working directory"), "{missing}");
    let empty = open_error("flat-folder", &root(folder.path()));
    assert!(empty.contains("there are no images in this folder"), "{empty}");
    let file = folder.path().join("1.png");
    save(&file, RED);
    let file = open_error("flat-folder", &root(&file));
    assert!(file.contains("this is a file, not a folder"), "{file}");
}

#[test]
fn opening_reads_no_image() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("1.jpg"), "not a JPEG").unwrap();
    let images = open("flat-folder", &root(folder.path())).unwrap().train;
    assert_eq!(images.len(), 1);
    let error = images.load(0).unwrap_err();
    assert!(error.name.ends_with("1.jpg"), "{error}");
}

#[test]
fn configs_that_cannot_be_meant_are_refused() {
    for (name, config, expected) in [
        ("flat-folder", "(root: \"\")", "`root` is \"\", but it must be a path"),
        ("class-folders", "(root: \"x\", train: \"a\", test: \"a\")", "it must differ from `train`"),
        ("list-file", "(path: \"a\", test: \"a\")", "it must differ from `path`"),
        ("class-folders", "(rot: \"x\")", "unknown field `rot`"),
    ] {
        let error = dataset(name, config).err().unwrap_or_else(|| panic!("{config} builds")).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
