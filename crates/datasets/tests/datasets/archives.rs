//! Zip and tar files give what the folder gives that they were made of.

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;

use tempfile::tempdir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

/// Paths in an order that no source sorts them in.
const FILES: [&str; 9] = [
    "train/bee/b.png",
    "train/bee/a.png",
    "train/ant-lion/1.png",
    "train/ant/10.png",
    "train/ant/2.png",
    "train/ant/deep/3.png",
    "val/ant/1.png",
    "val/bee/1.png",
    "val/ant-lion/1.png",
];

/// A folder `set` with [`FILES`] in it.
fn folder() -> tempfile::TempDir {
    let root = tempdir().unwrap();
    for (number, file) in FILES.iter().enumerate() {
        save(root.path().join("set").join(file), [number as u8, 2, 3]);
    }
    root
}

fn zip(path: &Path, files: &[(&str, Vec<u8>)], method: CompressionMethod) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn tar(path: &Path, files: &[(&str, Vec<u8>)]) {
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.finish().unwrap();
}

fn png(value: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    RgbImage::from_pixel(4, 3, Rgb([value; 3])).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Names, labels, classes and bytes, as they come.
type Seen = (Vec<String>, Vec<Option<u32>>, Vec<String>, Vec<Vec<u8>>);

fn seen(images: &dyn Images, under: &Path) -> Seen {
    let bytes = (0..images.len()).map(|index| images.encoded(index).unwrap().unwrap()).collect();
    (names(images, under), labels(images), images.class_names().to_vec(), bytes)
}

#[test]
fn the_same_images_come_in_the_same_order_from_every_source() {
    let root = folder();
    let at = |name: &str| root.path().join(name);
    let contents: Vec<(&str, Vec<u8>)> =
        FILES.iter().map(|file| (*file, fs::read(at("set").join(file)).unwrap())).collect();
    zip(&at("stored.zip"), &contents, CompressionMethod::Stored);
    zip(&at("deflated.zip"), &contents, CompressionMethod::Deflated);
    tar(&at("set.tar"), &contents);
    let around: Vec<(String, Vec<u8>)> =
        contents.iter().map(|(name, bytes)| (format!("./around/{name}"), bytes.clone())).collect();
    let around: Vec<(&str, Vec<u8>)> =
        around.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    tar(&at("around.tar"), &around);

    let expected = open("class-folders", &root_of(&at("set"))).unwrap();
    let train = seen(&*expected.train, &at("set"));
    assert_eq!(
        train.0,
        [
            "train/ant/10.png",
            "train/ant/2.png",
            "train/ant/deep/3.png",
            "train/ant-lion/1.png",
            "train/bee/a.png",
            "train/bee/b.png"
        ]
    );
    assert_eq!(train.1, [Some(0), Some(0), Some(0), Some(1), Some(2), Some(2)]);
    let test = seen(&**expected.test.as_ref().unwrap(), &at("set"));
    for (archive, inner) in
        [("stored.zip", ""), ("deflated.zip", ""), ("set.tar", ""), ("around.tar", "around")]
    {
        let splits = open("class-folders", &root_of(&at(archive))).unwrap();
        let under = if inner.is_empty() { at(archive) } else { at(archive).join(inner) };
        assert_eq!(seen(&*splits.train, &under), train, "{archive}");
        assert_eq!(seen(&**splits.test.as_ref().unwrap(), &under), test, "{archive}");
        let all = open("flat-folder", &root_of(&at("set"))).unwrap().train;
        let flat = open("flat-folder", &root_of(&at(archive))).unwrap().train;
        assert_eq!(seen(&*flat, &under), seen(&*all, &at("set")), "{archive}");
        assert_eq!(flat.load(3).unwrap(), all.load(3).unwrap());
    }
}

fn root_of(path: &Path) -> String {
    super::root(path)
}

#[test]
fn class_folders_in_an_archive_are_labels_if_every_image_is_in_one() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let path = |name: &str| format!("(path: {:?})", at(name));
    zip(
        &at("classes.zip"),
        &[("set/owl/1.png", png(1)), ("set/bee/2.png", png(2))],
        CompressionMethod::Stored,
    );
    let train = open("archive", &path("classes.zip")).unwrap().train;
    assert_eq!(
        (train.class_names(), labels(&*train)),
        (&["bee".into(), "owl".into()][..], vec![Some(0), Some(1)])
    );
    zip(
        &at("flat.zip"),
        &[("a/1.png", png(1)), ("2.png", png(2)), ("readme.txt", vec![])],
        CompressionMethod::Stored,
    );
    let splits = open("archive", &path("flat.zip")).unwrap();
    assert_eq!(labels(&*splits.train), [None; 2]);
    let expected = format!(
        "{}: 1 file is passed over, since it does not end like an image: 1 txt",
        at("flat.zip").display()
    );
    assert_eq!(splits.notes, [expected]);
    // As `moco embed` takes it.
    let opened = datasets::open_images(&[at("classes.zip")]).unwrap();
    assert_eq!(labels(&*opened.images), [Some(0), Some(1)]);
    // As a folder of photographs.
    tar(&at("photos.tar"), &[("./1.png", png(1)), ("./0.png", png(0))]);
    let train = open("archive", &path("photos.tar")).unwrap().train;
    assert_eq!(names(&*train, &at("photos.tar")), ["0.png", "1.png"]);
}

