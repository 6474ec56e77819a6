//! Lists of images, as the dataset `list-file` reads them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use moco::data::DataSource;
use plugin_api::{Images, Split};
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::new_file::{self, Overwrite};

/// Lists that will be written: one of the training images, and one of the test images if there are any.
pub(crate) struct ImageList {
    train: PathBuf,
    test: Option<PathBuf>,
    overwrite: Overwrite,
}

impl ImageList {
    /// Checks that `source` can be listed and that its lists can be written, before any image is read.
    ///
    /// # Errors
    /// If an image is no file of its own, or its name cannot stand in a list; if a list exists and must not be overwritten.
    pub(crate) fn plan(file: &Path, source: &DataSource, overwrite: Overwrite) -> Result<Self, Failure> {
        let train = file.to_owned();
        let test = source.splits.test.as_ref().map(|_| test_name(file));
        for list in std::iter::once(&train).chain(&test) {
            new_file::check(list, overwrite)?;
        }
        for image in 0..source.n_images() {
            let name = source.name(image);
            if !Path::new(&name).is_file() {
                return Err(Failure::new(
                    format!("{name} is not a file of its own, so it cannot be listed"),
                    "leave out `--list`; it is for folders and lists of image files",
                ));
            }
            if name.contains(['\n', '\r', '\t']) {
                return Err(Failure::new(
                    format!(
                        "the name {name:?} has a line break or a tab in it, and a list has one path a line"
                    ),
                    "rename the file",
                ));
            }
        }
        Ok(Self { train, test, overwrite })
    }

    /// Writes the images whose numbers are `kept`, with their labels, and gives the lists with their lengths.
    ///
    /// # Errors
    /// If a list cannot be written. Each is whole or not there.
    pub(crate) fn write(self, source: &DataSource, kept: &[usize]) -> Result<Vec<(PathBuf, usize)>, Failure> {
        let mut written = Vec::new();
        let lists = [(Split::Train, Some(self.train)), (Split::Test, self.test)];
        for (split, file) in lists {
            let Some(file) = file else { continue };
            let mut lines = String::new();
            let mut n = 0;
            for &image in kept {
                let (of, images, index) = source.image(image);
                if of == split {
                    lines += &line(images, index)?;
                    n += 1;
                }
            }
            write_whole(&file, &lines, self.overwrite)?;
            written.push((file, n));
        }
        Ok(written)
    }
}

/// `clean.txt` becomes `clean-test.txt`.
fn test_name(file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let extension = file.extension().map(|it| format!(".{}", it.to_string_lossy())).unwrap_or_default();
    file.with_file_name(format!("{stem}-test{extension}"))
}

/// The path is absolute: a list's own folder is where relative paths would start.
fn line(images: &dyn Images, index: usize) -> Result<String, Failure> {
    let path = std::path::absolute(images.name(index))?;
    let label = images.label(index).map(|label| format!("\t{}", images.class_names()[label as usize]));
    Ok(format!("{}{}\n", path.display(), label.unwrap_or_default()))
}

fn write_whole(file: &Path, text: &str, overwrite: Overwrite) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error| Failure::plain(format!("`{}` cannot be written: {error}", file.display()));
    let mut builder = tempfile::Builder::new();
    // As for any new file, the user's mask decides who may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary: NamedTempFile = builder.tempfile_in(folder).map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    let done = match overwrite {
        Overwrite::Yes => temporary.persist(file),
        Overwrite::No | Overwrite::Never => temporary.persist_noclobber(file),
    };
    done.map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_list_has_a_name_of_its_own() {
        assert_eq!(test_name(Path::new("d/clean.txt")), Path::new("d/clean-test.txt"));
        assert_eq!(test_name(Path::new("clean")), Path::new("clean-test"));
    }
}
