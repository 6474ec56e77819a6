//! Lists and labels in tables.

use tempfile::{TempDir, tempdir};

use super::*;

/// A folder with images `photos/0.png` to `photos/3.png`, and a list `name`.
fn folder(name: &str, list: &str) -> (TempDir, String) {
    let folder = tempdir().unwrap();
    (0..4).for_each(|value| save(folder.path().join(format!("photos/{value}.png")), [value; 3]));
    std::fs::write(folder.path().join(name), list).unwrap();
    let config = format!("(path: {:?})", folder.path().join(name));
    (folder, config)
}

fn with(config: &str, fields: &str) -> String {
    config.replace(')', &format!(", {fields})"))
}

#[test]
fn a_table_with_names_of_columns_is_read() {
    let list = "filename,label\nphotos/0.png,a\nphotos/1.png,b\n\nphotos/2.png,\"a\"\n";
    let (folder, config) = folder("list.csv", list);
    let splits = open("list-file", &config).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["photos/0.png", "photos/1.png", "photos/2.png"]);
    assert_eq!(splits.train.class_names(), ["a", "b"]);
    assert_eq!(labels(&*splits.train), [Some(0), Some(1), Some(0)]);
    assert!(splits.notes.is_empty());
    // As `moco embed` takes it.
    let opened = datasets::open_images(&[folder.path().join("list.csv")]).unwrap();
    assert_eq!(labels(&*opened.images), [Some(0), Some(1), Some(0)]);
}

#[test]
fn semicolons_tabs_quotation_marks_and_tables_without_names_are_read() {
    for (name, list) in [
        ("list.csv", "\u{feff}Class;Image\r\nred fox;photos/0.png\r\nowl;photos/1.png\r\n"),
        ("list.tsv", "path\tspecies\nphotos/0.png\tred fox\nphotos/1.png\towl\n"),
        ("list.csv", "photos/0.png,red fox\nphotos/1.png,owl\n"),
        ("list.csv", "path\tspecies\nphotos/0.png\tred fox\nphotos/1.png\towl\n"),
        ("list.CSV", "\"red fox\",\"photos/0.png\"\nowl, photos/1.png\n"),
    ] {
        let (folder, config) = folder(name, list);
        let train = open("list-file", &config).unwrap().train;
        assert_eq!(names(&*train, folder.path()), ["photos/0.png", "photos/1.png"], "{list}");
        assert_eq!(
            (train.class_names(), train.label(0)),
            (&["owl".into(), "red fox".into()][..], Some(1)),
            "{list}"
        );
    }
    // A comma in a name is no separator within quotation marks.
    let (folder, config) = folder("list.csv", "path\n\"photos/a,b.png\"\n");
    save(folder.path().join("photos/a,b.png"), [9; 3]);
    assert_eq!(names(&*open("list-file", &config).unwrap().train, folder.path()), ["photos/a,b.png"]);
}

