//! Files that are datasets, told by the endings of their names.

use std::path::{Path, PathBuf};

use super::DatasetConfig;

/// Files that a dataset plugin takes, told by the endings of their names: `moco train FILE` then needs no other word, and
/// messages name the plugin. Submitted beside the plugin.
///
/// ```
/// plugin_api::inventory::submit! {
///     plugin_api::DatasetFiles {
///         dataset: "hdf5",
///         field: "path",
///         endings: &["h5", "hdf5"],
///         what: "an HDF5 file",
///         takes_several: false,
///     }
/// }
///
/// use std::path::{Path, PathBuf};
/// let path = PathBuf::from("photos.H5");
/// let files = plugin_api::DatasetFiles::of(&path).unwrap();
/// assert_eq!(files.dataset, "hdf5");
/// assert_eq!(files.config(&[path]).config(), r#"(path: "photos.H5")"#);
/// assert!(plugin_api::DatasetFiles::of(Path::new("photos.jpg")).is_none());
/// ```
#[derive(Debug)]
pub struct DatasetFiles {
    /// The name of the plugin.
    pub dataset: &'static str,
    /// The field of its config that has the path.
    pub field: &'static str,
    /// The endings, in lower case and without a dot; those of other plugins are theirs.
    pub endings: &'static [&'static str],
    /// What such a file is, with its article: `a pack`.
    pub what: &'static str,
    /// Whether `field` takes a list of paths, too.
    pub takes_several: bool,
}

inventory::collect!(DatasetFiles);

impl DatasetFiles {
    /// All that are registered, by the names of their plugins.
    pub fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_by_key(|files| (files.dataset, files.endings));
        all
    }

    /// What a file at `path` is by the ending of its name; capital letters are as good as small ones. Nothing is read.
    pub fn of(path: &Path) -> Option<&'static Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::all().into_iter().find(|files| files.endings.contains(&&*ending))
    }

    /// The dataset of `paths` as a pipeline has it: of a list if there are several.
    pub fn config(&self, paths: &[PathBuf]) -> DatasetConfig {
        let quoted: Vec<String> =
            paths.iter().map(|path| format!("{:?}", path.display().to_string())).collect();
        let value = match &*quoted {
            [path] => path.clone(),
            paths => format!("[{}]", paths.join(", ")),
        };
        DatasetConfig::new(self.dataset, format!("({}: {value})", self.field))
    }

    /// By what all of them are told, for a hint: `.zip or .tar is an archive, .pack a pack`.
    pub fn told() -> String {
        let told = |(i, files): (usize, &&Self)| {
            let endings: Vec<String> = files.endings.iter().map(|ending| format!(".{ending}")).collect();
            let endings = match endings.split_last() {
                Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
                _ => endings.concat(),
            };
            format!("{endings}{} {}", if i == 0 { " is" } else { "" }, files.what)
        };
        Self::all().iter().enumerate().map(told).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    inventory::submit! {
        DatasetFiles { dataset: "a", field: "path", endings: &["aa", "ab"], what: "an archive", takes_several: true }
    }
    inventory::submit! {
        DatasetFiles { dataset: "b", field: "file", endings: &["bb"], what: "a box", takes_several: false }
    }

    #[test]
    fn a_file_is_told_by_the_ending_of_its_name() {
        let of = |path: &str| DatasetFiles::of(Path::new(path)).map(|files| files.dataset);
        assert_eq!(["x.aa", "x.y.AB", "../x.bb"].map(of), [Some("a"), Some("a"), Some("b")]);
        assert_eq!(["x", "aa", ".aa", "x.aa.gz"].map(of), [None; 4]);
        assert_eq!(DatasetFiles::told(), ".aa or .ab is an archive, .bb a box");
    }

    #[test]
    fn a_path_stands_in_its_field_and_several_in_a_list() {
        let paths = ["it's \"x\".aa", "y.aa"].map(PathBuf::from);
        let files = DatasetFiles::of(&paths[0]).unwrap();
        assert_eq!(files.config(&paths[1..]).config(), r#"(path: "y.aa")"#);
        assert_eq!(files.config(&paths).config(), r#"(path: ["it's \"x\".aa", "y.aa"])"#);
    }
}
