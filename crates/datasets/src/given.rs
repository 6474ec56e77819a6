//! Images given by path, without a pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{ConfigError, DatasetConfig, DatasetContext, DatasetError, DatasetFiles, Images};

use crate::archive::{self, is_archive_file};
use crate::decode::{ReadOptions, begins_like_image};
use crate::folder_of_files::{FolderOfFiles, dataset_of_folder};
use crate::images::{Labels, Part, StoredImages};
use crate::joined::Joined;
use crate::list::{Columns, List, number_both, number_labels, read_list};
use crate::listing::{Entries, Patterns, bytes_of, is_image, shown, split_first};
use crate::parquet::{self, is_parquet_file};
use crate::places::{error, relative_hint};
use crate::root::Root;
use crate::split_names::{of_test, splits_of_entries};
use crate::splits::Listed;
use crate::store::Folder;

/// Magic bytes that distinguish images and other files from text.
const N_BYTES_LOOKED_AT: usize = 32;

/// Dataset plugins of files that are listed here together with folders and images.
const LISTED_HERE: [&str; 3] = ["archive", "list-file", "parquet"];

/// Images given by path.
#[derive(Clone)]
pub struct OpenedImages {
    /// The images.
    pub images: Arc<dyn Images>,
    /// What listing left out or found odd, one sentence each, for the person who runs it.
    pub notes: Vec<String>,
}

/// The images at `paths`, in the order of `paths`. Only names are read.
///
/// A path is a folder, which is searched recursively and sorted by path; a list of images, as for
/// [`ListFile`](crate::ListFile); an archive, as for [`ArchiveDataset`](crate::ArchiveDataset); a Parquet file, as for
/// [`ParquetDataset`](crate::ParquetDataset); or an image. A single path may also be a pack, or a file of another plugin
/// ([`dataset_of_file`]), or a folder that has only archives, packs or Parquet files ([`dataset_of_folder`]): its training images,
/// and its test images after them. Parquet files, and any single path, give labels if
/// they have them: a list with labels, or a folder in which every image is in a class folder.
///
/// # Errors
/// If a path does not exist, or is not an image.
pub fn open_images(paths: &[PathBuf]) -> Result<OpenedImages, DatasetError> {
    if let [path] = paths
        && let Some(FolderOfFiles { config, left_out }) = one_dataset(path)
    {
        let unfit = |fault: ConfigError| error(path, fault.to_string(), "name its plugin in a pipeline");
        let splits = config.build(&DatasetContext::default()).map_err(unfit)?.open()?;
        let notes = left_out.into_iter().chain(splits.notes.iter().cloned()).collect();
        return Ok(OpenedImages { images: Joined::of(&splits), notes });
    }
    let mut notes = Vec::new();
    if paths.len() > 1 && paths.iter().all(|path| is_parquet_file(path)) {
        let (parts, labels) = parts_and_labels(parquet::list(paths, None, None)?, &mut notes);
        return Ok(opened(parts, labels, notes));
    }
    let (mut parts, mut labels) = (Vec::new(), Labels::none());
    for path in paths {
        let (found, its_labels) = open_one(path, &mut notes)?;
        parts.extend(found);
        if paths.len() == 1 {
            labels = its_labels;
        }
    }
    Ok(opened(parts, labels, notes))
}

/// The dataset that the file at `path` is by the ending of its name, if it is a pack or a file of a plugin from elsewhere.
pub fn dataset_of_file(path: &Path) -> Option<DatasetConfig> {
    let files = DatasetFiles::of(path).filter(|files| !LISTED_HERE.contains(&files.dataset))?;
    path.is_file().then(|| files.config(&[path.to_owned()]))
}

/// The dataset that is at `path` as a whole.
fn one_dataset(path: &Path) -> Option<FolderOfFiles> {
    let of_file = dataset_of_file(path).map(|config| FolderOfFiles { config, left_out: Vec::new() });
    of_file.or_else(|| dataset_of_folder(path))
}

fn opened(parts: Vec<Part>, labels: Labels, notes: Vec<String>) -> OpenedImages {
    OpenedImages { images: Arc::new(StoredImages::new(parts, labels, &ReadOptions::default())), notes }
}

fn open_one(path: &Path, notes: &mut Vec<String>) -> Result<(Vec<Part>, Labels), DatasetError> {
    if path.is_dir() {
        let found = Root::open(path, &Patterns::default())?.list(None, &Patterns::default())?;
        found.check_not_empty()?;
        notes.extend(found.notes());
        let labels = labels_of_folders(&found.part.entries);
        return Ok((vec![found.part], labels));
    }
    if !path.exists() {
        return Err(error(path, "the file or folder does not exist", relative_hint(path)));
    }
    // A pipe or a device could block, or have no end.
    if !path.is_file() {
        return Err(error(
            path,
            "this is neither a folder nor a regular file",
            "give a folder, a list or images",
        ));
    }
    if is_archive_file(path) {
        let listed = archive::list(&[path.to_owned()], &Patterns::default(), None)?;
        return Ok(parts_and_labels(listed, notes));
    }
    if is_parquet_file(path) {
        let listed = parquet::list(&[path.to_owned()], None, None)?;
        return Ok(parts_and_labels(listed, notes));
    }
    let name = bytes_of(path.as_os_str()).unwrap_or_default();
    let start = first_bytes(path);
    if is_image(name) || begins_like_image(&start) {
        let mut entries = Entries::default();
        entries.push(&[name], 0);
        let store = Arc::new(Folder { path: PathBuf::new() });
        return Ok((vec![Part { place: PathBuf::new(), store, entries }], Labels::none()));
    }
    if start.contains(&0) {
        return Err(error(
            path,
            "this is neither an image in a supported format nor a list of images",
            "a list is a text file with one image path per line",
        ));
    }
    let list = read_list(path, &Columns::default())?;
    notes.extend(list.notes());
    let (labels, _) = number_labels(&list, None);
    let List { part, .. } = list;
    Ok((vec![part], labels))
}