#[test]
fn shards_of_webdataset_have_their_labels_beside_the_images() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("shards")).unwrap();
    let text = |text: &str| text.as_bytes().to_vec();
    tar(
        &at("shards/000000.tar"),
        &[("0001.png", png(1)), ("0001.cls", text("9\n")), ("0000.png", png(0)), ("0000.cls", text("10"))],
    );
    tar(
        &at("shards/000001.tar"),
        &[("0003.png", png(3)), ("0003.json", text("{\"label\": 9, \"kind\": \"x\"}")), ("0002.png", png(2))],
    );
    for path in [format!("{:?}", at("shards")), format!("{:?}", at("shards/*.tar"))] {
        let splits = open("archive", &format!("(path: {path})")).unwrap();
        let expected = ["000000.tar/0000.png", "000000.tar/0001.png", "000001.tar/0003.png"];
        assert_eq!(names(&*splits.train, &at("shards")), expected);
        assert_eq!(
            (splits.train.class_names(), labels(&*splits.train)),
            (&["9".into(), "10".into()][..], vec![Some(1), Some(0), Some(0)])
        );
        let note = "000001.tar: 1 image has no file with a label, and left out: 0002.png";
        assert!(splits.notes.len() == 1 && splits.notes[0].ends_with(note), "{:?}", splits.notes);
    }
    let one = |field: &str| format!("(path: {:?}, label: {field:?})", at("shards/000001.tar"));
    assert_eq!(open("archive", &one("kind")).unwrap().train.class_names(), ["x"]);
    let error = open_error("archive", &one("kin"));
    assert!(error.contains("000001.tar/0003.json: it has no field `kin`"), "{error}");
    // What programs write beside images without labels is no label.
    tar(&at("web.tar"), &[("0.png", png(0)), ("0.json", text("{\"url\": \"x\"}")), ("0.txt", text("a cat"))]);
    let splits = open("archive", &format!("(path: {:?})", at("web.tar"))).unwrap();
    assert_eq!(labels(&*splits.train), [None]);
    assert!(
        splits.notes[0].ends_with("since they do not end like an image: 1 json, 1 txt"),
        "{:?}",
        splits.notes
    );
    // A folder that has archives and no images points to the dataset.
    let error = open_error("flat-folder", &root_of(&at("shards")));
    assert!(
        error.contains("2 archives are passed over: name one as `root`, or use the dataset `archive`"),
        "{error}"
    );
}