#[test]
fn columns_can_be_named() {
    let list = "id,where,kind,label\n1,photos/0.png,x,7\n2,photos/1.png,y,7\n";
    let (folder, config) = folder("list.csv", list);
    let train =
        open("list-file", &with(&config, r#"path_column: "where", label_column: "kind""#)).unwrap().train;
    assert_eq!(names(&*train, folder.path()), ["photos/0.png", "photos/1.png"]);
    assert_eq!(train.class_names(), ["x", "y"]);
    let error = open_error("list-file", &with(&config, r#"path_column: "wher""#));
    assert!(error.contains("list.csv: no column is called `wher`, as `path_column` has it"), "{error}");
    assert!(error.contains("did you mean `where`? The columns are id, where, kind, label"), "{error}");
}

#[test]
fn tables_that_cannot_be_understood_are_refused_with_the_line() {
    let error = |list: &str| open_error("list-file", &folder("list.csv", list).1);
    let said = error("a,b,c\n1,2,3\n");
    assert!(
        said.contains("no column is known to have paths: a, b, c") && said.contains("`path_column`"),
        "{said}"
    );
    let said = error("photos/0.png,a,b\n");
    assert!(
        said.contains("it has 3 columns, and the first line does not name them: photos/0.png, a, b"),
        "{said}"
    );
    let said = error("path,label\nphotos/0.png,a\n,b\n");
    assert!(said.contains("list.csv: line 3 has no path in column 1"), "{said}");
    let said = error("path,label\n");
    assert!(said.contains("there are no images in this list"), "{said}");
    // A table by another name.
    let said = open_error("list-file", &folder("list.txt", "photos/0.png,a\n").1);
    assert!(
        said.contains("line 1: the file") && said.contains("commas are read in a list that ends in `.csv`"),
        "{said}"
    );
    let said = open_error("list-file", &folder("list.csv", "p\0a\0t\0h\0").1);
    assert!(said.contains("the list is no text in UTF-8"), "{said}");
}

#[test]
fn columns_that_are_not_used_are_told() {
    let list = "path,width,height\nphotos/0.png,3,4\n";
    let (folder, config) = folder("list.csv", list);
    let expected = format!(
        "{}: no column is known to have labels: path, width, height; name it with `label_column`",
        folder.path().join("list.csv").display()
    );
    assert_eq!(open("list-file", &config).unwrap().notes, [expected]);
}

#[test]
fn a_flat_folder_takes_labels_by_path_by_name_or_without_the_ending() {
    for list in [
        "path,label\n./photos/0.png,b\nphotos/1.png,a\nphotos/3.png,b\n",
        "filename,label\n0.png,b\n1.png,a\n3.png,b\n",
        "id,breed\n0,b\n1,a\n3,b\n",
    ] {
        let (folder, config) = folder("labels.csv", list);
        let config = with(&config.replace("path:", "labels:"), &format!("root: {:?}", folder.path()));
        let splits = open("flat-folder", &config).unwrap();
        assert_eq!(names(&*splits.train, folder.path()), ["photos/0.png", "photos/1.png", "photos/3.png"]);
        assert_eq!(splits.train.class_names(), ["a", "b"]);
        assert_eq!(labels(&*splits.train), [Some(1), Some(0), Some(1)]);
        let place = folder.path().display();
        let expected = [
            format!("{place}: 1 file is passed over, since it does not end like an image: 1 csv"),
            format!("{place}: 1 image has no label in {place}/labels.csv, and left out: photos/2.png"),
        ];
        assert_eq!(splits.notes, expected);
    }
}

#[test]
fn labels_of_other_images_are_refused_and_labels_at_odds_told() {
    let open_with = |list: &str| {
        let (folder, config) = folder("labels.csv", list);
        let config =
            with(&config.replace("path:", "labels:"), &format!("root: {:?}", folder.path().join("photos")));
        (folder, config)
    };
    let (_folder, config) = open_with("path,label\nelsewhere/9.png,b\n");
    let error = open_error("flat-folder", &config);
    assert!(
        error.contains("it labels none of the images: it has `elsewhere/9.png`, and there is `0.png`"),
        "{error}"
    );
    let (_folder, config) = open_with("path\n0.png\n");
    assert!(open_error("flat-folder", &config).contains("labels.csv: it has no labels"));
    let (folder, config) = open_with("path,label\n0.png,a\n1.png,a\n0.png,b\n2.png,a\n3.png,a\n");
    let splits = open("flat-folder", &config).unwrap();
    assert_eq!(labels(&*splits.train), [Some(0); 4]);
    let expected = format!(
        "{}: 1 line has another label for an image of an earlier line, which counts",
        folder.path().join("labels.csv").display()
    );
    assert_eq!(splits.notes, [expected]);
}

#[test]
fn labels_are_for_both_folders() {
    let (folder, _) = folder("labels.csv", "name,label\n");
    save(folder.path().join("test/9.png"), [9; 3]);
    std::fs::write(folder.path().join("labels.csv"), "file,label\n0.png,a\n1.png,b\n9.png,b\n").unwrap();
    let path = |name: &str| folder.path().join(name);
    let config =
        format!("(root: {:?}, test: {:?}, labels: {:?})", path("photos"), path("test"), path("labels.csv"));
    let splits = open("flat-folder", &config).unwrap();
    assert_eq!(
        (labels(&*splits.train), labels(&*splits.test.unwrap())),
        (vec![Some(0), Some(1)], vec![Some(1)])
    );
    assert!(splits.notes.contains(&"1 class has no test image: a".to_owned()), "{:?}", splits.notes);
}

#[test]
fn rows_without_a_label_are_left_out() {
    let (folder, config) = folder("list.csv", "path,label\nphotos/0.png,\nphotos/1.png,b\nphotos/2.png,a\n");
    let splits = open("list-file", &config).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["photos/1.png", "photos/2.png"]);
    assert_eq!(labels(&*splits.train), [Some(1), Some(0)]);
    assert!(splits.notes[0].ends_with("1 line has no label, and left out: line 2, photos/0.png"));
}

#[test]
fn a_column_of_splits_divides_the_table() {
    let list = "path,label,split\nphotos/0.png,a,train\nphotos/1.png,b,Test\nphotos/2.png,b,train\nphotos/3.png,a,test\n";
    let (folder, config) = folder("list.csv", list);
    let splits = open("list-file", &config).unwrap();
    let test = splits.test.unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["photos/0.png", "photos/2.png"]);
    assert_eq!(names(&*test, folder.path()), ["photos/1.png", "photos/3.png"]);
    assert_eq!((labels(&*splits.train), labels(&*test)), (vec![Some(0), Some(1)], vec![Some(1), Some(0)]));
    let told = "list.csv: the column `split` divides it: 2 lines to train on, 2 to test on; with `split_column: \"\"` all lines \
                are to train on";
    assert!(splits.notes.len() == 1 && splits.notes[0].ends_with(told), "{:?}", splits.notes);
    let all = open("list-file", &with(&config, "split_column: \"\"")).unwrap();
    assert!(all.train.len() == 4 && all.test.is_none() && all.notes.is_empty(), "{:?}", all.notes);
    // Where there is no second split, the list says so.
    let opened = datasets::open_images(&[folder.path().join("list.csv")]).unwrap();
    assert_eq!(opened.images.len(), 4);
    assert!(
        opened.notes[0]
            .ends_with("the column `split` is not used here: all lines are taken, of whatever split")
    );
}

#[test]
fn validation_comes_before_test_and_other_values_name_no_split() {
    let list = "path,set\nphotos/0.png,train\nphotos/1.png,val\nphotos/2.png,test\nphotos/3.png,test\n";
    let (folder, config) = folder("list.csv", list);
    let splits = open("list-file", &config).unwrap();
    assert_eq!(labels(&*splits.train), [None]);
    assert_eq!(names(&*splits.test.unwrap(), folder.path()), ["photos/1.png"]);
    assert!(splits.notes[0].contains("1 line to train on, 1 to test on, and 2 of `test` are left out"));
    let list = "path,label,fold\nphotos/0.png,a,0\nphotos/1.png,b,1\n";
    let (_folder, config) = self::folder("list.csv", list);
    let splits = open("list-file", &config).unwrap();
    assert_eq!((splits.train.len(), splits.test.is_none()), (2, true));
    assert!(splits.notes[0].contains("the column `fold` is not used, since it has values such as `0`"));
    let error = open_error("list-file", &with(&config, "split_column: \"fold\""));
    assert!(error.contains("line 2 has `0` in the column `fold`, which names no split"), "{error}");
}

#[test]
fn labels_by_path_are_for_no_other_folder() {
    let root = tempdir().unwrap();
    for file in ["a/0.png", "a/1.png", "b/0.png", "b/1.png"] {
        save(root.path().join("photos").join(file), [1; 3]);
    }
    let list = root.path().join("labels.csv");
    let config = format!("(root: {:?}, labels: {list:?})", root.path().join("photos"));
    std::fs::write(&list, "path,label\na/0.png,cat\na/1.png,dog\nb/9.png,dog\n").unwrap();
    let splits = open("flat-folder", &config).unwrap();
    assert_eq!(names(&*splits.train, &root.path().join("photos")), ["a/0.png", "a/1.png"]);
    assert_eq!(labels(&*splits.train), [Some(0), Some(1)]);
    let told = splits.notes.join("\n");
    assert!(told.contains("2 images have no label") && told.contains("b/0.png, b/1.png"), "{told}");
    assert!(told.contains("labels.csv: 1 line labels no image: b/9.png"), "{told}");
    // Names alone label the images of all folders, which is told.
    std::fs::write(&list, "file,label\n0.png,cat\n1.png,dog\n").unwrap();
    let splits = open("flat-folder", &config).unwrap();
    assert_eq!(labels(&*splits.train), [Some(0), Some(1), Some(0), Some(1)]);
    let told = splits.notes.join("\n");
    assert!(
        told.contains("2 names are those of images in several folders") && told.contains("0.png, 1.png"),
        "{told}"
    );
    // Of paths elsewhere, a name with two labels is none.
    std::fs::write(&list, "path,label\nx/0.png,cat\ny/0.png,dog\nx/1.png,cat\n").unwrap();
    let splits = open("flat-folder", &config).unwrap();
    assert_eq!(names(&*splits.train, &root.path().join("photos")), ["a/1.png", "b/1.png"]);
}

#[test]
fn of_two_columns_one_that_names_no_splits_has_the_labels() {
    for (list, classes) in [
        ("path,fold\nphotos/0.png,1\nphotos/1.png,2\n", ["1", "2"]),
        ("image,set\nphotos/0.png,owl\nphotos/1.png,test\n", ["owl", "test"]),
        ("set,image\nowl,photos/0.png\nwren,photos/1.png\n", ["owl", "wren"]),
    ] {
        let (_folder, config) = folder("list.csv", list);
        let splits = open("list-file", &config).unwrap();
        assert_eq!(splits.train.class_names(), classes, "{list}");
        assert_eq!(labels(&*splits.train), [Some(0), Some(1)]);
        assert!(splits.notes[0].contains("is taken as the label, since it has values such as"), "{list}");
        let splits = open("list-file", &with(&config, "split_column: \"\"")).unwrap();
        assert_eq!((splits.train.class_names(), splits.notes.len()), (&classes.map(String::from)[..], 0));
    }
    // Splits are no labels, even where they divide nothing.
    let (_folder, config) = folder("list.csv", "path,set\nphotos/0.png,test\nphotos/1.png,test\n");
    let splits = open("list-file", &config).unwrap();
    assert_eq!((labels(&*splits.train), splits.test.is_none()), (vec![None; 2], true));
}

#[test]
fn a_few_lines_with_a_folder_do_not_decide_over_names() {
    let root = tempdir().unwrap();
    for file in ["sub/0.png", "sub/1.png", "sub/2.png", "other/3.png"] {
        save(root.path().join("photos").join(file), [1; 3]);
    }
    let list = root.path().join("labels.csv");
    let config = format!("(root: {:?}, labels: {list:?})", root.path().join("photos"));
    std::fs::write(&list, "path,label\n0.png,a\n1.png,b\nsub/2.png,a\n3.png,b\n").unwrap();
    let splits = open("flat-folder", &config).unwrap();
    assert_eq!(
        names(&*splits.train, &root.path().join("photos")),
        ["other/3.png", "sub/0.png", "sub/1.png", "sub/2.png"]
    );
    assert_eq!(labels(&*splits.train), [Some(1), Some(0), Some(1), Some(0)]);
}

#[test]
fn of_a_list_to_test_on_lines_to_train_on_are_left_out() {
    let list = "path,split\nphotos/0.png,train\nphotos/1.png,val\n";
    let (folder, config) = folder("list.csv", list);
    let test = folder.path().join("t.csv");
    std::fs::write(&test, "path,split\nphotos/1.png,train\nphotos/2.png,\nphotos/3.png,\n").unwrap();
    let splits = open("list-file", &with(&config, &format!("test: {test:?}"))).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["photos/0.png"]);
    assert_eq!(names(&*splits.test.unwrap(), folder.path()), ["photos/2.png", "photos/3.png"]);
    let told = "list.csv: the column `split` divides it: 1 line to train on, and 1 other is left out; with `split_column: \"\"` \
                all lines are to train on";
    assert!(splits.notes[0].ends_with(told), "{:?}", splits.notes);
    let told = "t.csv: the column `split` divides it: 2 lines to test on, and 1 other is left out";
    assert!(splits.notes[1].ends_with(told), "{:?}", splits.notes);
    // Without a list to test on, lines that do not say are for nothing.
    let splits = open("list-file", &format!("(path: {test:?})")).unwrap();
    assert_eq!((splits.train.len(), splits.test.is_none()), (1, true));
    assert!(splits.notes[0].contains("1 line to train on, and 2 others are left out;"), "{:?}", splits.notes);
}

#[test]
fn labels_of_lines_that_are_left_out_are_no_classes() {
    let list = "path,label,split\nphotos/0.png,b,train\nphotos/1.png,a,val\nphotos/2.png,?,test\n";
    let (_folder, config) = folder("list.csv", list);
    let splits = open("list-file", &config).unwrap();
    let test = splits.test.unwrap();
    assert_eq!((splits.train.class_names(), test.class_names()), (test.class_names(), test.class_names()));
    assert_eq!(test.class_names(), ["a", "b"]);
    assert_eq!((labels(&*splits.train), labels(&*test)), (vec![Some(1)], vec![Some(0)]));
}
