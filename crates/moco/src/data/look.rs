//! A look at a folder: how many images, how large, in which colors.

use std::path::{Path, PathBuf};

use plugin_api::{
    ByteImage, DatasetConfig, DatasetContext, DatasetError, DatasetFiles, Images, Rng, Splits,
    UnreadableImage,
};
use rayon::prelude::*;

use super::DataError;
use super::colors::{channels, moments};
use super::places::{Told, dataset_at, name_of};
use crate::recipe::{HELD_OUT, Looked, Part};

/// Images whose size is looked at.
const N_LOOKED_AT: usize = 512;
/// Bytes of a file in which its size nearly always stands.
const N_HEADER_BYTES: usize = 1 << 16;
/// Pixels that are decoded to measure colors, and images.
const MOST_PIXELS: usize = 1 << 26;
const FEWEST_COLORED: usize = 16;

/// What is in the folders, archives, packs, lists or Parquet files at `paths`, for a [`Recipe`](crate::recipe::Recipe).
///
/// Of up to 512 images the header is read, and as many are decoded as 64 megapixels are: always the same ones of the same
/// images. Notes tell what was passed over.
///
/// # Errors
/// If a path does not exist, there are no images, or none can be read.
pub fn look(paths: &[PathBuf]) -> Result<(Looked, Vec<String>), DataError> {
    let told = dataset_at(paths).map_err(|error| explained(error, paths))?;
    look_at(told, name_of(paths))
}

/// `looked` as it is with the dataset `dataset` instead: the same images read in another way, or others.
///
/// # Errors
/// If its plugin refuses its config, there are no images, or none can be read.
pub fn look_again(looked: Looked, dataset: DatasetConfig) -> Result<(Looked, Vec<String>), DataError> {
    let Looked { name, why_dataset, .. } = looked;
    look_at(Told::open(dataset.name(), dataset.config().to_owned(), why_dataset)?, name)
}

fn look_at(told: Told, name: String) -> Result<(Looked, Vec<String>), DataError> {
    let Told { config, why, dataset, splits } = told;
    let images = &*splits.train;
    let chosen = spread(images.len(), N_LOOKED_AT);
    let sizes: Vec<Result<Size, UnreadableImage>> =
        chosen.par_iter().map(|&index| Size::of(images, index)).collect();
    let mut readable: Vec<Size> = sizes.iter().filter_map(|size| size.as_ref().ok().copied()).collect();
    if let (true, Some(Err(image))) = (readable.is_empty(), sizes.first()) {
        return Err(DataError::NoneReadable { n_looked_at: chosen.len(), image: image.clone() });
    }
    readable.sort_unstable_by_key(|size| size.shorter);
    let median = readable[readable.len() / 2];
    let n_colored = (MOST_PIXELS / median.n_pixels.max(1)).clamp(FEWEST_COLORED, N_LOOKED_AT);
    let every = chosen.len().div_ceil(n_colored);
    let sample: Vec<usize> = chosen.iter().copied().step_by(every).collect();
    let colors: Vec<Colors> = sample.par_iter().filter_map(|&index| Colors::of(images, index)).collect();
    let n_channels = dataset.channels();
    let held_out = if splits.test.is_none() { n_held_out(&config)? } else { 0 };
    let looked = Looked {
        name,
        why_dataset: why,
        n_images: images.len(),
        n_test: splits.test.as_ref().map_or(0, |test| test.len()),
        n_held_out: held_out,
        n_classes: images.class_names().len(),
        shorter_sides: [readable[0].shorter, median.shorter, readable[readable.len() - 1].shorter],
        n_looked_at: readable.len(),
        channels: n_channels,
        is_gray: n_channels == 3
            && !colors.is_empty()
            && (readable.iter().all(|size| size.is_gray) || colors.iter().all(|colors| colors.are_gray)),
        n_colored: colors.len(),
        colors: channels(colors.iter().map(|colors| &*colors.moments), n_channels),
        dataset: config,
    };
    Ok((looked, notes_of(splits)))
}

