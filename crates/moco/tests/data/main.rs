//! Datasets that are scanned and packed, as a program does it.

mod batches;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use moco::data::{DataError, DataSource, Found, PackOptions, Packing, Scanned, pack, scan};
// Without this line, no plugin would be linked in.
use plugins as _;

/// A picture of noise that `seed` draws, so that no two look alike.
fn noise(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = plugin_api::Rng::new(seed, "noise", &[]);
    let coarse = RgbImage::from_fn(8, 8, |_, _| Rgb(std::array::from_fn(|_| rng.bits() as u8)));
    RgbImage::from_fn(width, height, |x, y| *coarse.get_pixel(x * 8 / width, y * 8 / height))
}

fn save(path: PathBuf, image: &RgbImage) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

/// Two classes: eight images to train, of which some are repeated, and three to test.
fn dataset(root: &Path) {
    for i in 0..4 {
        save(root.join(format!("train/cat/{i}.png")), &noise(i, 48, 40));
        save(root.join(format!("train/dog/{i}.png")), &noise(10 + i, 40, 64));
    }
    fs::copy(root.join("train/cat/0.png"), root.join("train/dog/copy of 0.png")).unwrap();
    save(root.join("train/cat/3 smaller.bmp"), &noise(3, 24, 20));
    save(root.join("test/cat/0.jpg"), &noise(1, 96, 80));
    save(root.join("test/dog/1.png"), &noise(21, 40, 64));
    fs::write(root.join("test/dog/broken.png"), "no image").unwrap();
}

fn open(paths: &[PathBuf]) -> DataSource {
    DataSource::open(paths).unwrap()
}

fn found(source: &DataSource) -> Found {
    match scan(source, &mut |_| ControlFlow::Continue(())) {
        Scanned::All(found) => *found,
        Scanned::Stopped => panic!("nobody stopped it"),
    }
}

fn pack_all(source: &DataSource, path: &Path, options: &PackOptions) -> Packing {
    pack(source, path, options, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_scan_finds_what_is_odd() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path());
    let source = open(&[folder.path().into()]);
    let found = found(&source);
    let names = |group: &[usize]| -> Vec<String> {
        let root = format!("{}/", folder.path().display());
        group.iter().map(|&image| source.name(image).replace(&root, "")).collect()
    };
    assert_eq!(found.n_images, (10, 3));
    let formats: Vec<(&str, usize)> = found.formats.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(formats, [("BMP", 1), ("JPEG", 1), ("PNG", 10), ("unknown", 1)]);
    assert_eq!(found.unreadable.len(), 1);
    assert!(found.unreadable[0].1.name.ends_with("broken.png"));
    assert_eq!(found.identical.len(), 1);
    assert_eq!(names(&found.identical[0]), ["train/cat/0.png", "train/dog/copy of 0.png"]);
    let alike: Vec<Vec<String>> = found.alike.iter().map(|group| names(group)).collect();
    assert_eq!(
        alike,
        [["train/cat/1.png", "test/cat/0.jpg"], ["train/cat/3 smaller.bmp", "train/cat/3.png"]]
    );
    assert_eq!((found.n_mixed_classes, found.n_test_in_train), (1, 1));
    assert_eq!((found.sizes.shorter, found.sizes.longer), ([20, 40, 80], [24, 64, 96]));
    assert_eq!(found.kept().len(), 11);
}

#[test]
fn the_colors_are_those_of_all_images_alike() {
    let folder = tempfile::tempdir().unwrap();
    for (name, side, value) in [("a", 3, 0), ("b", 30, 51), ("c", 7, 102)] {
        save(
            folder.path().join(name).with_extension("png"),
            &RgbImage::from_pixel(side, side, Rgb([value, 255, 0])),
        );
    }
    let channels = found(&open(&[folder.path().into()])).channels;
    let [red, green, blue] = channels[..] else { panic!("three channels") };
    assert!((red.mean - 0.2).abs() < 1e-12);
    assert!((red.std - (0.08_f64 / 3.0).sqrt()).abs() < 1e-12);
    assert!((green.mean - 1.0).abs() < 1e-12 && green.std < 1e-6);
    assert_eq!((blue.mean, blue.std), (0.0, 0.0));
}

