//! A folder of images as they come: some odd, some broken.

use std::collections::BTreeSet;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Rgb, RgbImage};
use tempfile::tempdir;

use crate::support::{Outcome, checkpoint_steps, here, metrics, workspace, xtask};

/// A picture with something in it, another one for each number.
fn picture(number: u32, side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let inside = x.abs_diff(side / 2) + y.abs_diff(side / 2) < 4 + number % 12;
        let shade = (x * 5 + y * 3 + number * 17) as u8;
        if inside { Rgb([255 - shade, number as u8 * 4, 30]) } else { Rgb([shade, 90, shade / 2]) }
    })
}

/// `n` good images, half of them JPEG.
fn write_good(folder: &Path, n: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for number in 0..n {
        let extension = if number % 2 == 0 { "jpg" } else { "png" };
        picture(number, 20 + number).save(folder.join(format!("good-{number:02}.{extension}"))).unwrap();
    }
}

/// Images that can be read, though few expect them.
fn write_odd(folder: &Path) {
    let deep = ImageBuffer::from_fn(40, 30, |x, y| Rgb([(x * 1600) as u16, (y * 2100) as u16, 40_000]));
    DynamicImage::ImageRgb16(deep).save(folder.join("16-bit.png")).unwrap();
    GrayImage::from_fn(33, 21, |x, y| Luma([(x * 7 + y) as u8])).save(folder.join("gray.jpg")).unwrap();
    picture(0, 1).save(folder.join("one-pixel.png")).unwrap();
    let cmyk = workspace().join("crates/datasets/tests/fixtures/cmyk.jpg");
    std::fs::copy(cmyk, folder.join("cmyk.jpg")).unwrap();
}

