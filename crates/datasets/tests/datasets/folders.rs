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
    assert!(error.contains("1 txt") && error.contains("jpg, jpeg, jpe, jfif, "), "{error}");
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
fn test_images_below_the_training_images_are_not_trained_on_however_they_are_written() {
    let folder = tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    for file in ["ant/1.png", "bee/1.png", "val/ant/2.png", "deep/er/ant/3.png"] {
        save(folder.path().join(file), RED);
    }
    for test in ["val", "./val", "val/", "val/.", "bee/../val"] {
        let config = format!("(root: {root:?}, train: \".\", test: {test:?})");
        let splits = open("class-folders", &config).unwrap();
        assert_eq!(
            names(&*splits.train, folder.path()),
            ["ant/1.png", "bee/1.png", "deep/er/ant/3.png"],
            "{test}"
        );
        assert_eq!(splits.train.class_names(), ["ant", "bee", "deep"], "{test}");
        assert!(splits.notes[0].ends_with("measured on, is left out of training"), "{:?}", splits.notes);
    }
    let config = format!("(root: {root:?}, train: \".\", test: \"deep/er\")");
    assert_eq!(open("class-folders", &config).unwrap().train.len(), 3);
    let below = format!("(root: {root:?}, train: \"deep/er\", test: \"deep\")");
    let error =
        open_error("class-folders", &format!("(root: {root:?}, train: \"bee/../val\", test: \"val\")"));
    assert!(error.contains("this is the folder of the training images, too"), "{error}");
    let splits = open("class-folders", &below).unwrap();
    assert_eq!((splits.train.len(), splits.test.map_or(0, |test| test.len())), (1, 0));

    for test in ["val", "./val/"] {
        let test = format!("{root}/{test}");
        let splits = open("flat-folder", &format!("(root: {root:?}, test: {test:?})")).unwrap();
        assert_eq!((splits.train.len(), splits.test.unwrap().len()), (3, 1));
        let expected = format!("{root}: 1 image in {test}, measured on, is left out of training");
        assert_eq!(splits.notes, [expected]);
    }
    let nothing_left = format!("(root: {:?}, test: {root:?})", format!("{root}/ant/.."));
    assert!(
        open_error("flat-folder", &nothing_left).contains("this is the folder of the training images, too")
    );
}

#[test]
fn places_inside_of_one_another_are_refused_with_both_named() {
    let folder = tempdir().unwrap();
    for file in ["1.png", "test/2.png", "test-more/3.png"] {
        save(folder.path().join(file), RED);
    }
    let root = folder.path().display();
    let refused = |roots: &str| open_error("flat-folder", &format!("(root: [{roots}])"));
    let same = refused(&format!("\"{root}\", \"{root}/test/..\""));
    assert!(same.starts_with(&format!("{root}/test/..: this is {root}, so that")), "{same}");
    let inside = refused(&format!("\"{root}/test\", \"{root}\""));
    assert!(inside.starts_with(&format!("{root}/test: it is in {root}, so that")), "{inside}");
    let apart = format!("(root: [\"{root}/test\", \"{root}/test-more\"])");
    assert_eq!(open("flat-folder", &apart).unwrap().train.len(), 2);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("test"), folder.path().join("linked")).unwrap();
        let linked = refused(&format!("\"{root}/test\", \"{root}/linked\""));
        assert!(linked.contains("linked: this is") && linked.contains("there twice"), "{linked}");
    }
    // `train` is in each of them, so none is in another.
    for file in ["data/train/ant/1.png", "data/more/train/bee/1.png"] {
        save(folder.path().join(file), RED);
    }
    let two = format!("(root: [\"{root}/data\", \"{root}/data/more\"])");
    assert_eq!(open("class-folders", &two).unwrap().train.class_names(), ["ant", "bee"]);
}

#[test]
fn places_without_images_are_left_out_of_several() {
    let folder = tempdir().unwrap();
    for file in ["part-1/1.png", "part-2/2.png", ".part-3/3.png"] {
        save(folder.path().join(file), RED);
    }
    for empty in ["part-empty", "runs/a/checkpoints"] {
        std::fs::create_dir_all(folder.path().join(empty)).unwrap();
    }
    std::fs::write(folder.path().join("runs/a/pipeline.ron"), "").unwrap();
    std::fs::write(folder.path().join("part-list.csv"), "a,b\n").unwrap();
    let root = folder.path().display();
    let splits = open("flat-folder", &format!("(root: \"{root}/*\")")).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["part-1/1.png", "part-2/2.png"]);
    let expected = [
        format!("{root}/*: 3 matches of this pattern are no folders of images: {root}/.part-3, ..."),
        format!("{root}/part-empty: there are no images in it, and it is left out"),
    ];
    assert_eq!(splits.notes, expected);
    let error = open_error("flat-folder", &format!("(root: \"{root}/*.csv\")"));
    assert!(error.contains("1 match of this pattern is no folder of images"), "{error}");
    let error = open_error("flat-folder", &format!("(root: \"{root}/part-empty\", test: \"{root}/part-1\")"));
    assert!(error.contains("part-empty: there are no images in this folder"), "{error}");
    let no_test = format!("(root: \"{root}/part-1\", test: \"{root}/part-empty\")");
    assert!(open("flat-folder", &no_test).unwrap().test.is_none());
}

