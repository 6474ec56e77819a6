//! Lists of images, as the dataset `list-file` reads them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use moco::data::DataSource;
use plugin_api::{Images, Split};
use run_store::{Fill, write_together};

use crate::failure::Failure;
use crate::new_file::{self, Overwrite};
use crate::{notes, text};

/// Lists that will be written: one of the training images, and one of the test images if there are any.
pub(crate) struct ImageList {
    train: PathBuf,
    test: Option<PathBuf>,
    overwrite: Overwrite,
    /// Images that cannot stand in a list.
    cannot: BTreeSet<usize>,
}

impl ImageList {
    /// Checks that `source` can be listed and that its lists can be written, before any image is read.
    ///
    /// # Errors
    /// If no image is a file of its own, or a list exists and must not be overwritten.
    pub(crate) fn plan(file: &Path, source: &DataSource, overwrite: Overwrite) -> Result<Self, Failure> {
        let train = file.to_owned();
        let test = source.splits.test.as_ref().map(|_| test_name(file));
        if file.extension().is_some_and(|it| it.eq_ignore_ascii_case("csv") || it.eq_ignore_ascii_case("tsv"))
        {
            return Err(Failure::usage(
                format!("`{}` would be read as a table, and this list has one path a line", file.display()),
                "choose another ending, such as `.txt`",
            ));
        }
        for list in std::iter::once(&train).chain(&test) {
            new_file::check(list, overwrite)?;
        }
        let cannot: BTreeSet<usize> =
            (0..source.n_images()).filter(|&image| !has_line(source, image)).collect();
        if let Some(&first) = cannot.first() {
            let name = source.name(first);
            if cannot.len() == source.n_images() {
                return Err(Failure::new(
                    format!(
                        "these images are not files of their own, so they cannot be listed: {name} and others"
                    ),
                    "leave out `--list`; it is for folders and lists of image files",
                ));
            }
            notes::print(&[format!(
                "{} cannot be listed, because of special characters in the name or because it is no file: {name}",
                text::count(cannot.len(), "image")
            )]);
        }
        Ok(Self { train, test, overwrite, cannot })
    }

    /// Writes the images whose numbers are `kept`, with their labels, and gives the lists with their lengths.
    ///
    /// # Errors
    /// If a list cannot be written. Then none is new.
    pub(crate) fn write(self, source: &DataSource, kept: &[usize]) -> Result<Vec<(PathBuf, usize)>, Failure> {
        let mut planned = Vec::new();
        let lists = [(Split::Train, Some(self.train)), (Split::Test, self.test)];
        for (split, file) in lists {
            let Some(file) = file else { continue };
            let mut lines = String::new();
            let mut n = 0;
            for &image in kept.iter().filter(|image| !self.cannot.contains(image)) {
                let (of, images, index) = source.image(image);
                if of == split {
                    lines += &line(images, index)?;
                    n += 1;
                }
            }
            // Another command may have written a file there in the meantime.
            new_file::check(&file, self.overwrite)?;
            planned.push((file, n, lines));
        }
        let files = planned.iter().map(|(file, _, lines)| {
            let fill: Fill<'_> = Box::new(move |file| file.write_all(lines.as_bytes()));
            (file.as_path(), fill)
        });
        write_together(files.collect())?;
        Ok(planned.into_iter().map(|(file, n, _)| (file, n)).collect())
    }
}

/// Whether a line of a list can name the image: its name, as messages have it, is the path of a file.
fn has_line(source: &DataSource, image: usize) -> bool {
    let name = source.name(image);
    !name.contains(['\n', '\r', '\t']) && Path::new(&name).is_file()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_list_has_a_name_of_its_own() {
        assert_eq!(test_name(Path::new("d/clean.txt")), Path::new("d/clean-test.txt"));
        assert_eq!(test_name(Path::new("clean")), Path::new("clean-test"));
    }
}
