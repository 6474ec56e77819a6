use std::fs;
use std::path::{Path, PathBuf};

use datasets::{Encoding, PackError, PackPlan, PackWriter, Packed};
use plugin_api::{ByteImage, Split};
use tempfile::{TempDir, tempdir};

use super::*;

fn plan(encoding: Encoding, classes: &[&str]) -> PackPlan {
    let class_names = classes.iter().map(|&name| name.into()).collect();
    PackPlan { encoding, channels: 3, class_names, read: None, source: "a test".into() }
}

/// Images that are easy to tell apart.
fn pixels(i: u8) -> ByteImage {
    ByteImage::rgb(2, usize::from(i) + 1, (0..6 * (i + 1)).map(|v| v ^ i).collect())
}

/// Three training images of two classes and a test image, as pixels.
fn write_pixels(path: &Path) {
    let mut writer = PackWriter::create(path, plan(Encoding::Pixels, &["cat", "dog"])).unwrap();
    for (i, (split, label)) in
        [(Split::Train, 1), (Split::Train, 0), (Split::Train, 1), (Split::Test, 0)].into_iter().enumerate()
    {
        let image = Packed::Pixels(pixels(i as u8));
        writer.push(split, &format!("photos/{i}.png"), Some(label), &image).unwrap();
    }
    writer.finish().unwrap();
}

fn config(path: &Path) -> String {
    format!("(path: {path:?})")
}

fn packed() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.pack");
    write_pixels(&path);
    (folder, path)
}

#[test]
fn pixels_names_and_labels_come_back() {
    let (_folder, path) = packed();
    let splits = open("pack", &config(&path)).unwrap();
    let test = splits.test.unwrap();
    assert_eq!(labels(&*splits.train), [Some(1), Some(0), Some(1)]);
    assert_eq!(labels(&*test), [Some(0)]);
    assert_eq!(splits.train.class_names(), ["cat", "dog"]);
    assert_eq!((splits.train.name(2), test.name(0)), ("photos/2.png".into(), "photos/3.png".into()));
    for i in 0..3 {
        assert_eq!(splits.train.load(i).unwrap(), pixels(i as u8));
    }
    assert_eq!(test.load(0).unwrap(), pixels(3));
    assert_eq!(test.encoded(0).unwrap(), None);
}

#[test]
fn a_pack_is_opened_without_a_pipeline() {
    let (folder, path) = packed();
    let opened = datasets::open_images(std::slice::from_ref(&path)).unwrap();
    let images = opened.images;
    assert_eq!(labels(&*images), [Some(1), Some(0), Some(1), Some(0)], "test images come last");
    assert_eq!(images.class_names(), ["cat", "dog"]);
    for i in 0..4 {
        assert_eq!((images.name(i), images.key(i)), (format!("photos/{i}.png"), format!("photos/{i}.png")));
        assert_eq!(images.load(i).unwrap(), pixels(i as u8));
    }
    let loud = folder.path().join("A.PACK");
    fs::rename(&path, &loud).unwrap();
    assert_eq!(datasets::open_images(&[loud]).unwrap().images.len(), 4);
}

#[test]
fn files_are_kept_as_they_are() {
    let folder = tempdir().unwrap();
    save(folder.path().join("red.png"), [200, 10, 20]);
    let bytes = fs::read(folder.path().join("red.png")).unwrap();
    let path = folder.path().join("a.pack");
    let mut writer = PackWriter::create(&path, plan(Encoding::Files, &[])).unwrap();
    writer.push(Split::Train, "red.png", None, &Packed::File(bytes.clone())).unwrap();
    writer.push(Split::Train, "broken.png", None, &Packed::File(bytes[..40].to_vec())).unwrap();
    writer.finish().unwrap();
    let train = open("pack", &config(&path)).unwrap().train;
    assert_eq!(train.load(0).unwrap(), ByteImage::rgb(4, 3, [200, 10, 20].repeat(12)));
    assert_eq!(train.encoded(0).unwrap(), Some(bytes));
    assert_eq!(train.load(1).unwrap_err().name, "broken.png");
}