#[test]
fn test_images_without_class_folders_are_left_out_and_told() {
    let folder = tempdir().unwrap();
    for file in ["train/ant/1.png", "train/bee/1.png", "test/1.png", "test/2.png"] {
        save(folder.path().join(file), RED);
    }
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!((splits.train.len(), splits.test.is_none()), (2, true));
    let expected = format!(
        "{}/test: there are no class folders in it, and its 2 images are left out, so that nothing is measured on it",
        folder.path().display()
    );
    assert_eq!(splits.notes, [expected]);
    // It is no class either.
    for file in ["dot/ant/1.png", "dot/bee/1.png", "dot/test/1.png"] {
        save(folder.path().join(file), RED);
    }
    let dot = format!("(root: {:?}, train: \".\")", folder.path().join("dot"));
    let splits = open("class-folders", &dot).unwrap();
    assert_eq!((splits.train.class_names(), splits.train.len()), (&["ant".into(), "bee".into()][..], 2));
    // Others that have some are measured on.
    save(folder.path().join("Validation/ant/2.png"), RED);
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!(names(&*splits.test.unwrap(), folder.path()), ["Validation/ant/2.png"]);
}

#[test]
fn splits_are_known_by_all_their_names_in_small_and_capital_letters() {
    for (train, test) in [("train", "val"), ("Train", "Test"), ("TRAIN", "valid"), ("train", "Validation")] {
        let folder = tempdir().unwrap();
        for split in [train, test] {
            for class in ["ant", "bee"] {
                save(folder.path().join(split).join(class).join("1.png"), RED);
            }
        }
        let splits = open("class-folders", &root(folder.path())).unwrap();
        assert_eq!(splits.train.class_names(), ["ant", "bee"]);
        assert_eq!((splits.train.len(), splits.test.unwrap().len()), (2, 2), "{train} {test}");
        assert!(splits.notes.is_empty(), "{:?}", splits.notes);
        let opened = datasets::open_images(&[folder.path().to_owned()]).unwrap();
        assert_eq!((opened.images.len(), opened.images.class_names().len()), (4, 2));
    }
}

#[test]
fn classes_called_as_splits_remain_classes() {
    for classes in [&["Bus", "Car", "Train"][..], &["invalid", "valid"], &["Test", "other"]] {
        let folder = tempdir().unwrap();
        for class in classes {
            save(folder.path().join(class).join("1.png"), RED);
        }
        let splits = open("class-folders", &root(folder.path())).unwrap();
        assert_eq!((splits.train.class_names().len(), splits.test.is_none()), (classes.len(), true));
        assert!(splits.notes.is_empty(), "{:?}", splits.notes);
        let opened = datasets::open_images(&[folder.path().to_owned()]).unwrap();
        assert_eq!(opened.images.class_names(), splits.train.class_names());
    }
    // With class folders of its own it is a split.
    let folder = tempdir().unwrap();
    for file in ["Train/ant/1.png", "Train/bee/1.png", "notes/1.png"] {
        save(folder.path().join(file), RED);
    }
    let splits = open("class-folders", &root(folder.path())).unwrap();
    assert_eq!((splits.train.class_names(), splits.notes.len()), (&["ant".into(), "bee".into()][..], 1));
}

#[test]
fn files_without_an_ending_that_begin_like_images_are_told() {
    let folder = tempdir().unwrap();
    save(folder.path().join("x.png"), RED);
    for i in 0..3 {
        std::fs::copy(folder.path().join("x.png"), folder.path().join(format!("{i}"))).unwrap();
    }
    std::fs::write(folder.path().join("README"), "text").unwrap();
    std::fs::remove_file(folder.path().join("x.png")).unwrap();
    let error = open_error("flat-folder", &root(folder.path()));
    assert!(
        error.contains("3 of 4 files without an ending that were looked at begin like images"),
        "{error}"
    );
    std::fs::write(folder.path().join("list.txt"), "0\n1\n2\n").unwrap();
    let list = format!("(path: {:?})", folder.path().join("list.txt"));
    assert!(open("list-file", &list).unwrap().train.load(2).is_ok());
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
        ("class-folders", "(root: \"x\", test: \"./Train/\")", "it must differ from `train`"),
        ("class-folders", "(root: \"x\", train: \"a/b\", test: \"./a/./b/\")", "it must differ from `train`"),
        ("class-folders", "(root: [\"x\", \"./x/\"])", "each path may be given once"),
        ("flat-folder", "(root: \"x\", test: \"./x\")", "it must differ from `root`"),
        ("flat-folder", "(root: [\"x\", \"y\"], test: \"y\")", "it must differ from `root`"),
        ("list-file", "(path: \"a\", test: \"a\")", "it must differ from `path`"),
        ("class-folders", "(rot: \"x\")", "unknown field `rot`"),
    ] {
        let error = dataset(name, config).err().unwrap_or_else(|| panic!("{config} builds")).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