#[test]
fn labels_from_a_list_patterns_and_several_roots_work_for_archives_too() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    zip(&at("a.zip"), &[("x/1.png", png(1)), ("masks/1.png", png(0))], CompressionMethod::Deflated);
    save(at("b/2.png"), [2; 3]);
    fs::write(at("labels.csv"), "file,label\n1.png,u\n2.png,v\n").unwrap();
    let config = format!(
        "(root: [{:?}, {:?}], labels: {:?}, exclude: [\"masks\"])",
        at("a.zip"),
        at("b"),
        at("labels.csv")
    );
    let splits = open("flat-folder", &config).unwrap();
    assert_eq!(names(&*splits.train, root.path()), ["a.zip/x/1.png", "b/2.png"]);
    assert_eq!(labels(&*splits.train), [Some(0), Some(1)]);
    let expected = "a.zip: 1 image or folder is left out by `exclude`: masks/1.png";
    assert!(splits.notes.len() == 1 && splits.notes[0].ends_with(expected), "{:?}", splits.notes);

    let missing = format!("(root: [{:?}, \"no/a\", \"no/b\"])", at("b"));
    let error = open_error("flat-folder", &missing);
    assert!(error.starts_with("no/a: it does not exist, and neither does no/b"), "{error}");
    let error = open_error("flat-folder", &format!("(root: {:?})", at("*.tar")));
    assert!(error.contains("*.tar: nothing matches this pattern"), "{error}");
    // Classes of several roots are numbered together.
    save(at("p1/owl/1.png"), [1; 3]);
    save(at("p2/ant/1.png"), [1; 3]);
    let splits = open("class-folders", &format!("(root: {:?})", at("p?"))).unwrap();
    assert_eq!(
        (splits.train.class_names(), labels(&*splits.train)),
        (&["ant".into(), "owl".into()][..], vec![Some(1), Some(0)])
    );
}

#[test]
fn many_threads_read_one_archive_at_once() {
    let root = tempdir().unwrap();
    let path = root.path().join("a.zip");
    let names: Vec<String> = (0..64).map(|number| format!("{number:02}.png")).collect();
    let files: Vec<(&str, Vec<u8>)> =
        names.iter().enumerate().map(|(number, name)| (name.as_str(), png(number as u8))).collect();
    zip(&path, &files, CompressionMethod::Deflated);
    tar(&root.path().join("a.tar"), &files);
    for archive in ["a.zip", "a.tar"] {
        let images = open("flat-folder", &root_of(&root.path().join(archive))).unwrap().train;
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let images = Arc::clone(&images);
                scope.spawn(move || {
                    for index in (0..64).map(|index| (index * 7 + thread * 5) % 64) {
                        assert_eq!(images.load(index).unwrap().values, vec![index as u8; 36]);
                    }
                });
            }
        });
    }
}

#[test]
fn what_cannot_be_read_in_place_is_refused_with_advice() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (name, start, format) in [
        ("a.tar.gz", &b"\x1f\x8b\x08"[..], "gzip"),
        ("b.tar.zst", b"\x28\xb5\x2f\xfd", "zstd"),
        ("c.7z", b"7z\xbc\xaf\x27\x1c", "7z"),
    ] {
        fs::write(at(name), start).unwrap();
        for (plugin, field) in [("flat-folder", "root"), ("class-folders", "root"), ("archive", "path")] {
            let error = open_error(plugin, &format!("({field}: {:?})", at(name)));
            assert!(error.contains(&format!("this is compressed as a whole ({format})")), "{error}");
            assert!(error.contains("unpack it, or pack the images as .zip or as .tar without"), "{error}");
        }
    }
    fs::write(at("text.zip"), "no zip file").unwrap();
    let error = open_error("archive", &format!("(path: {:?})", at("text.zip")));
    assert!(error.contains("text.zip: the zip file cannot be read: "), "{error}");
    fs::write(at("text.tar"), [b'x'; 2048]).unwrap();
    let error = open_error("archive", &format!("(path: {:?})", at("text.tar")));
    assert!(error.contains("text.tar: the tar file cannot be read: "), "{error}");
    let error = open_error("archive", "(path: \"no/such.zip\")");
    assert!(error.starts_with("no/such.zip: the archive does not exist"), "{error}");
    fs::write(at("readme"), "text").unwrap();
    let error = open_error("archive", &format!("(path: {:?})", at("readme")));
    assert!(error.contains("readme: this is no archive\nhint: archives end in .zip or .tar"), "{error}");
}