/// What a listing left out, and what a look at a few images of both splits found.
fn notes_of(splits: Splits) -> Vec<String> {
    let mut notes = splits.notes;
    for images in [Some(splits.train), splits.test].into_iter().flatten() {
        let new: Vec<String> = images.notes().into_iter().filter(|note| !notes.contains(note)).collect();
        notes.extend(new);
    }
    notes
}

/// How many images `split` would hold out.
fn n_held_out(dataset: &DatasetConfig) -> Result<usize, DataError> {
    // Of very few images none may be left to train on.
    let splits = dealt(dataset, &format!("test: {HELD_OUT:?}"))?;
    Ok(splits.map_or(0, |splits| splits.test.map_or(0, |test| test.len())))
}

/// What `split` with these fields makes of the dataset.
fn dealt(dataset: &DatasetConfig, fields: &str) -> Result<Result<Splits, DatasetError>, DataError> {
    let config = format!("(of: ({:?}, {}), {fields})", dataset.name(), dataset.config());
    let split = DatasetConfig::new("split", config).build(&DatasetContext::default())?;
    Ok(split.open())
}

impl Looked {
    /// The part of the images that is trained on if that is the share `share` of all of them, and some are held out. Names are
    /// read, but no image.
    ///
    /// # Errors
    /// If the images are not there any more, or none is in the part.
    pub fn part(&self, share: f64) -> Result<Part, DataError> {
        let test = self.held_out().value.unwrap_or(0.0);
        let splits = dealt(&self.dataset, &format!("test: {test:?}, train: {share:?}"))??;
        Ok(Part { share, n_images: splits.train.len() })
    }
}

/// `error`, which says what `paths` are not, with what they are.
fn explained(error: DataError, paths: &[PathBuf]) -> DataError {
    let DataError::Dataset(DatasetError { path, reason, hint }) = error else { return error };
    let told = |path: &Path, reason: &str, hint: String| {
        DataError::Dataset(DatasetError { path: path.to_owned(), reason: reason.into(), hint })
    };
    if let Some(image) = paths.iter().find(|path| is_image(path)) {
        let reason =
            "this is an image, and a folder of images, an archive, a pack or a list of images is wanted";
        return told(image, reason, "give the folder that it is in".into());
    }
    let is_list = |path: &&PathBuf| DatasetFiles::of(path).is_some_and(|files| !files.takes_several);
    if let (Some(file), Some(folder)) =
        (paths.iter().find(is_list).filter(|_| path.is_file()), paths.iter().find(|path| path.is_dir()))
        && paths.contains(&path)
    {
        let what = DatasetFiles::of(file).map_or("a list", |files| files.what);
        let reason =
            format!("this is {what}, which is not taken together with a folder: {}", folder.display());
        return told(file, &reason, "give one of them, or put the images of both into one list".into());
    }
    if paths.contains(&path) && ["this is no archive", "this is a file, not a folder"].contains(&&*reason) {
        let reason = "this is no folder, no archive, no pack and no list of images";
        return told(&path, reason, format!("files are told by their endings: {}", DatasetFiles::told()));
    }
    told(&path, &reason, hint)
}

/// Whether there is an image file at `path`.
fn is_image(path: &Path) -> bool {
    if !path.is_file() || DatasetFiles::of(path).is_some() {
        return false;
    }
    let beginning = regular_files::beginning(path, N_HEADER_BYTES);
    beginning.is_ok_and(|bytes: Vec<u8>| datasets::format_name(&bytes).is_some())
}

/// At most `most` of `n` places: one of each of as many equal parts, drawn by its number.
fn spread(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let start = |part: usize| part * n / most;
    (0..most)
        .map(|part| {
            let len = start(part + 1) - start(part);
            start(part) + Rng::new(0, "a look at images", &[part as u64]).below(len)
        })
        .collect()
}