/// A pack called `name` of one file, which was read as `read`.
fn of_file(folder: &Path, name: &str, read: Option<&str>) -> PathBuf {
    let png = folder.join("red.png");
    save(png.clone(), [200, 10, 20]);
    let path = folder.join(name);
    let plan = PackPlan { read: read.map(str::to_owned), ..plan(Encoding::Files, &[]) };
    let mut writer = PackWriter::create(&path, plan).unwrap();
    writer.push(Split::Train, "red.png", None, &Packed::File(fs::read(png).unwrap())).unwrap();
    writer.finish().unwrap();
    path
}

#[test]
fn files_are_read_as_where_they_were_packed() {
    let folder = tempdir().unwrap();
    let path = of_file(folder.path(), "a.pack", Some("(bands: [2])"));
    let built = dataset("pack", &config(&path)).unwrap();
    assert_eq!((built.channels(), built.read_options().as_deref()), (1, Some("(bands: [2])")));
    let splits = built.open().unwrap();
    assert_eq!(splits.train.load(0).unwrap().values, [20; 12]);
    assert!(
        splits.notes[0].ends_with("images are read as they were when it was packed: `read: (bands: [2])`")
    );
    let opened = datasets::open_images(std::slice::from_ref(&path)).unwrap();
    assert_eq!(opened.images.load(0).unwrap().channels, 1);

    let told = open("pack", &format!("(path: {path:?}, read: (bands: [0, 1]))")).unwrap();
    assert_eq!(told.train.load(0).unwrap().values, [200, 10].repeat(12));
    assert!(told.notes.is_empty(), "{:?}", told.notes);
    let other = of_file(folder.path(), "b.pack", None);
    let error = open_error("pack", &format!("(path: [{path:?}, {other:?}])"));
    assert!(
        error.contains("b.pack: its images were read in another way when it was packed: `read: ()`"),
        "{error}"
    );
    assert!(open("pack", &format!("(path: [{path:?}, {other:?}], read: ())")).is_ok());

    for (read, reason) in [("(bands: [])", "it must have 1 to 16 channels"), ("bands", "")] {
        let plan = PackPlan { read: Some(read.into()), ..plan(Encoding::Files, &[]) };
        let error = PackWriter::create(&folder.path().join("c.pack"), plan).err().unwrap().to_string();
        assert!(error.contains(&format!("its files cannot be read as `{read}`")), "{error}");
        assert!(error.ends_with(reason), "{error}");
    }
    assert!(!folder.path().join("c.pack").exists());
}

#[test]
fn pixels_know_their_channels_and_are_not_read_in_another_way() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("gray.pack");
    let plan = PackPlan { channels: 1, ..plan(Encoding::Pixels, &[]) };
    let mut writer = PackWriter::create(&path, plan.clone()).unwrap();
    let gray = ByteImage { width: 1, height: 1, channels: 1, values: vec![7] };
    writer.push(Split::Train, "x", None, &Packed::Pixels(gray.clone())).unwrap();
    writer.finish().unwrap();
    assert_eq!(dataset("pack", &config(&path)).unwrap().channels(), 1);
    assert_eq!(open("pack", &config(&path)).unwrap().train.load(0).unwrap(), gray);
    // What another program has written is told of the pack, and not of a field that nobody wrote.
    let wide = folder.path().join("wide.pack");
    let plan = PackPlan { channels: 99, ..plan.clone() };
    let mut writer = PackWriter::create(&wide, plan).unwrap();
    let wide_image = ByteImage { width: 1, height: 1, channels: 99, values: vec![7; 99] };
    writer.push(Split::Train, "x", None, &Packed::Pixels(wide_image)).unwrap();
    writer.finish().unwrap();
    let error = open_error("pack", &config(&wide));
    assert!(error.contains("the pack is damaged: it says that its images have 99 channels"), "{error}");
    let error = open_error("pack", &format!("(path: {path:?}, channels: 1, read: (orientation: Exif))"));
    assert!(error.contains("it has decoded pixels, and `read` is about files"), "{error}");
}