#[test]
fn damaged_entries_are_unreadable_images_and_a_cut_archive_is_told() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    // A bomb, whose picture of one color is no picture at all.
    zip(&at("bomb.zip"), &[("0.png", png(0)), ("bomb.png", vec![0; 100 << 20])], CompressionMethod::Deflated);
    let images = open("flat-folder", &root_of(&at("bomb.zip"))).unwrap().train;
    assert!(images.load(0).is_ok());
    let error = images.load(1).unwrap_err();
    assert!(error.reason.contains("to 104857600 bytes, as no image does"), "{error}");

    zip(&at("flipped.zip"), &[("0.png", png(7)), ("1.png", png(8))], CompressionMethod::Stored);
    let mut bytes = fs::read(at("flipped.zip")).unwrap();
    let inside = 30 + "0.png".len() + 50;
    bytes[inside] ^= 1;
    fs::write(at("flipped.zip"), bytes).unwrap();
    let images = open("flat-folder", &root_of(&at("flipped.zip"))).unwrap().train;
    assert!(images.load(0).unwrap_err().reason.starts_with("damaged: "), "{:?}", images.load(0));
    assert!(images.load(1).is_ok());

    tar(&at("cut.tar"), &[("0.png", png(7)), ("1.png", png(8))]);
    let bytes = fs::read(at("cut.tar")).unwrap();
    fs::write(at("cut.tar"), &bytes[..1024 + 512 + 20]).unwrap();
    let splits = open("flat-folder", &root_of(&at("cut.tar"))).unwrap();
    assert!(splits.train.load(0).is_ok());
    assert_eq!(splits.train.load(1).unwrap_err().reason, "the archive ends before the image does");
    // Within what an image is filled up with, right behind it, and before the mark of the end.
    assert!(bytes.len() >= 3072 && png(7).len() < 400);
    for (n, last) in [(512 + png(7).len(), "0.png"), (1000, "0.png"), (1024, "0.png"), (2048, "1.png")] {
        fs::write(at("cut.tar"), &bytes[..n]).unwrap();
        let splits = open("flat-folder", &root_of(&at("cut.tar"))).unwrap();
        assert!(splits.train.load(0).is_ok(), "{n}");
        let note = format!("ends at {last}, without a mark of its end: the rest may be cut off");
        assert!(splits.notes.iter().any(|told| told.contains(&note)), "{n}: {:?}", splits.notes);
    }
    // In our words, not in those of a library.
    for (n, noise, reason) in
        [(1024 + 100, 0, "it ends within a header"), (2048, 1, "what should be a header is none")]
    {
        let mut damaged = bytes[..n].to_vec();
        damaged[1024..].iter_mut().for_each(|byte| *byte ^= noise);
        fs::write(at("cut.tar"), &damaged).unwrap();
        let splits = open("flat-folder", &root_of(&at("cut.tar"))).unwrap();
        let note = format!("is damaged or cut after 0.png: {reason}");
        assert!(splits.notes.iter().any(|told| told.ends_with(&note)), "{n}: {:?}", splits.notes);
    }

    // The later of two entries of one name is the one that unpacking leaves.
    tar(&at("twice.tar"), &[("0.png", png(1)), ("1.png", png(2)), ("0.png", png(3))]);
    let splits = open("flat-folder", &root_of(&at("twice.tar"))).unwrap();
    assert_eq!((splits.train.len(), splits.train.load(0).unwrap().values[0]), (2, 3));
    assert!(splits.notes[0].ends_with("1 image is there again later, and only the last of a name counts"));
}

