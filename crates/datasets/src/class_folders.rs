//! One folder per class.

use std::path::{Path, PathBuf};

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, Splits};

use crate::classes::{Classed, listed, number_classes};
use crate::decode::{ReadOptions, decode_bytes};
use crate::flat_folder::check_not_empty;
use crate::listing::{Patterns, bytes_of, path_of, shown, shown_path};
use crate::overlap::{check_apart, inside, keep_apart, plain};
use crate::places::error;
use crate::root::{Found, Root};
use crate::roots::{OneOrMore, check_paths, expanded_roots};
use crate::split_names::{is_of_training, of_test, of_training};
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

/// The config of [`ClassFolders`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassFoldersConfig {
    /// Root folder of the dataset, or a .zip or .tar file with the same in it; or a list of these. A relative path starts at
    /// the working directory, `~` is the home folder, and a pattern such as `part-*` stands for all that it matches.
    pub root: OneOrMore,
    /// Folder under `root` with the class folders to train on. By default `train`, in small or capital letters, or `root` itself
    /// if there is no such folder. `Train` is a class if it has no class folders and others than splits are beside it.
    #[serde(default)]
    pub train: Option<PathBuf>,
    /// Folder under `root` with the class folders to evaluate on. By default the first of `val`, `valid`, `validation` and `test`
    /// that has some, in small or capital letters, or no test split. But for `val` and `test`, these are classes as `Train` is.
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
/// A class folder without images in either split is left out, and a class that only one split has is a note. So are test images
/// in no class folder, which nothing is measured on.
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
            Some(train) => plain(train) == plain(test),
            None => is_of_training(name_of(test)),
        };
        if let Some(test) = config.test.as_ref().filter(|test| is_train(test)) {
            return Err(ConfigError::field("test", test.display(), "it must differ from `train`"));
        }
        config.read.check()?;
        let exclude = Patterns::new("exclude", &config.exclude)?;
        Ok(Self { config, exclude })
    }

    /// What is in the folders of the two splits below `root`. Notes tell what is beside them.
    fn list(&self, root: &Root, notes: &mut Vec<String>) -> Result<(Found, Option<Found>), DatasetError> {
        let names = root.splits();
        let of_train = match &self.config.train {
            Some(train) => Some(train.clone()),
            None => of_training(&names).first().map(|name| path_of(name)),
        };
        let mut unused = Vec::new();
        let test = self.list_test(root, of_train.as_deref(), &of_test(&names), &mut unused, notes)?;
        match (&self.config.train, &of_train, of_test(&names).first()) {
            (None, Some(train), _) => {
                notes.extend(beside_train(root, &names, train, self.config.test.as_deref(), &self.exclude)?)
            }
            // `root` itself would have the test folder as a class.
            (None, None, first) => {
                let found = first.map(|name| path_of(name));
                if let Some(test) = self.config.test.clone().or(found) {
                    return Err(error(
                        root.path(),
                        format!(
                            "there is a folder of test images, `{}`, but no folder `train`",
                            test.display()
                        ),
                        "set the folder of training images: `train: \"...\"`, or `train: \".\"` if the class folders are beside it",
                    ));
                }
            }
            (Some(_), ..) => {}
        }
        let mut train = root.list(of_train.as_deref(), &self.exclude)?;
        for place in unused {
            let below = inside(&train.part.place, &place);
            train.leave_out(&below);
        }
        Ok((train, test))
    }

    /// The test images: those of the folder that is named, or else of the first of `names` with class folders. What is there
    /// without them is told, and added to `unused`: no class is called `test`.
    fn list_test(
        &self,
        root: &Root,
        train: Option<&Path>,
        names: &[&[u8]],
        unused: &mut Vec<PathBuf>,
        notes: &mut Vec<String>,
    ) -> Result<Option<Found>, DatasetError> {
        let folders: Vec<PathBuf> = match &self.config.test {
            Some(test) => vec![test.clone()],
            None => names.iter().map(|name| path_of(name)).collect(),
        };
        let mut chosen: Option<Found> = None;
        for folder in folders.iter().filter(|folder| train.is_none_or(|train| plain(train) != plain(folder)))
        {
            let path = root.path().join(folder);
            let place = shown_path(&path);
            if let Some(chosen) = &chosen {
                let measured = shown_path(&chosen.part.place);
                notes.push(format!("{place} is no part of the data, since {measured} is measured on"));
                unused.push(path);
                continue;
            }
            let found = root.list(Some(folder), &self.exclude)?;
            if found.has_classes() {
                chosen = Some(found);
                continue;
            }
            unused.push(path);
            notes.extend(found.notes());
            let images = match found.part.entries.len() {
                0 => "there are no images in it".to_owned(),
                1 => "there are no class folders in it, and its image is left out".to_owned(),
                n => format!("there are no class folders in it, and its {n} images are left out"),
            };
            notes.push(format!("{place}: {images}, so that nothing is measured on it"));
        }
        Ok(chosen)
    }
}

/// The last part of `path`.
fn name_of(path: &Path) -> &[u8] {
    if plain(path).components().count() == 1 {
        path.file_name().and_then(bytes_of).unwrap_or_default()
    } else {
        b""
    }
}

impl Dataset for ClassFolders {
    fn open(&self) -> Result<Splits, DatasetError> {
        let (mut of_train, mut of_test, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let ClassFoldersConfig { train, test, .. } = &self.config;
        for path in expanded_roots(&self.config.root, &mut notes)? {
            let root = Root::open(&path, &self.exclude)?;
            notes.extend_from_slice(root.notes());
            let has_names = train.as_ref().is_some_and(|train| !is_here(train)) || test.is_some();
            let (train, test) = self.list(&if has_names { root } else { root.inner() }, &mut notes)?;
            of_train.push(train);
            of_test.extend(test);
        }
        check_apart(&of_train)?;
        check_apart(&of_test)?;
        notes.extend(keep_apart(&mut of_train, &mut of_test)?);
        let classed = |found: Vec<Found>| {
            let mut classed = Classed::default();
            let has_several = found.len() > 1;
            for found in found {
                if has_several && !found.has_classes() {
                    let place = shown_path(&found.part.place);
                    classed.notes.push(format!("{place}: there are no images in class folders in it"));
                }
                classed.add(found);
            }
            classed
        };
        let (train, test) = (classed(of_train), (!of_test.is_empty()).then(|| classed(of_test)));
        train.check()?;
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

    fn read_options(&self) -> Option<String> {
        self.config.read.written()
    }

    fn describe(&self) -> String {
        format!("class folders of {}", self.config.root.told())
    }
}

/// What is beside the folder `train` of training images and is no split, one sentence for folders and one for images.
fn beside_train(
    root: &Root,
    splits: &[Vec<u8>],
    train: &Path,
    test: Option<&Path>,
    patterns: &Patterns,
) -> Result<Vec<String>, DatasetError> {
    let name = shown_path(train);
    let of_test = of_test(splits);
    let is_split =
        |name: &[u8]| of_test.contains(&name) || [Some(train), test].contains(&Some(&path_of(name)));
    let top = root.top(patterns)?;
    let folders: Vec<String> =
        top.folders.iter().filter(|name| !is_split(name)).map(|name| shown(name)).collect();
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
            "{place}: beside `{name}` there {are} no part of the data: {names}; if `{name}` is a class like these, write \
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
        notes.push(format!("{place}: beside `{name}` there {are} no part of the data: {names}"));
    }
    Ok(notes)
}

/// Whether `folder` is the folder in which it stands.
fn is_here(folder: &Path) -> bool {
    plain(folder).as_os_str().is_empty()
}
