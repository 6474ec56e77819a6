//! Tiny ImageNet (Stanford's CS231N): 200 classes of ImageNet at 64 x 64 pixels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, Splits};

use crate::decode::{ReadOptions, decode_bytes};
use crate::flat_folder::check_not_empty;
use crate::list::{ListedLabels, number_both};
use crate::listing::{Patterns, file_name, shown, split_first};
use crate::places::error;
use crate::root::{Found, Root};
use crate::roots::at_home;
use crate::splits::splits_of;

plugin_api::register! {
    dyn Dataset {
        name: "tiny-imagenet",
        summary: "Tiny ImageNet, from its folder or its zip file",
        source: "Le and Yang 2015, Tiny ImageNet Visual Recognition Challenge",
        example: r#"(root: "data/tiny-imagenet-200")"#,
        build: |config: TinyImageNetConfig, _context| TinyImageNet::new(config),
    }
}

/// The folder in the archive.
const FOLDER: &str = "tiny-imagenet-200";
const ANNOTATIONS: &str = "val/val_annotations.txt";
const GET: &str = "unpack tiny-imagenet-200.zip from http://cs231n.stanford.edu here, or give the zip file";

/// The config of [`TinyImageNet`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TinyImageNetConfig {
    /// Folder with `train` and `val`, its parent, or `tiny-imagenet-200.zip`. A relative path starts at the working
    /// directory.
    pub root: PathBuf,
    /// How the files become images.
    #[serde(default)]
    pub read: ReadOptions,
}

/// Tiny ImageNet: 100 000 training images and 10 000 test images, those of its folder `val`, in 200 classes.
///
/// Classes are called as WordNet numbers them (`n01443537`), and numbered in this order.
#[derive(Debug, Clone)]
pub struct TinyImageNet {
    config: TinyImageNetConfig,
}

impl TinyImageNet {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If the path is empty, or `read` makes no sense.
    pub fn new(config: TinyImageNetConfig) -> Result<Self, ConfigError> {
        check_not_empty("root", Some(&config.root))?;
        config.read.check()?;
        Ok(Self { config })
    }

    fn root(&self) -> Result<Root, DatasetError> {
        let path = at_home(&self.config.root);
        let root = Root::open(&path, &Patterns::default())?.inner(&["train", "val"]);
        if root.has(Path::new("train")) && root.has(Path::new("val")) {
            return Ok(root);
        }
        let inner = path.join(FOLDER);
        if inner.join("train").is_dir() && inner.join("val").is_dir() {
            return Root::open(&inner, &Patterns::default());
        }
        Err(error(
            &path,
            format!("there are no folders `train` and `val`, neither here nor in `{FOLDER}`"),
            GET,
        ))
    }
}

impl Dataset for TinyImageNet {
    fn open(&self) -> Result<Splits, DatasetError> {
        let root = self.root()?;
        let train = root.list(Some(Path::new("train")), &Patterns::default())?;
        let test = root.list(Some(Path::new("val")), &Patterns::default())?;
        train.check_not_empty()?;
        test.check_not_empty()?;
        let train_labels = labels_of_folders(&train)?;
        let test_labels = labels_of_annotations(&root, &test)?;
        let (labels, test_labels) = number_both(&train_labels, Some(&test_labels));
        let test = test_labels.map(|labels| (vec![test.part], labels));
        Ok(splits_of((vec![train.part], labels), test, &self.config.read, Vec::new()))
    }

    fn channels(&self) -> usize {
        self.config.read.channels()
    }

    fn decode(&self, bytes: &[u8]) -> Option<Result<ByteImage, String>> {
        Some(decode_bytes(bytes, &self.config.read))
    }

    fn describe(&self) -> String {
        format!("Tiny ImageNet in {}", self.config.root.display())
    }
}

fn labels_of_folders(train: &Found) -> Result<ListedLabels, DatasetError> {
    let class = |path: &[u8]| match split_first(path) {
        Some((class, _)) => Ok(shown(class)),
        None => Err(error(&train.part.place, format!("`{}` is in no class folder", shown(path)), GET)),
    };
    train.part.entries.paths().map(class).collect::<Result<Vec<_>, _>>().map(ListedLabels::of)
}

/// Lines of the name of a file, its class and a box, with tabs between them.
fn labels_of_annotations(root: &Root, test: &Found) -> Result<ListedLabels, DatasetError> {
    let file = root.path().join(ANNOTATIONS);
    let text =
        root.read(ANNOTATIONS).map_err(|reason| error(&file, format!("it cannot be read: {reason}"), GET))?;
    let lines = text.split(|&byte| byte == b'\n').map(|line| line.split(|&byte| byte == b'\t'));
    let classes: HashMap<&[u8], &[u8]> =
        lines.filter_map(|mut cells| Some((cells.next()?, cells.next()?.trim_ascii()))).collect();
    let class = |path: &[u8]| match classes.get(file_name(path)) {
        Some(class) => Ok(shown(class)),
        None => Err(error(&file, format!("it has no class for `{}`", shown(path)), GET)),
    };
    test.part.entries.paths().map(class).collect::<Result<Vec<_>, _>>().map(ListedLabels::of)
}