#[test]
fn one_bad_archive_decides_over_no_other() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    zip(&at("a.zip"), &[("x/0.png", png(0)), ("y/1.png", png(1))], CompressionMethod::Stored);
    let whole = fs::read(at("a.zip")).unwrap();
    fs::write(at("b.zip"), &whole[..whole.len() / 2]).unwrap();
    fs::write(at("c.zip"), "").unwrap();
    let splits = open("archive", &format!("(path: {:?})", at("*.zip"))).unwrap();
    assert_eq!((labels(&*splits.train), splits.notes.len()), (vec![Some(0), Some(1)], 2));
    for (note, name) in splits.notes.iter().zip(["b.zip", "c.zip"]) {
        assert!(note.contains(name) && note.ends_with("; the archive is left out"), "{note}");
    }
    let error = open_error("archive", &format!("(path: [{:?}, {:?}])", at("a.zip"), at("none.zip")));
    assert!(error.contains("none.zip: the archive does not exist"), "{error}");
}

#[test]
fn one_bad_label_decides_over_no_other() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let text = |text: &str| text.as_bytes().to_vec();
    let cls = [
        ("0.png", png(0)),
        ("0.cls", text("")),
        ("1.png", png(1)),
        ("1.cls", text("3")),
        ("2.png", png(2)),
        ("2.cls", text("4")),
    ];
    tar(&at("cls.tar"), &cls);
    let splits = open("archive", &format!("(path: {:?})", at("cls.tar"))).unwrap();
    assert_eq!(labels(&*splits.train), [Some(0), Some(1)]);
    assert!(
        splits.notes[0].contains("1 file with a label has none in it") && splits.notes[0].contains("0.cls")
    );
    let json =
        [("0.png", png(0)), ("0.json", text("{}")), ("1.png", png(1)), ("1.json", text("{\"label\": 3}"))];
    tar(&at("json.tar"), &json);
    let splits = open("archive", &format!("(path: {:?})", at("json.tar"))).unwrap();
    assert_eq!(labels(&*splits.train), [Some(0)]);
    assert!(splits.notes[0].contains("0.json (it has no field"), "{:?}", splits.notes);
    // A shard without labels, and one whose labels are all empty.
    tar(&at("none.tar"), &[("7.png", png(7))]);
    tar(&at("empty.tar"), &[("8.png", png(8)), ("8.cls", text(" "))]);
    let all = ["cls.tar", "none.tar", "json.tar"].map(at);
    let splits = open("archive", &format!("(path: {all:?})")).unwrap();
    assert_eq!(splits.train.len(), 3);
    let told = splits.notes.join("\n");
    assert!(
        told.contains("none.tar: its 1 image has no label, and left out, since others have one"),
        "{told}"
    );
    let all = ["cls.tar", "empty.tar"].map(at);
    let splits = open("archive", &format!("(path: {all:?})")).unwrap();
    assert_eq!(splits.train.len(), 2);
    let told = splits.notes.join("\n");
    assert!(told.contains("8.cls: there is no label in it"), "{told}");
    // One label of many is none.
    let mut few: Vec<(&str, Vec<u8>)> = ["0.png", "1.png", "2.png"].map(|name| (name, png(1))).to_vec();
    few.push(("1.cls", text("5")));
    tar(&at("few.tar"), &few);
    let splits = open("archive", &format!("(path: {:?})", at("few.tar"))).unwrap();
    assert_eq!(labels(&*splits.train), [None; 3]);
    assert!(splits.notes[0].starts_with("1 of 3 images have a label beside them, and most have none"));
}

#[test]
fn a_loose_image_takes_the_classes_of_no_other() {
    let root = tempdir().unwrap();
    let path = root.path().join("set.zip");
    let files = ["set/a/0.png", "set/a/1.png", "set/b/2.png", "set/b/3.png", "loose.png"];
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|name| (*name, png(1))).collect();
    zip(&path, &files, CompressionMethod::Stored);
    let splits = open("archive", &format!("(path: {path:?})")).unwrap();
    assert_eq!(labels(&*splits.train), [0, 0, 1, 1].map(Some));
    assert_eq!(splits.train.class_names(), ["a", "b"]);
    assert_eq!(
        splits.notes,
        ["1 image is beside the class folders, without a class, and left out: loose.png"]
    );
}

