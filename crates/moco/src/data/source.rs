//! Images named on a command line: a pipeline, a pack, a dataset's folder, folders and files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasets::{FolderOfFiles, SplitFolders};
use pipeline::{Pipeline, Site};
use plugin_api::{Dataset, DatasetConfig, DatasetContext, Images, Split, Splits};

use super::DataError;

/// The images of a source, in both splits.
pub struct DataSource {
    /// The images.
    pub splits: Splits,
    /// Channels of every image.
    pub channels: usize,
    /// How its files become images, see [`Dataset::read_options`].
    pub read: Option<String>,
    /// Where they are from, in words.
    pub description: String,
}

impl DataSource {
    /// Finds the images at `paths`. None is read.
    ///
    /// One path may be a pipeline (`.ron`), which means its dataset; a pack; or a folder with a folder `train` in it, which
    /// is read as class folders where it has them. Everything else is as for [`open_images`](crate::open_images).
    ///
    /// # Errors
    /// If there are none, or the pipeline is wrong.
    pub fn open(paths: &[PathBuf]) -> Result<Self, DataError> {
        if let [path] = paths {
            if is_pipeline(path) {
                return Self::of_pipeline(path, &[]);
            }
            if let Some(FolderOfFiles { config, left_out }) = plugin_of(path) {
                let mut source = Self::of_dataset(&*config.build(&DatasetContext::default())?)?;
                source.splits.notes.extend(left_out);
                return Ok(source);
            }
        }
        let datasets::OpenedImages { images, notes } = datasets::open_images(paths)?;
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let splits = Splits { train: images, test: None, notes };
        Ok(Self { splits, channels: 3, read: None, description: names.join(", ") })
    }

    /// The dataset of the pipeline at `path`, with `overrides` in it, each `path.to.value=VALUE`.
    ///
    /// # Errors
    /// If the pipeline is wrong, or there are no images.
    pub fn of_pipeline(path: &Path, overrides: &[String]) -> Result<Self, DataError> {
        let pipeline = Pipeline::read(path, overrides, Site::to_look(&crate::device()?))?;
        Self::of_dataset(&*pipeline.dataset)
    }

    /// The images of `dataset`.
    ///
    /// # Errors
    /// If there are none.
    pub fn of_dataset(dataset: &dyn Dataset) -> Result<Self, DataError> {
        let splits = dataset.open()?;
        Ok(Self {
            splits,
            channels: dataset.channels(),
            read: dataset.read_options(),
            description: dataset.describe(),
        })
    }

    /// The splits that have images.
    pub(super) fn parts(&self) -> Vec<(Split, &Arc<dyn Images>)> {
        let test = self.splits.test.as_ref().map(|images| (Split::Test, images));
        std::iter::once((Split::Train, &self.splits.train)).chain(test).collect()
    }

    /// Images in all splits.
    pub fn n_images(&self) -> usize {
        self.parts().iter().map(|(_, images)| images.len()).sum()
    }

    /// Image number `image`, counted over both splits, training images first: its split, and its place there.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn image(&self, image: usize) -> (Split, &dyn Images, usize) {
        let n_train = self.splits.train.len();
        match &self.splits.test {
            Some(test) if image >= n_train => (Split::Test, &**test, image - n_train),
            _ => (Split::Train, &*self.splits.train, image),
        }
    }

    /// What messages call image number `image`.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn name(&self, image: usize) -> String {
        let (_, images, index) = self.image(image);
        images.name(index)
    }

    /// Each image of both splits, training images first.
    pub(super) fn places(&self) -> Vec<Place<'_>> {
        let parts = self.parts().into_iter();
        parts
            .flat_map(|(split, images)| {
                (0..images.len()).map(move |index| Place { split, images: &**images, index })
            })
            .collect()
    }
}

/// One image.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) split: Split,
    pub(super) images: &'a dyn Images,
    pub(super) index: usize,
}

/// Whether the path is that of a pipeline.
pub(super) fn is_pipeline(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ron")
}

/// The dataset plugin for a path that is one dataset: a pack or a file of a plugin from elsewhere; a folder with class folders in
/// its folder `train`, or beside a folder of test images; or a folder that has only archives, packs or Parquet files.
pub(super) fn plugin_of(path: &Path) -> Option<FolderOfFiles> {
    let whole = datasets::dataset_of_file(path).or_else(|| class_folders(path));
    let whole = whole.map(|config| FolderOfFiles { config, left_out: Vec::new() });
    whole.or_else(|| datasets::dataset_of_folder(path))
}

fn class_folders(path: &Path) -> Option<DatasetConfig> {
    let SplitFolders { train, test } = SplitFolders::of(path);
    let config = match (train, test) {
        (Some(train), _) if has_class_folders(&train) => format!("(root: {})", quoted(path)),
        (None, Some(test)) if has_class_folders(&test) && has_others(path, &test) => {
            format!("(root: {}, train: \".\")", quoted(path))
        }
        _ => return None,
    };
    Some(DatasetConfig::new("class-folders", config))
}

/// Whether there are folders in `path` besides `test`.
fn has_others(path: &Path, test: &Path) -> bool {
    folders_in(path).any(|folder| folder != test)
}

/// A path as RON writes strings.
pub(super) fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

pub(super) fn has_class_folders(train: &Path) -> bool {
    folders_in(train).next().is_some()
}

/// The visible folders in `folder`.
fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    visible.map(|entry| entry.path()).filter(|path| path.is_dir())
}
