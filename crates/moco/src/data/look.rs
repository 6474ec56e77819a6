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
        name: name_of(paths),
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
    Ok((looked, splits.notes))
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
    if paths.contains(&path) && ["this is no archive", "this is a file, not a folder"].contains(&&*reason) {
        let reason = "this is no folder, no archive, no pack and no list of images";
        return told(&path, reason, format!("files are told by their endings: {}", DatasetFiles::told()));
    }
    let mut files = Vec::new();
    if reason.starts_with("there are no images") && path.is_dir() {
        parquet_files(&path, DEEPEST, &mut files);
    }
    match pattern_of(&files) {
        Some(pattern) => {
            let n = match files.len() {
                1 => "it has a Parquet file: name it".to_owned(),
                n => format!("it has {n} Parquet files: name those to train on"),
            };
            told(&path, &reason, format!("{n}, for instance `{}`", pattern.display()))
        }
        None => told(&path, &reason, hint),
    }
}

/// Whether there is an image file at `path`.
fn is_image(path: &Path) -> bool {
    if !path.is_file() || DatasetFiles::of(path).is_some() {
        return false;
    }
    let beginning = regular_files::beginning(path, N_HEADER_BYTES);
    beginning.is_ok_and(|bytes: Vec<u8>| datasets::format_name(&bytes).is_some())
}

/// Folders inside of one another in which Parquet files are looked for.
const DEEPEST: usize = 4;

/// The Parquet files below `folder`, sorted folder by folder.
fn parquet_files(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| path.is_dir());
    let is_parquet =
        |path: &PathBuf| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    found.extend(files.into_iter().filter(is_parquet));
    if depth > 1 {
        folders.iter().for_each(|folder| parquet_files(folder, depth - 1, found));
    }
}

/// The training files among `files` as a shell takes them: `data/train-*.parquet` as the Hugging Face Hub names them.
fn pattern_of(files: &[PathBuf]) -> Option<PathBuf> {
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let first = files.iter().find(|path| name(path).starts_with("train")).or(files.first())?;
    if files.len() == 1 {
        return Some(first.clone());
    }
    Some(match name(first).split_once('-') {
        Some((split, _)) => first.with_file_name(format!("{split}-*.parquet")),
        None => first.with_file_name("*.parquet"),
    })
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
    fn a_folder_of_parquet_files_is_told_with_their_names() {
        let root = tempfile::tempdir().unwrap();
        let hint = |names: &[&str]| {
            let folder = tempfile::tempdir_in(root.path()).unwrap();
            for name in names {
                std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
                std::fs::write(folder.path().join(name), "PAR1").unwrap();
            }
            let error = look(&[folder.path().to_owned()]).unwrap_err();
            assert!(error.to_string().contains("there are no images in this folder"), "{error}");
            error.hint().unwrap().replace(&format!("{}/", folder.path().display()), "")
        };
        assert_eq!(hint(&["all.parquet"]), "it has a Parquet file: name it, for instance `all.parquet`");
        let names = ["data/test-00000-of-00001.parquet", "data/train-00000-of-00002.parquet"];
        assert_eq!(
            hint(&names),
            "it has 2 Parquet files: name those to train on, for instance `data/train-*.parquet`"
        );
        assert!(hint(&["0000.parquet", "0001.parquet"]).ends_with("`*.parquet`"));
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