#[test]
fn several_packs_follow_one_another() {
    let (folder, first) = packed();
    let second = folder.path().join("b.pack");
    write_pixels(&second);
    let splits = open("pack", &format!("(path: [{first:?}, {second:?}])")).unwrap();
    assert_eq!(labels(&*splits.train), [1, 0, 1, 1, 0, 1].map(Some));
    assert_eq!(splits.train.load(4).unwrap(), pixels(1));
    assert_eq!(splits.test.unwrap().len(), 2);
    let third = folder.path().join("c.pack");
    let mut writer = PackWriter::create(&third, plan(Encoding::Pixels, &["cat", "horse"])).unwrap();
    writer.push(Split::Train, "x", Some(0), &Packed::Pixels(pixels(0))).unwrap();
    writer.finish().unwrap();
    let error = open_error("pack", &format!("(path: [{first:?}, {third:?}])"));
    assert!(error.contains("c.pack: it has other classes than") && error.contains("a.pack"), "{error}");
}

#[test]
fn no_changed_byte_gives_another_image() {
    let (folder, path) = packed();
    let whole = fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.pack");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&damaged, bytes).unwrap();
        let Ok(splits) = open("pack", &config(&damaged)) else { continue };
        let n_wrong = (0..3).filter(|&i| splits.train.load(i).is_err()).count();
        let images: Vec<ByteImage> = (0..3).filter_map(|i| splits.train.load(i).ok()).collect();
        assert!(images.iter().all(|image| (0..3).any(|i| *image == pixels(i))), "byte {at}");
        assert!(n_wrong <= 1, "byte {at}");
    }
    for len in 0..whole.len() {
        fs::write(&damaged, &whole[..len]).unwrap();
        let error = open_error("pack", &config(&damaged));
        assert!(error.contains("not a pack") || error.contains("is damaged"), "{len} bytes: {error}");
    }
}

#[test]
fn a_pack_appears_whole_and_replaces_nothing() {
    let (folder, path) = packed();
    assert!(matches!(PackWriter::create(&path, plan(Encoding::Files, &[])), Err(PackError::Exists { .. })));
    let other = folder.path().join("b.pack");
    let mut writer = PackWriter::create(&other, plan(Encoding::Files, &[])).unwrap();
    writer.push(Split::Train, "x", None, &Packed::File(vec![1])).unwrap();
    assert!(!other.exists());
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // Another program may have written a file of that name in the meantime.
    let writer = PackWriter::create(&other, plan(Encoding::Files, &[])).unwrap();
    fs::write(&other, "mine").unwrap();
    assert!(matches!(writer.finish(), Err(PackError::Exists { .. })));
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
}

#[test]
fn images_that_do_not_fit_are_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.pack");
    let mut writer = PackWriter::create(&path, plan(Encoding::Pixels, &["cat"])).unwrap();
    let mut refusal = |split, label, image: &Packed| {
        writer.push(split, "x.png", label, image).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let image = Packed::Pixels(pixels(0));
    let gray = Packed::Pixels(ByteImage { width: 1, height: 1, channels: 1, values: vec![7] });
    assert!(refusal(Split::Train, Some(1), &image).starts_with("x.png: its label"));
    assert!(refusal(Split::Train, None, &image).starts_with("x.png: its label"));
    assert!(refusal(Split::Train, Some(0), &gray).contains("another number of channels"));
    assert!(refusal(Split::Train, Some(0), &Packed::File(vec![])).contains("do not mix"));
    assert_eq!(refusal(Split::Test, Some(0), &image), "");
    assert!(refusal(Split::Train, Some(0), &image).contains("training images come before"));
}

#[test]
fn what_is_no_pack_is_told() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("x.pack");
    fs::write(&file, "no pack, but long enough to be one: ".repeat(9)).unwrap();
    assert!(
        open_error("pack", &config(&file)).contains("this is not a pack\nhint: `moco pack` writes packs")
    );
    assert!(open_error("pack", &config(folder.path())).contains("this is not a file"));
    assert!(open_error("pack", &config(&folder.path().join("none"))).contains("it cannot be read"));
    let (_folder, path) = packed();
    let error = open_error("pack", &format!("(path: {path:?}, channels: 4)"));
    assert!(error.contains("its images have 3 channels, and `channels` is 4"), "{error}");
}
