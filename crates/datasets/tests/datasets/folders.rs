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
fn classes_are_numbered_over_both_splits_and_those_of_one_are_told() {
    let folder = tempdir().unwrap();
    for file in ["train/bee/1.png", "train/owl/1.png", "val/ant/1.png", "val/bee/1.png"] {
        save(folder.path().join(file), RED);
    }
    let splits = open("class-folders", &root(folder.path())).unwrap();
    let test = splits.test.unwrap();
    assert_eq!(
        (splits.train.class_names(), test.class_names()),
        (test.class_names(), splits.train.class_names())
    );
    assert_eq!(test.class_names(), ["ant", "bee", "owl"]);
    assert_eq!((labels(&*splits.train), labels(&*test)), (vec![Some(1), Some(2)], vec![Some(0), Some(1)]));
    let expected = [
        "1 class has no test image: owl",
        "1 class has test images and no training image, so that it cannot be recognized: ant",
    ];
    assert_eq!(splits.notes, expected);
}

#[test]
fn test_images_without_training_images_are_no_class() {
    let folder = tempdir().unwrap();
    save(folder.path().join("val/bee/1.png"), RED);
    let error = open_error("class-folders", &root(folder.path()));
    assert!(error.contains("there is a folder of test images, `val`, but no folder `train`"), "{error}");
}

/// A folder that another program leaves, and a class without images in one split only.
#[test]
fn class_folders_without_images_are_left_out_with_one_note() {
    let folder = tempdir().unwrap();
    for file in ["train/ant/1.png", "train/bee/1.png", "train/bee/2.png", "val/ant/1.png", "val/bee/1.png"] {
        save(folder.path().join(file), RED);
    }
    for empty in ["train/__MACOSX", "train/cow", "train/yak", "val/cow", "val/ant/deeper"] {
        std::fs::create_dir(folder.path().join(empty)).unwrap();
    }
    std::fs::write(folder.path().join("train/yak/notes.txt"), "moo").unwrap();
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!((splits.train.len(), splits.test.unwrap().len()), (3, 2));
    assert_eq!(splits.train.class_names(), ["ant", "bee"]);
    let train = folder.path().join("train");
    let expected = [
        format!("{}: 1 file is passed over, since it does not end like an image: 1 txt", train.display()),
        format!("{}: 1 hidden image or folder is passed over: __MACOSX", train.display()),
        "2 class folders have no image and are left out: cow, yak".to_owned(),
    ];
    assert_eq!(splits.notes, expected);
}

#[test]
fn class_folders_of_which_none_has_an_image_are_an_error() {
    let folder = tempdir().unwrap();
    std::fs::create_dir(folder.path().join("owl")).unwrap();
    std::fs::write(folder.path().join("owl/notes.txt"), "hoo").unwrap();
    let error = open_error("class-folders", &root(folder.path()));
    assert!(error.contains(": there are no images in this folder"), "{error}");
    assert!(error.contains("1 txt") && error.contains("jpg, jpeg, jpe, jfif, png, apng, bmp"), "{error}");
}

#[test]
fn images_beside_class_folders_are_told() {
    let folder = tempdir().unwrap();
    for file in ["bee/1.png", "owl/1.png", "loose.png"] {
        save(folder.path().join(file), RED);
    }
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["bee/1.png", "owl/1.png"]);
    let expected = format!(
        "{}: 1 image is beside the class folders, without a class, and left out: loose.png",
        folder.path().display()
    );
    assert_eq!(splits.notes, [expected]);
}

#[test]
fn folders_beside_train_are_told_and_may_be_classes_with_it() {
    let folder = tempdir().unwrap();
    for file in ["bus/1.png", "car/1.png", "train/electric/1.png", "train/steam/1.png", "plan.png"] {
        save(folder.path().join(file), RED);
    }
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!(splits.train.class_names(), ["electric", "steam"]);
    let place = folder.path().display();
    let expected = [
        format!(
            "{place}: beside `train` there are 2 folders that are no part of the data: bus, car; if `train` is a class \
             like these, write `train: \".\"`"
        ),
        format!("{place}: beside `train` there is 1 image that is no part of the data: plan.png"),
    ];
    assert_eq!(splits.notes, expected);

    let all = format!("(root: {:?}, train: \".\")", folder.path());
    let splits = open("class-folders", &all).unwrap();
    assert_eq!(splits.train.class_names(), ["bus", "car", "train"]);
    assert_eq!((splits.train.len(), splits.test.is_none()), (4, true));

    // The folder of test images is no class then, and folders of splits need no note.
    save(folder.path().join("val/bus/2.png"), RED);
    let splits = open("class-folders", &all).unwrap();
    assert_eq!(splits.train.class_names(), ["bus", "car", "train"]);
    assert_eq!(names(&*splits.test.unwrap(), folder.path()), ["val/bus/2.png"]);
    let beside = open("class-folders", &root(folder.path())).unwrap().notes;
    assert!(beside[0].contains("2 folders that are no part of the data: bus, car;"), "{beside:?}");
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
        ("class-folders", "(root: \"x\", test: \"train\")", "it must differ from `train`"),
        ("list-file", "(path: \"a\", test: \"a\")", "it must differ from `path`"),
        ("class-folders", "(rot: \"x\")", "unknown field `rot`"),
    ] {
        let error = dataset(name, config).err().unwrap_or_else(|| panic!("{config} builds")).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
