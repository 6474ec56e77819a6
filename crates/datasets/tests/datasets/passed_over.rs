//! What is in a folder and no part of the data, and what is said of it.

use std::fs;

use tempfile::tempdir;

use super::*;

const GRAY: [u8; 3] = [90; 3];

/// A PNG file with a mark of this program, as `moco views` writes it.
fn save_own(path: &Path) {
    let mut info = png::Info::with_size(1, 1);
    info.color_type = png::ColorType::Rgb;
    let mut encoder = png::Encoder::with_info(fs::File::create(path).unwrap(), info).unwrap();
    let (keyword, text) = datasets::PICTURE_MARK;
    encoder.add_text_chunk(keyword.into(), text.into()).unwrap();
    encoder.write_header().unwrap().write_image_data(&GRAY).unwrap();
}

fn notes(config: &str, folder: &Path) -> Vec<String> {
    let notes = open("flat-folder", config).unwrap().notes;
    notes.iter().map(|note| note.replace(&format!("{}: ", folder.display()), "")).collect()
}

#[test]
fn files_of_other_kinds_are_counted_by_ending() {
    let folder = tempdir().unwrap();
    save(folder.path().join("deep/0.jpg"), GRAY);
    for (name, n) in [("HEIC", 12), ("avif", 3), ("ppm", 3), ("jfif", 3), ("txt", 1)] {
        (0..n).for_each(|number| fs::write(folder.path().join(format!("{number}.{name}")), "").unwrap());
    }
    let splits = open("flat-folder", &root(folder.path())).unwrap();
    // What cannot be decoded is an image still.
    assert_eq!(splits.train.len(), 1 + 3 + 3);
    let expected = [
        "15 images are not read, because of the format: 12 heic, 3 avif; convert them, for instance to JPEG",
        "1 file is passed over, since it does not end like an image: 1 txt",
    ];
    assert_eq!(notes(&root(folder.path()), folder.path()), expected);
}

