use tempfile::{TempDir, tempdir};

use super::*;

/// A folder with images `a.png`, `b c.png` and `sub/d.png`, and a list.
fn folder(list: &str) -> (TempDir, String) {
    let folder = tempdir().unwrap();
    for (file, value) in [("a.png", 1), ("b c.png", 2), ("sub/d.png", 3)] {
        save(folder.path().join(file), [value; 3]);
    }
    std::fs::write(folder.path().join("list.txt"), list).unwrap();
    let config = format!("(path: {:?})", folder.path().join("list.txt"));
    (folder, config)
}

#[test]
fn paths_start_at_the_list_and_comments_are_skipped() {
    let (folder, config) = folder("\u{feff}# the first three\r\n\r\na.png\r\n  b c.png\nsub/d.png\n");
    let splits = open("list-file", &config).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["a.png", "b c.png", "sub/d.png"]);
    assert_eq!(labels(&*splits.train), [None; 3]);
    assert!(splits.train.class_names().is_empty() && splits.test.is_none());
    assert_eq!(splits.train.load(1).unwrap().values[0], 2);
}

#[test]
fn labels_follow_a_tab_or_the_last_space() {
    let (folder, config) = folder("a.png\tgreat tit\nb c.png owl\nsub/d.png  great_auk\n");
    let train = open("list-file", &config).unwrap().train;
    assert_eq!(names(&*train, folder.path()), ["a.png", "b c.png", "sub/d.png"]);
    assert_eq!(train.class_names(), ["great tit", "great_auk", "owl"]);
    assert_eq!(labels(&*train), [Some(0), Some(2), Some(1)]);
}

#[test]
fn whole_numbers_are_in_the_order_of_their_values() {
    let (_folder, config) = folder("a.png 10\nb c.png 9\nsub/d.png 10\n");
    let train = open("list-file", &config).unwrap().train;
    assert_eq!(train.class_names(), ["9", "10"]);
    assert_eq!(labels(&*train), [Some(1), Some(0), Some(1)]);
}

#[test]
fn errors_name_the_file_and_the_line() {
    let (_folder, config) = folder("# moved\nimages/a.png\n");
    let error = open_error("list-file", &config);
    assert!(error.contains("list.txt: line 2: the file"), "{error}");
    let (_folder, config) = folder("# nothing\n");
    let error = open_error("list-file", &config);
    assert!(error.contains("list.txt: there are no images in this list"), "{error}");
    let error = open_error("list-file", "(path: \"missing.txt\")");
    assert!(error.contains("the list cannot be read"), "{error}");
}

#[test]
fn lines_without_a_label_are_left_out_where_most_have_one() {
    let (_folder, config) = folder("# half labeled\na.png 1\nb c.png\n");
    let splits = open("list-file", &config).unwrap();
    assert_eq!(labels(&*splits.train), [Some(0)]);
    let told = "list.txt: 1 line has no label, and left out: line 3, b c.png";
    assert!(splits.notes[0].ends_with(told), "{:?}", splits.notes);
    // A space in a path is no label of a list without labels.
    let (_folder, config) = folder("a.png\nb c.png\nsub/d.png\nodd name\n");
    let splits = open("list-file", &config).unwrap();
    assert_eq!(labels(&*splits.train), [None; 4]);
    let told = "1 line has a label, and most lines have none, so that no label is used: line 4, odd";
    assert!(splits.notes[0].ends_with(told), "{:?}", splits.notes);
}

#[test]
fn one_missing_file_is_no_wrong_folder() {
    let (_folder, config) = folder("missing.png\na.png\n");
    let train = open("list-file", &config).unwrap().train;
    assert!(train.load(0).is_err() && train.load(1).is_ok());
}

#[test]
fn lines_of_json_are_no_paths() {
    let (_folder, config) = folder("{\"file_name\": \"a.png\", \"label\": 1}\n");
    let error = open_error("list-file", &config);
    assert!(error.contains("these are lines of JSON, and no list of paths"), "{error}");
}

#[test]
fn classes_are_numbered_over_both_lists() {
    let (folder, config) = folder("a.png 3\nb c.png 7\n");
    let config = config.replace(')', &format!(", test: {:?})", folder.path().join("test.txt")));
    std::fs::write(folder.path().join("test.txt"), "sub/d.png 7\n").unwrap();
    let test = open("list-file", &config).unwrap().test.unwrap();
    assert_eq!(labels(&*test), [Some(1)]);
    assert_eq!(test.class_names(), ["3", "7"]);
    std::fs::write(folder.path().join("test.txt"), "\nsub/d.png 5\n").unwrap();
    let splits = open("list-file", &config).unwrap();
    let test = splits.test.unwrap();
    assert_eq!((labels(&*splits.train), labels(&*test)), (vec![Some(0), Some(2)], vec![Some(1)]));
    assert_eq!((splits.train.class_names(), test.class_names()), (test.class_names(), test.class_names()));
    assert_eq!(test.class_names(), ["3", "5", "7"]);
    let expected = [
        "2 classes have no test image: 3, 7",
        "1 class has test images and no training image, so that it cannot be recognized: 5",
    ];
    assert_eq!(splits.notes, expected);
    std::fs::write(folder.path().join("test.txt"), "sub/d.png\n").unwrap();
    let error = open_error("list-file", &config);
    assert!(error.contains("test.txt: it has no labels, but") && error.contains("list.txt does"), "{error}");
}

#[test]
fn lines_that_repeat_an_image_are_counted() {
    let (folder, config) = folder("a.png 1\nb c.png 2\na.png 1\n# again\na.png 2\n");
    let splits = open("list-file", &config).unwrap();
    assert_eq!(splits.train.len(), 4);
    let expected = format!(
        "{}: 2 lines repeat an image of another line, 1 of them with another label, and such images count as often as \
         they are listed: line 3, a.png",
        folder.path().join("list.txt").display()
    );
    assert_eq!(splits.notes, [expected]);
}

#[cfg(unix)]
#[test]
fn paths_that_are_no_text_are_read() {
    use std::os::unix::ffi::OsStrExt;
    let (folder, config) = folder("");
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
    std::fs::copy(folder.path().join("a.png"), folder.path().join(name)).unwrap();
    std::fs::write(folder.path().join("list.txt"), b"caf\xe9.png\n").unwrap();
    let train = open("list-file", &config).unwrap().train;
    assert_eq!(train.name(0), format!("{}/caf\\xe9.png", folder.path().display()));
    assert_eq!(train.load(0).unwrap().values[0], 1);
}