/// The size of one image.
#[derive(Clone, Copy)]
struct Size {
    shorter: usize,
    n_pixels: usize,
    is_gray: bool,
}

impl Size {
    /// From the header, if there is a file with one; or else from the decoded image.
    fn of(images: &dyn Images, index: usize) -> Result<Self, UnreadableImage> {
        let size = |width: usize, height: usize, is_gray: bool| Self {
            shorter: width.min(height),
            n_pixels: width * height,
            is_gray,
        };
        let beginning = images.beginning(index, N_HEADER_BYTES)?;
        let mut header = beginning.as_deref().and_then(datasets::image_header);
        if header.is_none() && beginning.is_some_and(|bytes| bytes.len() >= N_HEADER_BYTES) {
            header = images.encoded(index)?.as_deref().and_then(datasets::image_header);
        }
        if let Some(header) = header {
            return Ok(size(header.width, header.height, header.is_gray));
        }
        let image = images.load(index)?;
        Ok(size(image.width, image.height, are_gray(&image)))
    }
}

/// The colors of one image.
struct Colors {
    moments: Vec<(f64, f64)>,
    are_gray: bool,
}

impl Colors {
    fn of(images: &dyn Images, index: usize) -> Option<Self> {
        let image = images.load(index).ok()?;
        Some(Self { moments: moments(&image), are_gray: are_gray(&image) })
    }
}

