//! Tiny ImageNet (Stanford's CS231N): 200 classes of ImageNet at 64 x 64 pixels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, Splits};

use crate::classes::listed;
use crate::decode::{ReadOptions, decode_bytes};
use crate::flat_folder::check_not_empty;
use crate::list::{ListedLabels, number_both};
use crate::listing::{Patterns, file_name, shown, shown_path, split_first};
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
        let root = Root::open(&path, &Patterns::default())?.inner();
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
        let mut notes: Vec<String> = root.notes().to_vec();
        let mut train = root.list(Some(Path::new("train")), &Patterns::default())?;
        let mut test = root.list(Some(Path::new("val")), &Patterns::default())?;
        train.check_not_empty()?;
        test.check_not_empty()?;
        notes.extend(train.notes().into_iter().chain(test.notes()));
        notes.retain(|note| !is_of_annotations(note));
        let train_labels = labels(&mut train, "in no class folder", &mut notes, |path| {
            split_first(path).map(|(class, _)| shown(class))
        })?;
        let classes = annotations(&root)?;
        let class = |path: &[u8]| classes.get(file_name(path)).cloned();
        let test_labels = labels(&mut test, "not in `val_annotations.txt`", &mut notes, class)?;
        let (labels, test_labels) = number_both(&train_labels, Some(&test_labels));
        let test = test_labels.map(|labels| (vec![test.part], labels));
        Ok(splits_of((vec![train.part], labels), test, &self.config.read, notes))
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
        format!("Tiny ImageNet in {}", self.config.root.display())
    }
}

/// Whether `note` tells only of text files, which the set has beside its images: boxes and annotations.
fn is_of_annotations(note: &str) -> bool {
    let files = note.split_once("not end like an image: ").map(|(_, files)| files);
    files.is_some_and(|files| files.ends_with(" txt") && !files.contains(','))
}

/// The class of each image of `found`. Those without one are left out, which is told with the reason `why`.
///
/// # Errors
/// If none has a class.
fn labels(
    found: &mut Found,
    why: &str,
    notes: &mut Vec<String>,
    class: impl Fn(&[u8]) -> Option<String>,
) -> Result<ListedLabels, DatasetError> {
    let entries = &found.part.entries;
    let without: Vec<String> = entries.paths().filter(|path| class(path).is_none()).map(shown).collect();
    let n = without.len();
    if n > 0 {
        let none_is_left = n == entries.len();
        let told = format!(
            "{} {why}{}: {}",
            if n == 1 { "1 image is".into() } else { format!("{n} images are") },
            if none_is_left { "" } else { " and left out" },
            listed(without.into_iter())
        );
        if none_is_left {
            return Err(error(&found.part.place, told, GET));
        }
        notes.push(format!("{}: {told}", shown_path(&found.part.place)));
        found.part.entries = entries.filtered(|path| class(path).is_some());
    }
    Ok(ListedLabels::of(found.part.entries.paths().filter_map(class)))
}

/// The classes of the test images by the names of their files, from lines of a name, its class and a box, with tabs between them.
fn annotations(root: &Root) -> Result<HashMap<Vec<u8>, String>, DatasetError> {
    let file = root.path().join(ANNOTATIONS);
    let text =
        root.read(ANNOTATIONS).map_err(|reason| error(&file, format!("it cannot be read: {reason}"), GET))?;
    let lines = text.split(|&byte| byte == b'\n').map(|line| line.split(|&byte| byte == b'\t'));
    let class = |mut cells: std::slice::Split<'_, u8, _>| {
        Some((cells.next()?.to_vec(), shown(cells.next()?.trim_ascii())))
    };
    Ok(lines.filter_map(class).collect())
}