#[test]
fn the_known_endings_are_those_of_formats_that_are_read() {
    let folder = tempdir().unwrap();
    let endings = "jpg jpeg jpe jfif png apng bmp dib gif webp tif tiff ppm pgm pbm pnm pam tga qoi ico";
    let n = endings
        .split(' ')
        .map(|ending| fs::write(folder.path().join(format!("x.{ending}")), "").unwrap())
        .count();
    let splits = open("flat-folder", &root(folder.path())).unwrap();
    assert_eq!((splits.train.len(), splits.notes.len()), (n, 0));
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_an_unreadable_image_if_it_is_named_as_one() {
    let folder = tempdir().unwrap();
    save(folder.path().join("0.jpg"), GRAY);
    for name in ["gone.jpg", "notes.txt", "class"] {
        std::os::unix::fs::symlink("/no/such/place", folder.path().join(name)).unwrap();
    }
    let train = open("flat-folder", &root(folder.path())).unwrap().train;
    assert_eq!(names(&*train, folder.path()), ["0.jpg", "gone.jpg"]);
    assert!(train.load(0).is_ok());
    let error = train.load(1).unwrap_err();
    assert!(error.name.ends_with("gone.jpg") && error.reason.contains("No such file"), "{error}");
    assert_eq!(train.encoded(1).unwrap_err(), error);
    assert_eq!(notes(&root(folder.path()), folder.path()), ["2 links lead nowhere: class, notes.txt"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_a_circle() {
    let folder = tempdir().unwrap();
    let elsewhere = tempdir().unwrap();
    save(folder.path().join("a/0.jpg"), GRAY);
    save(elsewhere.path().join("1.jpg"), GRAY);
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
    link(folder.path(), "a/above");
    link(elsewhere.path(), "b");
    link(&elsewhere.path().join("1.jpg"), "c.jpg");
    let train = open("flat-folder", &root(folder.path())).unwrap().train;
    assert_eq!(names(&*train, folder.path()), ["a/0.jpg", "b/1.jpg", "c.jpg"]);
    let expected = "1 link leads back to a folder above and is not followed: a/above";
    assert_eq!(notes(&root(folder.path()), folder.path()), [expected]);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_told_and_never_opened() {
    let folder = tempdir().unwrap();
    save(folder.path().join("0.jpg"), GRAY);
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket.png")).unwrap();
    let expected = "1 name ends like an image and is no file: socket.png";
    assert_eq!(notes(&root(folder.path()), folder.path()), [expected]);
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_are_read_and_stay_apart() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempdir().unwrap();
    save(folder.path().join("x.png"), GRAY);
    for name in [&b"a\xff.png"[..], b"a\xfe.png", b"a\\xff.png"] {
        fs::copy(folder.path().join("x.png"), folder.path().join(std::ffi::OsStr::from_bytes(name))).unwrap();
    }
    let train = open("flat-folder", &root(folder.path())).unwrap().train;
    let found: Vec<String> = (0..4).map(|index| train.name(index)).collect();
    let found: Vec<&str> = found.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(found, ["a\\x5cxff.png", "a\\xfe.png", "a\\xff.png", "x.png"]);
    (0..4).for_each(|index| assert_eq!(train.load(index).unwrap().values[0], 90));
}

#[test]
fn pictures_that_this_program_drew_are_no_data() {
    let folder = tempdir().unwrap();
    save(folder.path().join("0.png"), GRAY);
    save_own(&folder.path().join("views.png"));
    save_own(&folder.path().join("any-name.png"));
    fs::create_dir_all(folder.path().join("drawn/att")).unwrap();
    save(folder.path().join("drawn/1.png"), GRAY);
    save_own(&folder.path().join("drawn/sheet.PNG"));
    save_own(&folder.path().join("drawn/att/001-image.png"));
    let train = open("flat-folder", &root(folder.path())).unwrap().train;
    assert_eq!(names(&*train, folder.path()), ["0.png", "drawn/1.png"]);
    let expected = "4 pictures are passed over, since this program drew them: any-name.png, drawn/att/001-image.png, drawn/sheet.PNG, ...";
    assert_eq!(notes(&root(folder.path()), folder.path()), [expected]);
}

#[test]
fn of_very_many_pictures_those_with_usual_names_are_looked_into() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    (0..4096).for_each(|i| fs::write(folder.path().join(format!("a/{i:05}.png")), "").unwrap());
    for own in ["a/any-name.png", "a/views-2.png", "a/001-image.png"] {
        save_own(&folder.path().join(own));
    }
    let splits = open("flat-folder", &root(folder.path())).unwrap();
    assert_eq!(splits.train.len(), 4096 + 1);
    assert!(splits.notes[0].ends_with("drew them: a/001-image.png, a/views-2.png"), "{:?}", splits.notes);
}

#[test]
fn images_that_cannot_be_read_are_told_with_the_first() {
    let folder = tempdir().unwrap();
    save(folder.path().join("3.png"), GRAY);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    (0..3).for_each(|i| fs::write(folder.path().join(format!("{i}.jpg")), pointer).unwrap());
    let notes = open("flat-folder", &root(folder.path())).unwrap().train.notes();
    let expected = format!("3 of 4 images looked at cannot be read: {}/0.jpg: ", folder.path().display());
    assert!(notes.len() == 1 && notes[0].starts_with(&expected), "{notes:?}");
    let list = folder.path().join("list.txt");
    fs::write(&list, "3.png\ngone.png\n").unwrap();
    let notes = open("list-file", &format!("(path: {list:?})")).unwrap().train.notes();
    assert!(
        notes[0].starts_with("1 of 2 images looked at cannot be read: ") && notes[0].contains("gone.png")
    );
}

#[test]
fn images_that_another_dataset_reads_are_told_of_as_that_reads_them() {
    let folder = tempdir().unwrap();
    let dark = image::ImageBuffer::<image::Luma<u16>, _>::from_fn(4, 4, |x, _| image::Luma([x as u16]));
    dark.save(folder.path().join("0.png")).unwrap();
    let images = datasets::open_images(&[folder.path().to_owned()]).unwrap().images;
    let read_by = |read: &str| {
        let dataset = dataset("flat-folder", &format!("(root: \"x\", read: ({read}))")).unwrap();
        datasets::notes_as_read(&*images, &|bytes| dataset.decode(bytes)).unwrap()
    };
    assert_eq!((read_by("").len(), read_by("range: (0, 3)").len()), (1, 0));
    let bands = read_by("bands: [3]");
    assert!(bands[0].starts_with("1 of 1 image looked at cannot be read: "), "{bands:?}");
}

#[test]
fn runs_below_a_folder_are_no_data() {
    let folder = tempdir().unwrap();
    save(folder.path().join("0.png"), GRAY);
    for run in ["runs/moco-001", "kept"] {
        save(folder.path().join(run).join("evaluations/knn-001/confusion.png"), GRAY);
        fs::create_dir(folder.path().join(run).join("checkpoints")).unwrap();
        fs::write(folder.path().join(run).join("pipeline.ron"), "").unwrap();
    }
    save(folder.path().join("runs/sheet.png"), GRAY);
    // A folder of this name that has no run in it is a folder like others.
    save(folder.path().join("sport/runs/marathon.png"), GRAY);
    let train = open("flat-folder", &root(folder.path())).unwrap().train;
    assert_eq!(names(&*train, folder.path()), ["0.png", "sport/runs/marathon.png"]);
    assert_eq!(
        notes(&root(folder.path()), folder.path()),
        ["2 folders of runs are no part of the data: kept, runs"]
    );
    // Neither are they classes.
    save(folder.path().join("train/bee/0.png"), GRAY);
    let beside = open("class-folders", &root(folder.path())).unwrap().notes;
    assert!(beside[0].contains("1 folder that is no part of the data: sport;"), "{beside:?}");
}

#[test]
fn hidden_images_and_folders_are_told_and_other_hidden_files_are_not() {
    let folder = tempdir().unwrap();
    for file in ["0.png", "._0.png", ".cache/1.png", "__MACOSX/2.png"] {
        save(folder.path().join(file), GRAY);
    }
    fs::write(folder.path().join(".DS_Store"), "").unwrap();
    let expected = "3 hidden images or folders are passed over: ._0.png, .cache, __MACOSX";
    assert_eq!(notes(&root(folder.path()), folder.path()), [expected]);
}

#[test]
fn an_image_file_gives_its_bytes() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("0.png");
    save(&path, GRAY);
    let train = open("flat-folder", &root(folder.path())).unwrap().train;
    assert_eq!(train.encoded(0).unwrap().unwrap(), fs::read(path).unwrap());
}

#[test]
fn patterns_leave_out_files_and_folders_and_a_pattern_without_a_match_is_told() {
    let folder = tempdir().unwrap();
    for file in
        ["a/masks/0.png", "a/0.png", "a/1.gif", "b/c/masks/deep/0.png", "1.gif", "thumbs/0.png", "old/0.png"]
    {
        save(folder.path().join(file), GRAY);
    }
    let exclude = |patterns: &str| format!("(root: {:?}, exclude: [{patterns}])", folder.path());
    let config = exclude(r#""**/masks/**", "*.gif", "thumbs", "old/*", "**/*.bmp""#);
    let train = open("flat-folder", &config).unwrap().train;
    assert_eq!(names(&*train, folder.path()), ["a/0.png", "a/1.gif"]);
    let expected = [
        "5 images or folders are left out by `exclude`: 1.gif, a/masks/0.png, b/c/masks/deep, ...",
        "the pattern `**/*.bmp` of `exclude` matches nothing; patterns are for paths below the root",
    ];
    assert_eq!(notes(&config, folder.path()), expected);

    save(folder.path().join("train/bee/masks/0.png"), GRAY);
    save(folder.path().join("train/bee/0.png"), GRAY);
    let stars = format!("{:?}", "*a".repeat(5000));
    let error = dataset("class-folders", &exclude(&stars)).err().unwrap().to_string();
    assert!(error.contains("a pattern has at most 1024 bytes, and this one 10000"), "{error}");
    let error = open_error("flat-folder", &format!("(root: {stars})"));
    assert!(error.contains("this pattern has 10000 bytes"), "{error}");
    let splits = open("class-folders", &exclude(r#""**/masks/**""#)).unwrap();
    assert_eq!(names(&*splits.train, folder.path()), ["train/bee/0.png"]);
    let error = dataset("flat-folder", &exclude(r#""a[""#)).err().unwrap().to_string();
    assert!(
        error.starts_with("`exclude` is \"a[\", but it must be a pattern such as `**/masks/**`: "),
        "{error}"
    );
}
