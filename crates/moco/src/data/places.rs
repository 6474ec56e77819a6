//! Which dataset the images of some folders are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::{FolderOfFiles, SplitFolders, dataset_of_folder, is_parquet_file, nested};
use plugin_api::{Dataset, DatasetConfig, DatasetContext, DatasetError, DatasetFiles, Images, Splits};

use super::DataError;
use super::source::{has_class_folders, quoted};

/// A dataset that was told from its folders.
pub(super) struct Told {
    /// As a pipeline has it.
    pub(super) config: DatasetConfig,
    /// How it was told, in a few words.
    pub(super) why: String,
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) splits: Splits,
}

/// Folders with fewer images each, on average, are no classes.
const FEWEST_IN_A_CLASS: usize = 5;

impl Told {
    pub(super) fn open(plugin: &str, config: String, why: impl Into<String>) -> Result<Self, DataError> {
        let config = DatasetConfig::new(plugin, config);
        let dataset = config.build(&DatasetContext::default())?;
        let splits = dataset.open()?;
        Ok(Self { config, why: why.into(), dataset, splits })
    }
}

/// The dataset at `paths`: class folders, other folders, archives, a pack, a list or Parquet files. No image is read.
///
/// # Errors
/// If a path does not exist, or there are no images.
pub(super) fn dataset_at(paths: &[PathBuf]) -> Result<Told, DataError> {
    if let Some(path) = paths.iter().find(|path| !path.exists()) {
        return Err(DataError::Missing { path: path.clone() });
    }
    check_apart(paths)?;
    let all = written(paths);
    if paths.iter().all(|path| is_parquet_file(path)) {
        return Told::open("parquet", format!("(path: {all})"), "the rows of Parquet files");
    }
    if !paths.iter().all(|path| path.is_file()) {
        return folders(paths, &all);
    }
    match of_one_kind(paths)? {
        // Class folders may be in an archive.
        Some(files) if files.dataset != "archive" => {
            let config = files.config(paths);
            Told::open(config.name(), config.config().to_owned(), files.what)
        }
        _ => archives(&all),
    }
}

/// # Errors
/// If a path is given twice, or is in another one.
fn check_apart(paths: &[PathBuf]) -> Result<(), DataError> {
    let places: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    match nested(&places) {
        None => Ok(()),
        Some((outer, inner)) => {
            let reason = match outer == inner {
                true => "it is given twice".into(),
                false => format!("its images are in {}, which is given, too", outer.display()),
            };
            let hint = "give only one of both".into();
            Err(DataError::Dataset(DatasetError { path: inner.to_owned(), reason, hint }))
        }
    }
}

/// What the files at `paths` are by the endings of their names; `None` if they have none that is known.
///
/// # Errors
/// If some are of one dataset and some of another, or there are several where one is taken.
fn of_one_kind(paths: &[PathBuf]) -> Result<Option<&'static DatasetFiles>, DataError> {
    let found: Vec<_> = paths.iter().filter_map(|path| Some((path, DatasetFiles::of(path)?))).collect();
    let Some(&(first, files)) = found.first() else { return Ok(None) };
    let fault = |path: &Path, reason: String, hint: &str| {
        Err(DataError::Dataset(DatasetError { path: path.to_owned(), reason, hint: hint.into() }))
    };
    if let Some((path, other)) = found.iter().find(|(_, other)| other.dataset != files.dataset) {
        let reason = format!("this is {}, and {} is {}", other.what, first.display(), files.what);
        return fault(path, reason, "give files of one kind, or folders");
    }
    match paths {
        [_, second, ..] if !files.takes_several => {
            let reason =
                format!("this is the second file, and only one file is taken that is {}", files.what);
            fault(second, reason, "put what they have into one")
        }
        _ => Ok(Some(files)),
    }
}

/// As RON writes one path, or several.
fn written(paths: &[PathBuf]) -> String {
    match paths {
        [path] => quoted(path),
        paths => format!("[{}]", paths.iter().map(|path| quoted(path)).collect::<Vec<_>>().join(", ")),
    }
}

fn archives(all: &str) -> Result<Told, DataError> {
    let split =
        Told::open("class-folders", format!("(root: {all})"), "class folders to train and to test on");
    let beside_test = || {
        let why = "class folders to train on, and a folder to test on beside them";
        Told::open("class-folders", format!("(root: {all}, train: \".\")"), why)
    };
    match split {
        Ok(told) if told.splits.test.is_some() => Ok(told),
        Err(_) => match beside_test() {
            Ok(told) if told.splits.test.is_some() => Ok(told),
            _ => Told::open("archive", format!("(path: {all})"), "images in archives"),
        },
        Ok(_) => Told::open("archive", format!("(path: {all})"), "images in archives"),
    }
}

