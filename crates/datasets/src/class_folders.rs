//! One folder per class.

use std::path::{Path, PathBuf};

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, Splits};

use crate::classes::{Classed, listed, number_classes};
use crate::decode::{ReadOptions, decode_bytes};
use crate::flat_folder::check_not_empty;
use crate::listing::{Patterns, shown, shown_path};
use crate::places::error;
use crate::root::Root;
use crate::roots::{OneOrMore, check_paths, expanded};
use crate::splits::splits_of;

plugin_api::register! {
    dyn Dataset {
        name: "class-folders",
        summary: "one folder per class: root/train/<class>/** and root/val/<class>/** or root/test/<class>/**",
        source: "the layout of torchvision's ImageFolder",
        example: r#"(root: "imagenet")"#,
        build: |config: ClassFoldersConfig, _context| ClassFolders::new(config),
    }
}

const TRAIN: &str = "train";
/// `val` before `test`: if both exist (as in ImageNet), `val` is the labeled one.
const TEST: [&str; 2] = ["val", "test"];

/// The config of [`ClassFolders`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassFoldersConfig {
    /// Root folder of the dataset, or a .zip or .tar file with the same in it; or a list of these. A relative path starts at
    /// the working directory, `~` is the home folder, and a pattern such as `part-*` stands for all that it matches.
    pub root: OneOrMore,
    /// Folder under `root` with the class folders to train on. By default `train`, or `root` itself if there is no such
    /// folder.
    #[serde(default)]
    pub train: Option<PathBuf>,
    /// Folder under `root` with the class folders to evaluate on. By default `val`, then `test`, or no test split.
    #[serde(default)]
    pub test: Option<PathBuf>,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
    /// Patterns of what is left out, for paths below the root: `**/masks/**`, `*.gif`. A pattern that matches a folder
    /// leaves out all that is in it.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// One folder per class. The classes of both splits are numbered together, in the order of their names.
///
/// A class folder without images in either split is left out, and a class that only one split has is a note.
#[derive(Debug, Clone)]
pub struct ClassFolders {
    config: ClassFoldersConfig,
    exclude: Patterns,
}

impl ClassFolders {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, both splits are the same folder, a pattern is none, or `read` makes no sense.
    pub fn new(config: ClassFoldersConfig) -> Result<Self, ConfigError> {
        check_paths("root", &config.root)?;
        check_not_empty("train", config.train.as_ref())?;
        check_not_empty("test", config.test.as_ref())?;
        let is_train = |test: &PathBuf| match &config.train {
            Some(train) => train == test,
            None => test == Path::new(TRAIN),
        };
        if let Some(test) = config.test.as_ref().filter(|test| is_train(test)) {
            return Err(ConfigError::field("test", test.display(), "it must differ from `train`"));
        }
        config.read.check()?;
        let exclude = Patterns::new("exclude", &config.exclude)?;
        Ok(Self { config, exclude })
    }

    /// The folders of the two splits below `root`; `None` stands for `root` itself. Notes tell what is beside them.
    fn folders(&self, root: &Root, notes: &mut Vec<String>) -> Result<SplitFolders, DatasetError> {
        let ClassFoldersConfig { train, test, .. } = &self.config;
        let found_test = || TEST.into_iter().map(PathBuf::from).find(|folder| root.has(folder));
        let test = test.clone().or_else(found_test);
        if let Some(train) = train {
            return Ok(SplitFolders { train: Some(train.clone()), test });
        }
        if root.has(Path::new(TRAIN)) {
            notes.extend(beside_train(root, test.as_deref(), &self.exclude)?);
            return Ok(SplitFolders { train: Some(TRAIN.into()), test });
        }
        match test {
            None => Ok(SplitFolders { train: None, test: None }),
            // `root` itself would have the test folder as a class.
            Some(test) => Err(error(
                root.path(),
                format!("there is a folder of test images, `{}`, but no folder `{TRAIN}`", test.display()),
                "set the folder of training images: `train: \"...\"`",
            )),
        }
    }

    /// Adds the images of `root` to the splits.
    fn add(&self, root: &Root, splits: &mut ByClass) -> Result<(), DatasetError> {
        let folders = self.folders(root, &mut splits.notes)?;
        let mut train = root.list(folders.train.as_deref(), &self.exclude)?;
        if let Some(test) = &folders.test {
            // With `train: "."`, the folder of the test images is among the class folders.
            if folders.train.as_deref().is_some_and(is_here) {
                train.leave_out(test);
            }
            splits.test.get_or_insert_default().add(root.list(Some(test), &self.exclude)?);
        }
        splits.train.add(train);
        Ok(())
    }
}

/// Folders below a root.
struct SplitFolders {
    train: Option<PathBuf>,
    test: Option<PathBuf>,
}

#[derive(Default)]
struct ByClass {
    train: Classed,
    test: Option<Classed>,
    notes: Vec<String>,
}

impl Dataset for ClassFolders {
    fn open(&self) -> Result<Splits, DatasetError> {
        let mut splits = ByClass::default();
        for path in expanded(&self.config.root)? {
            let root = Root::open(&path, &self.exclude)?;
            splits.notes.extend_from_slice(root.notes());
            let has_names = self.config.train.is_some() || self.config.test.is_some();
            self.add(&if has_names { root } else { root.inner(&[TRAIN, TEST[0], TEST[1]]) }, &mut splits)?;
        }
        let ByClass { train, test, mut notes } = splits;
        train.check()?;
        test.as_ref().map_or(Ok(()), Classed::check)?;
        let (labels, test_labels, empty) = number_classes(&train, test.as_ref());
        notes.extend(train.notes.iter().chain(test.iter().flat_map(|test| &test.notes)).cloned());
        notes.extend(empty);
        notes.extend(self.exclude.notes());
        let test = test.map(|test| test.parts).zip(test_labels);
        Ok(splits_of((train.parts, labels), test, &self.config.read, notes))
    }

    fn channels(&self) -> usize {
        self.config.read.channels()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        Some(decode_bytes(bytes, &self.config.read))
    }

    fn describe(&self) -> String {
        format!("class folders of {}", self.config.root.told())
    }
}

/// What is beside the folder of training images and is no split, one sentence for folders and one for images.
fn beside_train(root: &Root, test: Option<&Path>, patterns: &Patterns) -> Result<Vec<String>, DatasetError> {
    let is_split = |name: &str| name == TRAIN || TEST.contains(&name) || test == Some(Path::new(name));
    let top = root.top(patterns)?;
    let folders: Vec<String> =
        top.folders.iter().map(|name| shown(name)).filter(|name| !is_split(name)).collect();
    let place = shown_path(root.path());
    let mut notes = Vec::new();
    if !folders.is_empty() {
        let are = if folders.len() == 1 {
            "is 1 folder that is"
        } else {
            &format!("are {} folders that are", folders.len())
        };
        let names = listed(folders.into_iter());
        notes.push(format!(
            "{place}: beside `{TRAIN}` there {are} no part of the data: {names}; if `{TRAIN}` is a class like these, write \
             `train: \".\"`"
        ));
    }
    if !top.images.is_empty() {
        let are = if top.images.len() == 1 {
            "is 1 image that is"
        } else {
            &format!("are {} images that are", top.images.len())
        };
        let names = listed(top.images.iter().map(|name| shown(name)));
        notes.push(format!("{place}: beside `{TRAIN}` there {are} no part of the data: {names}"));
    }
    Ok(notes)
}

/// Whether `folder` is the folder in which it stands.
fn is_here(folder: &Path) -> bool {
    folder.components().all(|part| part == std::path::Component::CurDir)
}
