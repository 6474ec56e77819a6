//! Images listed in a file.

mod builder;
mod label_file;
mod list_file;
mod roles;
mod table;
mod text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plugin_api::DatasetError;

use self::builder::Builder;
use self::roles::Roles;
use crate::decode::{read_beginning, read_up_to};
use crate::images::{Labels, Part};
use crate::listing::{bytes_of, shown_path};
use crate::places::{error, relative_hint};

pub(crate) use self::builder::ListedLabels;
pub(crate) use self::label_file::{LabelFile, number_both};
pub use self::list_file::{ListFile, ListFileConfig};

/// The images that a file lists: at least one, and all or none of them have labels.
pub(crate) struct List {
    pub(crate) file: PathBuf,
    /// The number of an entry is its line.
    pub(crate) part: Part,
    labels: Option<ListedLabels>,
    /// The split of each image, where a column says it.
    roles: Option<Roles>,
    notes: Vec<String>,
}

/// Which columns of a table have paths and labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub(crate) path: Option<String>,
    pub(crate) label: Option<String>,
}

impl List {
    pub(crate) fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// What is odd about the list, one sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let file = shown_path(&self.file);
        let notes = self.notes.iter().cloned().chain(self.roles.as_ref().and_then(not_divided));
        notes.map(|note| format!("{file}: {note}")).collect()
    }
}

/// That a list is taken as a whole, whose column says otherwise.
fn not_divided(roles: &Roles) -> Option<String> {
    roles.divide().then(|| {
        format!("the column `{}` is not used here: all lines are taken, of whatever split", roles.column)
    })
}

/// More than the paths of a hundred million images.
const MAX_LIST_BYTES: u64 = 1 << 34;
/// Of other files than texts, a few bytes tell what they are.
const N_BYTES_LOOKED_AT: usize = 4096;

/// Reads the list `file`.
///
/// # Errors
/// If it cannot be read or lists no images, or none of some of them exists.
pub(crate) fn read_list(file: &Path, columns: &Columns) -> Result<List, DatasetError> {
    read_divided(file, columns, None)
}

/// [`read_list`], where the column `split` says which split each line belongs to: by default one that is called so, with an empty
/// name none.
///
/// # Errors
/// As for [`read_list`]; if there is no such column, or it names no splits.
fn read_divided(file: &Path, columns: &Columns, split: Option<&str>) -> Result<List, DatasetError> {
    parse(file, columns, split)?.finish()
}

fn parse(file: &Path, columns: &Columns, split: Option<&str>) -> Result<Builder, DatasetError> {
    let cannot = |reason: String| {
        let hint = if file.exists() {
            "check that it is a text file that can be read".into()
        } else {
            relative_hint(file)
        };
        error(file, format!("the list cannot be read: {reason}"), hint)
    };
    let check_text = |bytes: &[u8]| {
        // Other programs save text in pairs of bytes.
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
            return Err(error(file, "the list is no text in UTF-8", "save it as UTF-8"));
        }
        Ok(())
    };
    // What is something else, or a hole of any length, is not read whole.
    check_text(&read_beginning(file, N_BYTES_LOOKED_AT).map_err(cannot)?)?;
    let bytes = read_up_to(file, MAX_LIST_BYTES).map_err(cannot)?;
    check_text(&bytes)?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let is_table = table::is_table(bytes_of(file.as_os_str()).unwrap_or_default());
    let mut builder = Builder::new(file, is_table);
    if is_table {
        table::read(bytes, columns, split, &mut builder)?;
    } else {
        text::read(bytes, &mut builder)?;
    }
    Ok(builder)
}

/// The labels of both lists, numbered together: in the order of their names, which is numeric if all of them are whole
/// numbers.
pub(crate) fn number_labels(train: &List, test: Option<&List>) -> (Labels, Option<Labels>) {
    match (&train.labels, test.map(|test| test.labels.as_ref())) {
        (None, None) => (Labels::none(), None),
        (None, Some(_)) => (Labels::none(), Some(Labels::none())),
        (Some(train), test) => {
            let (train, numbered) = number_both(train, test.flatten());
            (train, numbered.or_else(|| test.map(|_| Labels::none())))
        }
    }
}

/// Whole numbers by their value, other names by their letters.
pub(crate) fn in_order(names: BTreeSet<String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    if names.iter().all(|name| name.parse::<u64>().is_ok()) {
        // The sort keeps the order of `7` and `07`, which are two names.
        names.sort_by_key(|name| name.parse::<u64>().unwrap_or_default());
    }
    names
}