#[test]
fn folders_are_separated_as_on_windows_where_nothing_else_separates_them() {
    let root = tempdir().unwrap();
    let path = root.path().join("set.zip");
    zip(&path, &[("train\\a\\0.png", png(0)), ("train\\b\\1.png", png(1))], CompressionMethod::Stored);
    let splits = open("class-folders", &root_of(&path)).unwrap();
    assert_eq!(splits.train.class_names(), ["a", "b"]);
    assert!(splits.train.name(0).ends_with("train/a/0.png"), "{}", splits.train.name(0));
}

#[test]
fn a_tar_file_behind_another_is_read_and_told() {
    let root = tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    tar(&at("a.tar"), &[("0.png", png(0))]);
    tar(&at("b.tar"), &[("1.png", png(1)), ("2.png", png(2))]);
    let both = [fs::read(at("a.tar")).unwrap(), vec![0; 8192], fs::read(at("b.tar")).unwrap()].concat();
    fs::write(at("both.tar"), both).unwrap();
    let splits = open("flat-folder", &root_of(&at("both.tar"))).unwrap();
    assert_eq!(splits.train.len(), 3);
    assert_eq!(splits.train.load(2).unwrap().values[0], 2);
    assert_eq!(splits.notes.len(), 1, "{:?}", splits.notes);
    assert!(
        splits.notes[0].ends_with("another tar file follows behind the end, after 0.png, and is read too")
    );
}

#[test]
fn several_images_of_a_sample_are_told() {
    let root = tempdir().unwrap();
    let path = root.path().join("masks.tar");
    let files = ["0.image.png", "0.mask.png", "1.image.png", "1.mask.png"].map(|name| (name, png(1)));
    tar(&path, &files);
    let splits = open("archive", &format!("(path: {path:?})")).unwrap();
    let note = "most samples have several images, `.image.png` and `.mask.png`, and all are taken; `exclude: [\"**/*.mask.png\"]` \
                leaves out one kind";
    assert!(splits.notes[0].ends_with(note), "{:?}", splits.notes);
    let left = open("archive", &format!("(path: {path:?}, exclude: [\"**/*.mask.png\"])")).unwrap();
    assert_eq!(names(&*left.train, &path), ["0.image.png", "1.image.png"]);
}

#[test]
fn what_this_program_wrote_is_no_data_in_an_archive_either() {
    let root = tempdir().unwrap();
    let (key, text) = datasets::PICTURE_MARK;
    let mut own = Vec::new();
    let mut encoder = png::Encoder::new(&mut own, 1, 1);
    encoder.add_text_chunk(key.into(), text.into()).unwrap();
    encoder.write_header().unwrap().write_image_data(&[7]).unwrap();
    let files = [
        ("set/views.png", own.clone()),
        ("set/0.png", png(0)),
        ("set/deep/views.png", own),
        ("set/runs/a/pipeline.ron", Vec::new()),
        ("set/runs/a/metrics.jsonl", Vec::new()),
        ("set/runs/a/map.png", png(1)),
        ("set/runs/b.png", png(2)),
        ("set/mine/pipeline.ron", Vec::new()),
        ("set/mine/checkpoints/best.safetensors", Vec::new()),
        ("set/mine/shot.png", png(3)),
    ];
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let path = root.path().join(format!("{method:?}.zip"));
        zip(&path, &files, method);
        let splits = open("flat-folder", &root_of(&path)).unwrap();
        assert_eq!(names(&*splits.train, &path), ["set/0.png"]);
        let told = splits.notes.join("\n");
        assert!(told.contains("2 folders of runs are no part of the data: set/mine, set/runs"), "{told}");
        assert!(
            told.contains(
                "2 pictures are passed over, since this program drew them: set/deep/views.png, set/views.png"
            ),
            "{told}"
        );
    }
}
