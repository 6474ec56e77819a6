//! One folder per class.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{ConfigError, Dataset, DatasetError, Splits};

use crate::decode::ReadOptions;
use crate::files::{FileImages, check_folder, error, list_folders, list_images, no_images};
use crate::flat_folder::check_not_empty;

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
    /// Root folder of the dataset. A relative path starts at the working directory.
    pub root: PathBuf,
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
}

/// One folder per class. Classes are numbered in the order of their names.
#[derive(Debug, Clone)]
pub struct ClassFolders {
    config: ClassFoldersConfig,
}

impl ClassFolders {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If a path is empty, if both splits are the same folder, or if `read` makes no sense.
    pub fn new(config: ClassFoldersConfig) -> Result<Self, ConfigError> {
        check_not_empty("root", Some(&config.root))?;
        check_not_empty("train", config.train.as_ref())?;
        check_not_empty("test", config.test.as_ref())?;
        if let (Some(train), Some(test)) = (&config.train, &config.test)
            && train == test
        {
            return Err(ConfigError::field("test", test.display(), "it must differ from `train`"));
        }
        config.read.check()?;
        Ok(Self { config })
    }

    /// The folders of the two splits.
    fn folders(&self) -> Result<(PathBuf, Option<PathBuf>), DatasetError> {
        let ClassFoldersConfig { root, train, test, .. } = &self.config;
        check_folder(root)?;
        let named_test = test.as_ref().map(|name| root.join(name));
        let found_test = || TEST.iter().map(|name| root.join(name)).find(|folder| folder.is_dir());
        if let Some(name) = train {
            return Ok((root.join(name), named_test.or_else(found_test)));
        }
        let train = root.join(TRAIN);
        if train.is_dir() {
            return Ok((train, named_test.or_else(found_test)));
        }
        match named_test.or_else(found_test) {
            None => Ok((root.clone(), None)),
            // `root` itself would have the test folder as a class.
            Some(test) => Err(error(
                root,
                format!("there is a folder of test images, `{}`, but no folder `{TRAIN}`", name_of(&test)),
                "set the folder of training images: `train: \"...\"`",
            )),
        }
    }
}

impl Dataset for ClassFolders {
    fn open(&self) -> Result<Splits, DatasetError> {
        let (train, test) = self.folders()?;
        let train_images = list_classes(&train, &self.config.read)?;
        let test_images = test.as_deref().map(|test| list_classes(test, &self.config.read)).transpose()?;
        if let (Some(test), Some(test_images)) = (&test, &test_images) {
            check_same_classes(&train, &train_images.class_names, test, &test_images.class_names)?;
        }
        Ok(Splits {
            train: Arc::new(train_images),
            test: test_images.map(|images| Arc::new(images) as _),
            notes: Vec::new(),
        })
    }

    fn channels(&self) -> usize {
        self.config.read.channels()
    }

    fn describe(&self) -> String {
        format!("class folders of {}", self.config.root.display())
    }
}

fn list_classes(folder: &Path, read: &ReadOptions) -> Result<FileImages, DatasetError> {
    let classes = list_folders(folder)?;
    if classes.is_empty() {
        return Err(error(
            folder,
            "there are no class folders in it",
            "for images without class folders, use `flat-folder`",
        ));
    }
    let mut paths = Vec::new();
    let mut labels = Vec::new();
    for (label, (_, class)) in (0_u32..).zip(&classes) {
        let found = list_images(class)?;
        if found.is_empty() {
            return Err(no_images(class));
        }
        labels.extend(found.iter().map(|_| label));
        paths.extend(found);
    }
    Ok(FileImages {
        paths,
        labels: Some(labels),
        class_names: classes.into_iter().map(|(name, _)| name).collect(),
        read: read.clone(),
    })
}

fn check_same_classes(
    train: &Path,
    train_names: &[String],
    test: &Path,
    test_names: &[String],
) -> Result<(), DatasetError> {
    let odd = |here: &Path, here_names: &[String], there: &Path, there_names: &[String]| {
        // Both lists are sorted.
        let name = here_names.iter().find(|name| there_names.binary_search(name).is_err())?;
        Some(error(
            here,
            format!("class folder `{name}` is missing in {}", there.display()),
            "both splits need the same classes: add or remove the folder, or set other folders with `train` and `test`",
        ))
    };
    odd(test, test_names, train, train_names)
        .or_else(|| odd(train, train_names, test, test_names))
        .map_or(Ok(()), Err)
}

fn name_of(folder: &Path) -> String {
    folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
}