fn parts_and_labels(listed: Listed, notes: &mut Vec<String>) -> (Vec<Part>, Labels) {
    notes.extend(listed.notes);
    let labels = listed.labels.map_or_else(Labels::none, |labels| number_both(&labels, None).0);
    (listed.parts, labels)
}

/// The first folder of each path as its class, if every path has one.
///
/// Folders of splits are no classes: below `train` and `test`, the next folder is. A folder `train` beside others is one, since
/// it may have trains.
fn labels_of_folders(entries: &Entries) -> Labels {
    let first = |path| split_first(path).map(|(first, _)| first);
    let splits = splits_of_entries(entries);
    let is_split = |name: &[u8]| splits.iter().any(|split| split == name);
    let are_of_splits = entries.paths().all(|path| first(path).is_some_and(is_split));
    let of_test = of_test(&splits);
    let is_no_class = |name: &[u8]| if are_of_splits { is_split(name) } else { of_test.contains(&name) };
    let class = |path| {
        let (first, rest) = split_first(path)?;
        if is_no_class(first) { split_first(rest).map(|(class, _)| class) } else { Some(first) }
    };
    let Some(classes) = entries.paths().map(class).collect::<Option<BTreeSet<&[u8]>>>() else {
        return Labels::none();
    };
    let numbers: BTreeMap<&[u8], u32> = classes.iter().copied().zip(0..).collect();
    let labels = entries.paths().filter_map(class).map(|class| numbers[class]).collect();
    Labels { of_images: Some(labels), class_names: classes.into_iter().map(shown).collect() }
}

/// The start of a file. Read errors are left to the code that reads it as a list.
fn first_bytes(path: &Path) -> Vec<u8> {
    regular_files::beginning(path, N_BYTES_LOOKED_AT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    fn names(images: &dyn Images, root: &Path) -> Vec<String> {
        let name = |i| images.name(i).strip_prefix(&format!("{}/", root.display())).unwrap().to_owned();
        (0..images.len()).map(name).collect()
    }

    #[test]
    fn folders_lists_and_single_files_are_taken_in_the_order_given() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for name in ["b/2.png", "b/deep/1.jpg", "b/notes.txt", "a.png", "c.webp"] {
            touch(&root.join(name));
        }
        std::fs::write(root.join("list.txt"), "# two\nc.webp\nb/2.png\n").unwrap();
        let open =
            |given: &[&str]| open_images(&given.iter().map(|name| root.join(name)).collect::<Vec<_>>());
        let images = open(&["c.webp", "b", "list.txt", "a.png"]).unwrap().images;
        let expected = ["c.webp", "b/2.png", "b/deep/1.jpg", "c.webp", "b/2.png", "a.png"];
        assert_eq!(names(images.as_ref(), root), expected);
        assert!(images.class_names().is_empty());
        // An image without an extension is known by what is in it.
        std::fs::write(root.join("photo"), b"\x89PNG\r\n\x1a\n").unwrap();
        assert_eq!(names(open(&["photo"]).unwrap().images.as_ref(), root), ["photo"]);
    }

    #[test]
    fn folders_of_classes_and_lists_give_labels() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for name in ["all/dog/1.png", "all/cat/deep/2.png", "all/cat/3.png"] {
            touch(&root.join(name));
        }
        let images = open_images(&[root.join("all")]).unwrap().images;
        assert_eq!(images.class_names(), ["cat", "dog"]);
        assert_eq!((0..3).map(|i| images.label(i).unwrap()).collect::<Vec<_>>(), [0, 0, 1]);
        touch(&root.join("all/0.png"));
        assert_eq!(open_images(&[root.join("all")]).unwrap().images.label(0), None);
        std::fs::write(root.join("list"), "all/dog/1.png dog\nall/cat/3.png cat\n").unwrap();
        let images = open_images(&[root.join("list")]).unwrap().images;
        assert_eq!((images.label(0), images.class_names().len()), (Some(1), 2));
    }

    #[test]
    fn what_leads_to_no_image_is_told() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir(root.join("empty")).unwrap();
        std::fs::write(root.join("binary"), [0xff, 0xfe, 0, 1]).unwrap();
        for (name, reason) in [
            ("nowhere", "the file or folder does not exist"),
            ("empty", "there are no images in this folder"),
            ("binary", "this is neither an image in a supported format"),
        ] {
            let error = open_images(&[root.join(name)]).err().unwrap();
            assert!(error.reason.starts_with(reason) && !error.hint.is_empty(), "{error}");
        }
    }
}