/// Whether red, green and blue are the same everywhere.
fn are_gray(image: &ByteImage) -> bool {
    image.channels == 3 && image.values.as_chunks::<3>().0.iter().all(|[r, g, b]| r == g && g == b)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    fn save(path: &Path, width: u32, height: u32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 200])).save(path).unwrap();
    }

    fn looked(root: &Path, names: &[&str]) -> Looked {
        look(&names.iter().map(|name| root.join(name)).collect::<Vec<_>>()).unwrap().0
    }

    #[test]
    fn the_dataset_is_told_from_the_folders() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for i in 0..10 {
            save(&root.join(format!("flat/{i}.png")), 10, 8);
            save(&root.join(format!("dated/2026/{i}.png")), 10, 8);
            save(&root.join(format!("many/{i}/a.png")), 10, 8);
            save(&root.join(format!("classes/{}/{i}.png", ["ant", "bee"][i % 2])), 10, 8);
            for split in ["train", "test"] {
                save(&root.join(format!("split/{split}/{}/{i}.png", ["ant", "bee"][i % 2])), 10, 8);
                save(&root.join(format!("plain/{split}/{i}.png")), 10, 8);
            }
        }
        for (name, plugin, n_classes, n_test) in [
            ("flat", "flat-folder", 0, 0),
            ("dated", "flat-folder", 0, 0),
            ("many", "flat-folder", 0, 0),
            ("classes", "class-folders", 2, 0),
            ("split", "class-folders", 2, 10),
            ("split/train", "class-folders", 2, 0),
            ("plain", "flat-folder", 0, 10),
        ] {
            let found = looked(root, &[name]);
            assert_eq!(
                (found.dataset.name(), found.n_classes, found.n_test),
                (plugin, n_classes, n_test),
                "{name}"
            );
            assert_eq!((found.n_images, found.channels, found.is_gray), (10, 3, false), "{name}");
        }
        let both = looked(root, &["flat", "dated"]);
        assert_eq!((both.n_images, both.name.as_str()), (20, "images"));
        assert_eq!(looked(root, &["split/train"]).name, "split");
    }

    #[test]
    fn a_list_and_archives_are_taken_too() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for i in 0..6 {
            save(&root.join(format!("photos/{i}.png")), 30 + i, 50);
        }
        std::fs::write(root.join("list.txt"), "photos/0.png\nphotos/1.png\n").unwrap();
        let mut tar = tar::Builder::new(std::fs::File::create(root.join("photos.tar")).unwrap());
        tar.append_dir_all("photos", root.join("photos")).unwrap();
        tar.into_inner().unwrap();
        let list = looked(root, &["list.txt"]);
        assert_eq!((list.dataset.name(), list.n_images, list.shorter_sides), ("list-file", 2, [30, 31, 31]));
        let archive = looked(root, &["photos.tar"]);
        assert_eq!((archive.dataset.name(), archive.n_images), ("archive", 6));
        assert_eq!((archive.shorter_sides, archive.name.as_str()), ([30, 33, 35], "photos"));
    }

    #[test]
    fn colors_are_those_of_the_images() {
        let root = tempfile::tempdir().unwrap();
        for (i, value) in [51, 204].into_iter().enumerate() {
            let gray = GrayImage::from_pixel(6, 5, Luma([value]));
            gray.save(root.path().join(format!("{i}.png"))).unwrap();
        }
        let found = looked(root.path(), &["."]);
        assert!(found.is_gray && found.channels == 3 && found.n_colored == 2);
        for channel in &found.colors {
            assert!((channel.mean - 0.5).abs() < 1e-9 && (channel.std - 0.3).abs() < 1e-9, "{channel:?}");
        }
        save(&root.path().join("color.png"), 9, 9);
        assert!(!looked(root.path(), &["."]).is_gray);
    }

    #[test]
    fn what_is_no_folder_of_images_is_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let refused = |name: &str| look(&[root.join(name)]).unwrap_err();
        assert!(refused("nowhere").to_string().ends_with("does not exist"));
        std::fs::create_dir(root.join("empty")).unwrap();
        let error = refused("empty");
        assert!(error.to_string().contains("there are no images in this folder"), "{error}");
        std::fs::create_dir(root.join("texts")).unwrap();
        std::fs::write(root.join("texts/a.doc"), "a").unwrap();
        let hint = refused("texts").hint().unwrap();
        assert!(hint.contains("1 doc"), "{hint}");
        std::fs::create_dir(root.join("broken")).unwrap();
        std::fs::write(root.join("broken/a.jpg"), "no image").unwrap();
        let error = refused("broken").to_string();
        assert!(error.starts_with("none of 1 images") && error.contains("a.jpg"), "{error}");
    }

    #[test]
    fn a_file_that_is_none_of_those_that_are_taken_is_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        save(&root.join("photos/a.png"), 9, 9);
        std::fs::copy(root.join("photos/a.png"), root.join("photo")).unwrap();
        std::fs::write(root.join("notes.doc"), "some text").unwrap();
        let refused = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
            look(&paths).unwrap_err().to_string()
        };
        for (names, path) in [
            (&["photos/a.png"][..], "photos/a.png"),
            (&["photo"], "photo"),
            (&["photos/a.png", "photo"], "photos/a.png"),
            (&["photos", "photo"], "photo"),
        ] {
            let told = format!("{}: this is an image, and a folder", root.join(path).display());
            assert!(refused(names).starts_with(&told), "{}", refused(names));
        }
        for names in [&["notes.doc"][..], &["photos", "notes.doc"]] {
            assert!(
                refused(names).contains("notes.doc: this is no folder, no archive"),
                "{}",
                refused(names)
            );
        }
    }

    #[test]
    fn files_of_two_kinds_and_too_many_files_are_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for name in ["a.zip", "b.pack", "c.txt", "d.CSV"] {
            std::fs::write(root.join(name), "x").unwrap();
        }
        let refused = |names: [&str; 2]| {
            let paths = names.map(|name| root.join(name));
            look(&paths).unwrap_err().to_string().replace(&format!("{}/", root.display()), "")
        };
        assert_eq!(refused(["a.zip", "b.pack"]), "b.pack: this is a pack, and a.zip is an archive");
        let second = "d.CSV: this is the second file, and only one file is taken that is a list of images";
        assert_eq!(refused(["c.txt", "d.CSV"]), second);
    }

    #[test]
    fn test_images_beside_class_folders_are_measured_on() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for i in 0..10 {
            for class in ["ant", "bee"] {
                save(&root.join(format!("dot/{class}/{i}.png")), 10, 8);
                save(&root.join(format!("dot/Val/{class}/{i}.png")), 10, 8);
                save(&root.join(format!("plain/{class}/{i}.png")), 10, 8);
            }
            save(&root.join(format!("plain/test/{i}.png")), 10, 8);
            save(&root.join(format!("loose/{i}.png")), 10, 8);
            save(&root.join(format!("loose/valid/{i}.png")), 10, 8);
            save(&root.join(format!("kaggle/train/{}/{i}.png", ["ant", "bee"][i % 2])), 10, 8);
            save(&root.join(format!("kaggle/test/{i}.png")), 10, 8);
            save(&root.join(format!("only/test/{i}.png")), 10, 8);
        }
        for (name, n, n_test, n_classes, why) in [
            ("dot", 20, 20, 2, "each of its 2 folders beside `Val` is a class; `Val` is measured on"),
            ("plain", 20, 0, 2, "each of its 2 folders beside `test` is a class; `test` has no classes"),
            ("loose", 10, 10, 0, "all images below it but those in `valid`, which are measured on"),
            ("kaggle", 10, 0, 2, "in `train`, each folder is a class"),
            ("only", 10, 0, 0, "all images below it"),
        ] {
            let found = looked(root, &[name]);
            assert_eq!((found.n_images, found.n_test, found.n_classes), (n, n_test, n_classes), "{name}");
            assert_eq!(found.why_dataset, why);
        }
        let source = |name: &str| super::super::DataSource::open(&[root.join(name)]).unwrap().splits;
        let dot = source("dot");
        assert_eq!((dot.train.len(), dot.test.unwrap().len()), (20, 20));
        assert_eq!(dot.train.class_names(), ["ant", "bee"]);
        assert_eq!(source("kaggle").train.len(), 10);
    }

    #[test]
    fn paths_that_do_not_go_together_are_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        save(&root.join("photos/deep/a.png"), 9, 9);
        std::fs::write(root.join("list.txt"), "photos/deep/a.png\n").unwrap();
        let refused = |names: [&str; 2]| {
            let error = look(&names.map(|name| root.join(name))).unwrap_err();
            error.to_string().replace(&format!("{}/", root.display()), "")
        };
        let list = "list.txt: this is a list of images, which is not taken together with a folder: photos";
        assert_eq!(refused(["list.txt", "photos"]), list);
        assert_eq!(refused(["photos", "list.txt"]), list);
        assert_eq!(refused(["photos", "photos"]), "photos: it is given twice");
        let inside = "photos/deep: its images are in photos, which is given, too";
        assert_eq!(refused(["photos/deep", "photos"]), inside);
    }

    #[test]
    fn colors_are_measured_again_where_images_are_read_in_another_way() {
        let root = tempfile::tempdir().unwrap();
        let word = image::ImageBuffer::from_pixel(6, 5, Luma([2048_u16]));
        word.save(root.path().join("a.png")).unwrap();
        let found = looked(root.path(), &["."]);
        assert!((found.colors[0].mean - 8.0 / 255.0).abs() < 1e-9, "{:?}", found.colors);
        let config = found.dataset.config().replacen('(', "(read: (range: (0, 4096)), ", 1);
        let dataset = DatasetConfig::new(found.dataset.name(), config);
        let (found, notes) = look_again(found, dataset).unwrap();
        assert!(
            (found.colors[0].mean - 0.5).abs() < 0.01 && notes.is_empty(),
            "{:?} {notes:?}",
            found.colors
        );
    }

    #[test]
    fn a_look_tells_of_images_that_cannot_be_read() {
        let root = tempfile::tempdir().unwrap();
        save(&root.path().join("a.png"), 9, 9);
        std::fs::write(root.path().join("b.png"), "no image").unwrap();
        let (_, notes) = look(&[root.path().to_owned()]).unwrap();
        assert!(notes[0].starts_with("1 of 2 images looked at cannot be read: "), "{notes:?}");
    }

    #[test]
    fn a_folder_of_archives_is_taken_and_a_bad_one_is_told() {
        let root = tempfile::tempdir().unwrap();
        for i in 0..6 {
            save(&root.path().join(format!("photos/{i}.png")), 30, 50);
        }
        let shards = root.path().join("shards");
        std::fs::create_dir(&shards).unwrap();
        for shard in ["0", "1"] {
            let mut tar =
                tar::Builder::new(std::fs::File::create(shards.join(format!("{shard}.tar"))).unwrap());
            tar.append_dir_all("photos", root.path().join("photos")).unwrap();
            tar.into_inner().unwrap();
        }
        let found = looked(root.path(), &["shards"]);
        assert_eq!((found.dataset.name(), found.n_images), ("archive", 12));
        assert_eq!(super::super::DataSource::open(std::slice::from_ref(&shards)).unwrap().n_images(), 12);
        std::fs::write(shards.join("2.tar"), b"\x1f\x8b packed").unwrap();
        let (found, notes) = look(&[shards]).unwrap();
        assert_eq!(found.n_images, 12);
        assert!(notes[0].contains("2.tar: this is compressed as a whole (gzip)"), "{notes:?}");
    }

    #[test]
    fn parquet_files_are_told_by_what_they_begin_with() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/tests/parquet/hub.parquet");
        let root = tempfile::tempdir().unwrap();
        let paths = ["train-0.parquet", "train-1"].map(|name| root.path().join(name));
        for path in &paths {
            std::fs::copy(&file, path).unwrap();
        }
        for paths in [&paths[..1], &paths] {
            #[cfg(feature = "parquet")]
            {
                let (found, _) = look(paths).unwrap();
                assert_eq!((found.dataset.name(), found.n_images), ("parquet", 10 * paths.len()));
                assert_eq!((found.n_classes, found.shorter_sides), (3, [3, 3, 3]));
            }
            #[cfg(not(feature = "parquet"))]
            {
                let error = look(paths).unwrap_err().to_string();
                assert!(error.contains("Parquet files need a build with the feature `parquet`"), "{error}");
            }
        }
    }

    #[test]
    fn a_single_class_is_told_as_one() {
        let root = tempfile::tempdir().unwrap();
        for i in 0..10 {
            for split in ["train", "val"] {
                save(&root.path().join(format!("{split}/ant/{i}.png")), 10, 8);
            }
        }
        let found = looked(root.path(), &["."]);
        assert_eq!((found.n_classes, found.n_test), (1, 10));
        assert_eq!(found.why_dataset, "`train` has one class, `ant`");
    }

    #[test]
    fn a_part_has_the_images_that_split_draws() {
        let root = tempfile::tempdir().unwrap();
        (0..400).for_each(|i| save(&root.path().join(format!("{i}.png")), 9, 8));
        let found = looked(root.path(), &["."]);
        let part = found.part(0.25).unwrap();
        let config = DatasetConfig::new(
            "split",
            format!(
                "(of: ({:?}, {}), test: 0.05, train: 0.25)",
                found.dataset.name(),
                found.dataset.config()
            ),
        );
        let splits = config.build(&DatasetContext::default()).unwrap().open().unwrap();
        assert_eq!((part.share, part.n_images), (0.25, splits.train.len()));
        assert!((60..140).contains(&part.n_images), "{}", part.n_images);
    }

    #[test]
    fn looks_are_spread_over_all_images_and_are_the_same_each_time() {
        assert_eq!(spread(3, 512), [0, 1, 2]);
        let places = spread(100_000, 512);
        assert_eq!(places, spread(100_000, 512));
        assert!(places.is_sorted() && places.len() == 512);
        let part = |part: usize| part * 100_000 / 512..(part + 1) * 100_000 / 512;
        assert!(places.iter().enumerate().all(|(number, place)| part(number).contains(place)));
        assert!(places.windows(2).any(|pair| pair[1] - pair[0] != 195));
    }
}