/// Three files that are no images, in spite of their names.
fn write_broken(folder: &Path) {
    let whole = folder.join("whole.jpg");
    picture(5, 48).save(&whole).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::remove_file(whole).unwrap();
    std::fs::write(folder.join("truncated.jpg"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(folder.join("empty.jpg"), "").unwrap();
    std::fs::write(folder.join("text.jpg"), "404 Not Found").unwrap();
}

/// The files that are listed as unreadable, with the reason of each.
fn unreadable(run: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(run.join("unreadable.txt")).unwrap();
    let entry = |line: &str| {
        let (path, reason) = line.split_once(": ").unwrap();
        (Path::new(path).file_name().unwrap().to_str().unwrap().to_owned(), reason.to_owned())
    };
    text.lines().map(entry).collect()
}

#[test]
fn odd_images_are_trained_on_and_broken_ones_listed() {
    let root = tempdir().unwrap();
    let images = root.path().join("images");
    write_good(&images, 63);
    write_odd(&images);
    write_broken(&images);
    std::fs::write(images.join("notes.txt"), "no image, and does not look like one").unwrap();
    write_good(&root.path().join("test"), 4);
    // 70 images: every one is met in each epoch.
    let outcome = xtask(
        root.path(),
        [
            "run",
            &here("small.ron"),
            "--set",
            r#"data=(source: ("flat-folder", (root: "images", test: "test")), batch: 10)"#,
        ],
    )
    .done();
    let run = root.path().join("runs/small-001");
    let expected = [
        ("empty.jpg", "the file is empty"),
        ("text.jpg", "the file has no supported image format"),
        ("truncated.jpg", "the JPEG file is truncated"),
    ];
    let expected: BTreeSet<_> =
        expected.into_iter().map(|(name, reason)| (name.to_owned(), reason.to_owned())).collect();
    assert_eq!(unreadable(&run), expected);
    assert!(outcome.stdout.contains("70 training images, 4 test images, no labels"), "{outcome}");
    assert!(
        outcome.stdout.contains("3 unreadable images, listed in runs/small-001/unreadable.txt"),
        "{outcome}"
    );
    assert_eq!(checkpoint_steps(&run).last(), Some(&14));
    let lines = metrics(&run);
    assert_eq!(lines[2]["unreadable"], 3);
    assert!(lines[2]["loss"].as_f64().unwrap() > 0.0, "{lines:?}");

    // Nothing tells the classes, so there is nothing for neighbors to tell.
    assert_eq!(
        outcome.stderr.matches("monitor knn is off: the images have no labels").count(),
        1,
        "{outcome}"
    );
    assert!(lines.iter().all(|line| !line.contains_key("knn_top1")), "{lines:?}");
    let stderr = xtask(root.path(), ["knn", "runs/small-001"]).refused();
    assert!(stderr.contains("labels") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn a_flat_folder_alone_says_that_there_is_nothing_to_test_on() {
    let root = tempdir().unwrap();
    write_good(&root.path().join("images/of/several/levels"), 16);
    let set = r#"data=(source: ("flat-folder", (root: "images")), batch: 8)"#;
    let outcome = xtask(root.path(), ["run", &here("small.ron"), "--set", set, "--set", "epochs=1"]).done();
    assert!(outcome.stderr.contains("monitor knn is off: there is no test split"), "{outcome}");
    assert!(!root.path().join("runs/small-001/unreadable.txt").exists());
}

#[test]
fn too_many_broken_images_end_the_run() {
    let root = tempdir().unwrap();
    let images = root.path().join("images");
    write_good(&images, 20);
    for number in 0..20 {
        std::fs::write(images.join(format!("broken-{number:02}.jpg")), "not one").unwrap();
    }
    let set = r#"data=(source: ("flat-folder", (root: "images")), batch: 8)"#;
    let stderr = xtask(root.path(), ["run", &here("small.ron"), "--set", set]).refused();
    let told = stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    // Several workers may each meet one more before the run ends.
    let n_told =
        told.strip_prefix("error: ").and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse().ok());
    assert!(n_told.is_some_and(|n: usize| (17..=20).contains(&n)), "{told}");
    assert!(told.ends_with(" of 40 images cannot be read, and at most 16 may be"), "{told}");
    assert!(stderr.contains("jpg: the file has no supported image format"), "{stderr}");
    assert!(stderr.contains("hint: check the files named above"), "{stderr}");
    assert!(stderr.contains("`data.max_unreadable`"), "{stderr}");
    assert!(unreadable(&root.path().join("runs/small-001")).len() > 16);

    let allowed = r#"data=(source: ("flat-folder", (root: "images")), batch: 8, max_unreadable: 0.5)"#;
    xtask(root.path(), ["run", &here("small.ron"), "--set", allowed]).done();
}

#[test]
fn a_folder_that_is_not_there_is_told_before_anything_else() {
    let root = tempdir().unwrap();
    let set = r#"data.source=("class-folders", (root: "nowhere"))"#;
    let stderr = xtask(root.path(), ["run", &here("small.ron"), "--set", set]).refused();
    assert!(stderr.contains("nowhere") && stderr.contains("the folder does not exist"), "{stderr}");
    assert!(stderr.contains("hint: a relative path starts at the working directory"), "{stderr}");
    assert!(!root.path().join("runs").exists());
    // For `check`, the dataset may come later.
    let outcome = xtask(root.path(), ["check", &here("small.ron"), "--set", set]).done();
    assert!(outcome.stdout.contains("note: the dataset cannot be opened here"), "{outcome}");
}

#[test]
fn fewer_images_than_a_batch_are_refused() {
    let root = tempdir().unwrap();
    write_good(&root.path().join("images"), 7);
    let set = r#"data=(source: ("flat-folder", (root: "images")), batch: 8)"#;
    let stderr = xtask(root.path(), ["run", &here("small.ron"), "--set", set]).refused();
    assert!(stderr.contains("error: there are 7 images, and a batch takes 8"), "{stderr}");
    assert!(!root.path().join("runs").exists());
}

/// What a run begins with: the line of its data.
fn data_line(outcome: &Outcome) -> String {
    outcome.stdout.lines().find(|line| line.contains("training images")).unwrap_or_default().to_owned()
}

/// Every command that lists images says what it passed over.
#[test]
fn images_that_are_passed_over_are_counted_by_every_command() {
    let root = tempdir().unwrap();
    let images = root.path().join("images");
    write_good(&images, 16);
    for (ending, n) in [("HEIC", 12), ("avif", 3), ("txt", 1)] {
        (0..n).for_each(|number| std::fs::write(images.join(format!("x{number}.{ending}")), "").unwrap());
    }
    let expected = [
        "note: images: 15 images are not read, because of the format: 12 heic, 3 avif; convert them, for instance to JPEG",
        "note: images: 1 file is passed over, since it does not end like an image: 1 txt",
    ];
    let set = r#"data=(source: ("flat-folder", (root: "images")), batch: 8)"#;
    let check = xtask(root.path(), ["check", &here("small.ron"), "--set", set]).done();
    assert!(expected.iter().all(|note| check.stdout.contains(note)), "{check}");
    let views = xtask(root.path(), ["views", &here("small.ron"), "--set", set]).done();
    let run = xtask(root.path(), ["run", &here("small.ron"), "--set", set, "--set", "epochs=1"]).done();
    let embed = xtask(root.path(), ["embed", "runs/small-001", "images", "-o", "features.csv"]).done();
    let neighbors = xtask(root.path(), ["neighbors", "runs/small-001", "images", "-o", "near.png"]).done();
    for outcome in [views, run, embed, neighbors] {
        // What is odd about the pipeline is told too, at the start of a run.
        let of_images = |line: &&str| line.starts_with("note: images:");
        let notes: Vec<&str> = outcome.stderr.lines().filter(of_images).collect();
        assert_eq!(notes, expected, "{outcome}");
    }
}

/// `views`, a run and `neighbors` write beside the images, and the images stay the same.
#[test]
fn what_the_program_writes_into_a_folder_of_images_is_no_part_of_it() {
    let root = tempdir().unwrap();
    write_good(root.path(), 8);
    let set = r#"data=(source: ("flat-folder", (root: ".")), batch: 8)"#;
    let check = || xtask(root.path(), ["check", &here("small.ron"), "--set", set]).done();
    assert!(data_line(&check()).ends_with(" 8 training images, no test images, no labels"), "{}", check());
    xtask(root.path(), ["views", &here("small.ron"), "--set", set]).done();
    let run = xtask(root.path(), ["run", &here("small.ron"), "--set", set, "--set", "epochs=1"]).done();
    assert!(data_line(&run).ends_with(" 8 training images, no test images, no labels"), "{run}");
    xtask(root.path(), ["neighbors", "runs/small-001", ".", "-o", "near.png"]).done();
    let last = check();
    assert!(data_line(&last).ends_with(" 8 training images, no test images, no labels"), "{last}");
    for note in [
        "note: .: 2 pictures are passed over, since this program drew them: near.png, views.png",
        "note: .: 1 folder of runs is no part of the data: runs",
    ] {
        assert!(last.stdout.contains(note), "{last}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_one_unreadable_image() {
    let root = tempdir().unwrap();
    let images = root.path().join("images");
    write_good(&images, 8);
    for name in ["gone.jpg", "notes.txt"] {
        std::os::unix::fs::symlink("nowhere", images.join(name)).unwrap();
    }
    let set = r#"data=(source: ("flat-folder", (root: "images")), batch: 9)"#;
    let outcome = xtask(root.path(), ["run", &here("small.ron"), "--set", set, "--set", "epochs=1"]).done();
    assert!(outcome.stderr.contains("note: images: 1 link leads nowhere: notes.txt"), "{outcome}");
    assert!(outcome.stdout.contains("1 unreadable image, listed in"), "{outcome}");
    let listed: Vec<String> =
        unreadable(&root.path().join("runs/small-001")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["gone.jpg"]);
    let embed = xtask(root.path(), ["embed", "runs/small-001", "images", "-o", "features.csv"]).done();
    assert!(embed.stderr.contains("skipped: images/gone.jpg: No such file"), "{embed}");
}

/// Values of 12 bits in files of 16 are told, and with a range a run and what is done with it read them alike.
#[test]
fn twelve_bits_in_sixteen_are_told_and_read_in_their_range() {
    let root = tempdir().unwrap();
    for number in 0..16_u32 {
        let level = |x: u32, y: u32| (x * 97 + y * 61 + number * 211) % 4096;
        let slice = ImageBuffer::from_fn(32, 32, |x, y| Luma([level(x, y) as u16]));
        let plain = ImageBuffer::from_fn(32, 32, |x, y| {
            Luma([(f64::from(level(x, y)) / 4095.0 * 255.0).round() as u8])
        });
        for (folder, image) in
            [("slices", DynamicImage::ImageLuma16(slice)), ("plain", DynamicImage::ImageLuma8(plain))]
        {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
            image.save(root.path().join(folder).join(format!("{number:02}.png"))).unwrap();
        }
    }
    let data =
        |read: &str| format!(r#"data=(source: ("flat-folder", (root: "slices", read: {read})), batch: 8)"#);
    let told = "the 16-bit images that were looked at have no value above 409";
    let small = here("small.ron");
    let check = xtask(root.path(), ["check", &small, "--set", &data("()")]).done();
    assert!(check.stdout.contains(told), "{check}");
    let views = xtask(root.path(), ["views", &small, "--set", &data("()")]).done();
    assert!(views.stderr.contains(told), "{views}");

    let with_range = data("(range: (0, 4095))");
    let run = xtask(root.path(), ["run", &small, "--set", &with_range, "--set", "epochs=1"]).done();
    assert!(!run.stderr.contains(told), "{run}");
    for folder in ["slices", "plain"] {
        xtask(root.path(), ["embed", "runs/small-001", folder, "-o", &format!("{folder}.npy")]).done();
    }
    let features = |name: &str| std::fs::read(root.path().join(name)).unwrap();
    assert!(features("slices.npy") == features("plain.npy"));
}