#[test]
fn a_pack_keeps_how_its_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    dataset(&root);
    let config = format!("(root: {root:?}, read: (bands: [1]))");
    let built = plugin_api::build::<dyn plugin_api::Dataset>(
        "class-folders",
        plugin_api::Config::new(&config),
        &plugin_api::DatasetContext::default(),
    );
    let source = DataSource::of_dataset(&*built.unwrap()).unwrap();
    for shorter in [None, Some(16)] {
        let path = folder.path().join(format!("{}.pack", shorter.unwrap_or(0)));
        pack_all(&source, &path, &PackOptions { shorter, ..PackOptions::default() });
        let packed = open(&[path]);
        assert_eq!((packed.channels, packed.read.is_some()), (1, shorter.is_none()));
        let image = packed.splits.train.load(0).unwrap();
        assert_eq!(image.channels, 1);
        if shorter.is_none() {
            assert_eq!(image, source.splits.train.load(0).unwrap());
        }
    }
}

#[test]
fn a_pack_of_files_gives_the_same_images_in_any_number_of_shards() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    dataset(&root);
    let source = open(&[root]);
    for n_shards in [1, 3] {
        let path = folder.path().join(format!("in {n_shards}.pack"));
        let options = PackOptions { n_shards, ..PackOptions::default() };
        let Packing::Done { files, n_images, left_out, .. } = pack_all(&source, &path, &options) else {
            panic!("nobody stopped it")
        };
        assert_eq!((files.len(), n_images), (n_shards, (10, 2)));
        assert!(left_out.len() == 1 && left_out[0].name.ends_with("broken.png"), "{left_out:?}");
        let list: Vec<String> = files.iter().map(|file| format!("{file:?}")).collect();
        let config = format!("(path: [{}])", list.join(", "));
        let dataset = plugin_api::build::<dyn plugin_api::Dataset>(
            "pack",
            plugin_api::Config::new(&config),
            &plugin_api::DatasetContext::default(),
        );
        let packed = DataSource::of_dataset(&*dataset.unwrap()).unwrap();
        // The last one of the source is left out.
        assert_eq!(packed.n_images(), source.n_images() - 1);
        for image in 0..packed.n_images() {
            let ((split, ours, i), (other_split, theirs, j)) = (source.image(image), packed.image(image));
            assert_eq!((split, ours.name(i), ours.label(i)), (other_split, theirs.name(j), theirs.label(j)));
            assert_eq!(ours.load(i), theirs.load(j));
            assert_eq!(ours.encoded(i), theirs.encoded(j));
        }
    }
}

#[test]
fn pixels_are_reduced_and_never_enlarged() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    dataset(&root);
    let path = folder.path().join("small.pack");
    let options = PackOptions { shorter: Some(32), ..PackOptions::default() };
    let Packing::Done { n_images, left_out, .. } = pack_all(&open(&[root]), &path, &options) else {
        panic!("nobody stopped it")
    };
    assert_eq!((n_images, left_out.len()), ((10, 2), 1));
    let packed = open(&[path]);
    let sizes: Vec<(usize, usize)> = (0..packed.n_images())
        .map(|image| {
            let (_, images, i) = packed.image(image);
            let image = images.load(i).unwrap();
            (image.width, image.height)
        })
        .collect();
    assert_eq!(sizes[..3], [(38, 32), (38, 32), (38, 32)]);
    assert!(sizes.contains(&(24, 20)) && sizes.contains(&(32, 51)));
}

#[test]
fn a_stop_or_too_many_unreadable_images_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    dataset(&root);
    let path = folder.path().join("a.pack");
    let stopped = pack(&open(std::slice::from_ref(&root)), &path, &PackOptions::default(), &mut |_| {
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Ok(Packing::Stopped)));
    for i in 0..20 {
        fs::write(root.join(format!("train/cat/broken {i}.png")), "no image").unwrap();
    }
    let options = PackOptions { shorter: Some(32), n_shards: 2, ..PackOptions::default() };
    let error = pack(&open(&[root]), &path, &options, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, DataError::Loader(_)) && error.hint().is_some(), "{error}");
    let left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left, ["photos"]);
}

#[test]
fn each_shard_needs_a_training_image() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("photos");
    dataset(&root);
    for n_shards in [0, 11, 100_000] {
        let options = PackOptions { n_shards, ..PackOptions::default() };
        let path = folder.path().join("a.pack");
        let error =
            pack(&open(std::slice::from_ref(&root)), &path, &options, &mut |_| ControlFlow::Continue(()));
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`n_shards` is {n_shards}, but it must be from 1 to 10")),
            "{error}"
        );
    }
}