fn folders(paths: &[PathBuf], all: &str) -> Result<Told, DataError> {
    let splits: Vec<SplitFolders> = paths.iter().map(|path| SplitFolders::of(path)).collect();
    if splits.iter().all(|splits| splits.train.as_deref().is_some_and(has_class_folders)) {
        let why = "in `train`, each folder is a class";
        let told = Told::open("class-folders", format!("(root: {all})"), why)?;
        return Ok(match told.splits.train.class_names() {
            [class] => Told { why: format!("`train` has one class, `{class}`"), ..told },
            _ => told,
        });
    }
    if let [SplitFolders { train: Some(train), test: Some(test) }] = &*splits {
        let why = format!("`train` to train on and `{}` to measure on, without classes", name(test));
        let config = format!("(root: {}, test: {})", quoted(train), quoted(test));
        return Told::open("flat-folder", config, why);
    }
    if let [path] = paths
        && let Some(FolderOfFiles { config, left_out }) = dataset_of_folder(path)
    {
        let mut why = format!("the files of the dataset `{}` in this folder", config.name());
        left_out.iter().for_each(|left_out| why.extend(["; ", left_out]));
        return Told::open(config.name(), config.config().to_owned(), why);
    }
    let flat = Told::open("flat-folder", format!("(root: {all})"), "all images below it")?;
    let has_train = splits.iter().any(|splits| splits.train.is_some());
    if let ([SplitFolders { train: None, test: Some(test) }], [path]) = (&*splits, paths) {
        return beside_test(path, test, flat);
    }
    // `class-folders` would take a folder of this name for the classes.
    match (classes(&*flat.splits.train), has_train) {
        (Some(n), false) => {
            let why = format!("each of its {n} folders is a class");
            Ok(Told::open("class-folders", format!("(root: {all})"), why).unwrap_or(flat))
        }
        _ => Ok(flat),
    }
}

/// The dataset in `path`, where a folder of test images is beside what else there is, of which `flat` has all images.
fn beside_test(path: &Path, test: &Path, flat: Told) -> Result<Told, DataError> {
    let name = name(test);
    let classed = Told::open("class-folders", format!("(root: {}, train: \".\")", quoted(path)), "");
    // Without test images, a split of these is held out.
    if let Ok(classed) = classed
        && classes(&*classed.splits.train).is_some()
    {
        let n = classed.splits.train.class_names().len();
        let measured = if classed.splits.test.is_some() { "is measured on" } else { "has no classes" };
        return Ok(Told {
            why: format!("each of its {n} folders beside `{name}` is a class; `{name}` {measured}"),
            ..classed
        });
    }
    let config = format!("(root: {}, test: {})", quoted(path), quoted(test));
    let why = format!("all images below it but those in `{name}`, which are measured on");
    // All images may be in that folder.
    Ok(Told::open("flat-folder", config, why).unwrap_or(flat))
}

fn name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How many classes the folders at the top are, if every image is in one of them and they are not too many.
fn classes(images: &dyn Images) -> Option<usize> {
    let class = |index| images.key(index).split_once('/').map(|(class, _)| class.to_owned());
    let classes = (0..images.len()).map(class).collect::<Option<BTreeSet<String>>>()?;
    (classes.len() >= 2 && images.len() >= FEWEST_IN_A_CLASS * classes.len()).then_some(classes.len())
}

/// What the images at `paths` are called: the name of the only folder, in letters that a pipeline's name may have.
pub(super) fn name_of(paths: &[PathBuf]) -> String {
    const OF_A_PART: [&str; 3] = ["train", "images", "data"];
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = |path: &Path| {
        let stem = if path.is_file() { path.file_stem() } else { path.file_name() };
        stem.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let text = match paths {
        [path] => {
            let path = whole(path);
            let own = name(&path);
            match path.parent().map(name).filter(|above| !above.is_empty()) {
                Some(above) if OF_A_PART.contains(&own.as_str()) => above,
                _ => own,
            }
        }
        _ => String::new(),
    };
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    let text: String = text.chars().map(plain).collect();
    match text.trim_matches(['-', '.']) {
        "" => "images".into(),
        text => text.to_owned(),
    }
}
