//! Images given by path, without a pipeline.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{DatasetError, Images};

use crate::decode::{ReadOptions, begins_like_image};
use crate::files::{FileImages, error, has_image_extension, list_images, no_images, relative_hint};
use crate::list_file::{class_names, number_labels, read_list};

/// Magic bytes that distinguish images and other files from text.
const N_BYTES_LOOKED_AT: u64 = 32;

/// The images at `paths`, in the order of `paths`. Only names are read.
///
/// A path is a folder, which is searched recursively and sorted by path; a list of images, as for
/// [`ListFile`](crate::ListFile); or an image. A single path gives labels if it has them: a list with labels, or a
/// folder in which every image is in a class folder.
///
/// # Errors
/// If a path does not exist, or is not an image.
pub fn open_images(paths: &[PathBuf]) -> Result<Arc<dyn Images>, DatasetError> {
    if let [path] = paths {
        return Ok(Arc::new(open_one(path)?));
    }
    let mut all = FileImages {
        paths: Vec::new(),
        labels: None,
        class_names: Arc::new([]),
        read: ReadOptions::default(),
    };
    for path in paths {
        all.paths.extend(open_one(path)?.paths);
    }
    Ok(Arc::new(all))
}

fn open_one(path: &Path) -> Result<FileImages, DatasetError> {
    if path.is_dir() {
        let paths = list_images(path)?;
        if paths.is_empty() {
            return Err(no_images(path));
        }
        return Ok(with_classes(path, paths));
    }
    if !path.exists() {
        return Err(error(path, "the file or folder does not exist", relative_hint(path)));
    }
    let start = first_bytes(path);
    if has_image_extension(path) || begins_like_image(&start) {
        return Ok(FileImages {
            paths: vec![path.into()],
            labels: None,
            class_names: Arc::new([]),
            read: ReadOptions::default(),
        });
    }
    if start.contains(&0) {
        return Err(error(
            path,
            "this is neither an image in a supported format nor a list of images",
            "a list is a text file with one image path per line",
        ));
    }
    let list = read_list(path)?;
    let class_names: Arc<[String]> = class_names(&list).into();
    let labels = number_labels(&list, &class_names, path)?;
    let paths = list.entries.into_iter().map(|entry| entry.path).collect();
    Ok(FileImages { paths, labels, class_names, read: ReadOptions::default() })
}

/// Images of `folder`, with its subfolders as classes if every image is in one.
fn with_classes(folder: &Path, paths: Vec<PathBuf>) -> FileImages {
    let class = |path: &PathBuf| {
        let mut parts = path.strip_prefix(folder).ok()?.components();
        let first = parts.next()?.as_os_str().to_string_lossy().into_owned();
        parts.next().map(|_| first)
    };
    let classes: Option<Vec<String>> = paths.iter().map(class).collect();
    let Some(classes) = classes else {
        return FileImages { paths, labels: None, class_names: Arc::new([]), read: ReadOptions::default() };
    };
    let class_names: Vec<String> = classes.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let number = |class: &String| class_names.binary_search(class).unwrap_or_default() as u32;
    let labels = classes.iter().map(number).collect();
    FileImages { paths, labels: Some(labels), class_names: class_names.into(), read: ReadOptions::default() }
}

/// The start of a file. Read errors are left to the code that reads it as a list.
fn first_bytes(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(N_BYTES_LOOKED_AT).read_to_end(&mut start));
    read.map(|_| start).unwrap_or_default()
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
        let images = open(&["c.webp", "b", "list.txt", "a.png"]).unwrap();
        let expected = ["c.webp", "b/2.png", "b/deep/1.jpg", "c.webp", "b/2.png", "a.png"];
        assert_eq!(names(images.as_ref(), root), expected);
        assert!(images.class_names().is_empty());
        // An image without an extension is known by what is in it.
        std::fs::write(root.join("photo"), b"\x89PNG\r\n\x1a\n").unwrap();
        assert_eq!(names(open(&["photo"]).unwrap().as_ref(), root), ["photo"]);
    }

    #[test]
    fn folders_of_classes_and_lists_give_labels() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for name in ["all/dog/1.png", "all/cat/deep/2.png", "all/cat/3.png"] {
            touch(&root.join(name));
        }
        let images = open_images(&[root.join("all")]).unwrap();
        assert_eq!(images.class_names(), ["cat", "dog"]);
        assert_eq!((0..3).map(|i| images.label(i).unwrap()).collect::<Vec<_>>(), [0, 0, 1]);
        touch(&root.join("all/0.png"));
        assert_eq!(open_images(&[root.join("all")]).unwrap().label(0), None);
        std::fs::write(root.join("list"), "all/dog/1.png dog\nall/cat/3.png cat\n").unwrap();
        let images = open_images(&[root.join("list")]).unwrap();
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
