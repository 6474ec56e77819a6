//! Lists with columns, as spreadsheets and other programs write them.

use csv::{ByteRecord, ReaderBuilder, Trim};
use plugin_api::{DatasetError, nearest};

use super::Columns;
use super::builder::Builder;
use super::roles::{NAMES, Role, Roles};
use crate::listing::{ending_of, is_image, shown};
use crate::places::error;

/// What a column of paths is called, in lower case, the surest first.
const PATHS: [&str; 14] = [
    "path",
    "filepath",
    "file_path",
    "image_path",
    "img_path",
    "filename",
    "file_name",
    "image_name",
    "file",
    "image",
    "img",
    "image_id",
    "img_id",
    "id",
];
/// What a column of labels is called, in lower case, the surest first.
const LABELS: [&str; 9] =
    ["label", "labels", "class", "class_name", "classname", "category", "target", "species", "breed"];

/// Which columns of a table are meant.
struct Chosen {
    path: usize,
    label: Option<usize>,
    /// The column of splits, and how sure it is. It may be that of labels too, until its values are known.
    split: Option<(usize, Sureness)>,
    /// Whether the first line has the names of the columns.
    is_header: bool,
}

/// How a column of splits was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sureness {
    /// A person has named it.
    Named,
    /// It is called so.
    Called,
    /// It is called so, and is the only one beside the paths, so that it may have the labels.
    OrLabels,
}

/// Whether a file of this name is a table.
pub(super) fn is_table(file: &[u8]) -> bool {
    matches!(ending_of(file).as_str(), "csv" | "tsv")
}

/// Adds the rows of `text` to `list`.
pub(super) fn read(
    text: &[u8],
    columns: &Columns,
    split: Option<&str>,
    list: &mut Builder,
) -> Result<(), DatasetError> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).trim(Trim::All).delimiter(delimiter(list, text));
    let mut reader = builder.from_reader(text);
    let mut row = ByteRecord::new();
    let mut chosen: Option<Chosen> = None;
    let mut splits = None;
    let cannot = |list: &Builder, failure: csv::Error| {
        error(&list.file, format!("the list cannot be read: {failure}"), "check its quotation marks")
    };
    while reader.read_byte_record(&mut row).map_err(|failure| cannot(list, failure))? {
        let line = row.position().map_or(0, csv::Position::line) as u32;
        if row.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let columns = match &chosen {
            Some(chosen) => chosen,
            None => {
                let found = choose(&row, columns, split, list)?;
                let is_header = found.is_header;
                splits = found.split.map(|(column, sureness)| Splits::new(column, sureness, &row));
                chosen = Some(found);
                if is_header {
                    continue;
                }
                let Some(chosen) = &chosen else { continue };
                chosen
            }
        };
        let cell = |column: usize| row.get(column).filter(|cell| !cell.is_empty());
        let Some(path) = cell(columns.path) else {
            let reason = format!("line {line} has no path in column {}", columns.path + 1);
            return Err(error(&list.file, reason, "each line has the path of an image"));
        };
        list.push(line, path, columns.label.and_then(cell));
        if let Some(splits) = &mut splits {
            splits.push(&row, line);
        }
    }
    splits.map_or(Ok(()), |splits| splits.finish(list))
}

/// A column of splits, as it is read.
struct Splits {
    column: usize,
    sureness: Sureness,
    roles: Roles,
    /// The first value that names no split, and its line.
    odd: Option<(String, u32)>,
}

impl Splits {
    fn new(column: usize, sureness: Sureness, header: &ByteRecord) -> Self {
        let name = shown(header.get(column).unwrap_or_default());
        Self { column, sureness, roles: Roles { column: name, of_lines: Vec::new() }, odd: None }
    }

    fn push(&mut self, row: &ByteRecord, line: u32) {
        let value = row.get(self.column).unwrap_or_default();
        let role = Role::of(value);
        if role.is_none() {
            self.odd.get_or_insert_with(|| (shown(value), line));
        }
        self.roles.of_lines.push(role.unwrap_or(Role::Unsaid));
    }

    /// Gives the column to `list`. One that was only found by its name may be about something else.
    fn finish(self, list: &mut Builder) -> Result<(), DatasetError> {
        let Some((value, line)) = self.odd else {
            if self.sureness == Sureness::OrLabels {
                list.forget_labels();
            }
            list.roles = Some(self.roles);
            return Ok(());
        };
        let name = &self.roles.column;
        let use_of_it = match self.sureness {
            Sureness::Named => {
                let reason =
                    format!("line {line} has `{value}` in the column `{name}`, which names no split");
                return Err(error(&list.file, reason, "splits are called `train`, `val` and `test`"));
            }
            Sureness::Called => "is not used",
            Sureness::OrLabels => "is taken as the label",
        };
        list.notes.push(format!(
            "the column `{name}` {use_of_it}, since it has values such as `{value}`, and splits are called `train`, `val` \
             and `test`"
        ));
        Ok(())
    }
}

/// A tab in a `.tsv`; in a `.csv` a comma, or what the first line has instead: a semicolon or a tab.
fn delimiter(list: &Builder, text: &[u8]) -> u8 {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or(text);
    let name = list.file.file_name().unwrap_or_default().as_encoded_bytes();
    match (ending_of(name).as_str(), first.contains(&b','), first.contains(&b';')) {
        ("tsv", ..) => b'\t',
        (_, false, true) => b';',
        (_, false, false) if first.contains(&b'\t') => b'\t',
        _ => b',',
    }
}

fn choose(
    first: &ByteRecord,
    columns: &Columns,
    split: Option<&str>,
    list: &mut Builder,
) -> Result<Chosen, DatasetError> {
    let names: Vec<String> = first.iter().map(shown).collect();
    let column = |name: &&str| names.iter().position(|column| column.to_lowercase() == *name);
    let known = |known: &[&str]| known.iter().find_map(column);
    let told = names.join(", ");
    let split_name = split.filter(|name| !name.is_empty());
    let is_named = columns.path.is_some() || columns.label.is_some() || split_name.is_some();
    if !is_named && let Some(path) = first.iter().position(is_image) {
        return match names.len() {
            1 => Ok(Chosen { path, label: None, split: None, is_header: false }),
            2 => Ok(Chosen { path, label: Some(1 - path), split: None, is_header: false }),
            n => Err(error(
                &list.file,
                format!("it has {n} columns, and the first line does not name them: {told}"),
                "add a first line such as `path,label`",
            )),
        };
    }
    let named = |field: &str, name: &str| {
        names.iter().position(|column| column == name).ok_or_else(|| {
            let columns: Vec<&str> = names.iter().map(String::as_str).collect();
            let hint = match nearest(name, &columns) {
                Some(nearest) => format!("did you mean `{nearest}`? The columns are {told}"),
                None => format!("the columns are {told}"),
            };
            error(&list.file, format!("no column is called `{name}`, as `{field}` has it"), hint)
        })
    };
    let path = columns.path.as_ref().map(|name| named("path_column", name)).transpose()?;
    let Some(path) = path.or_else(|| known(&PATHS)) else {
        return Err(error(
            &list.file,
            format!("no column is known to have paths: {told}"),
            "name it with `path_column`, or call it `path`",
        ));
    };
    let label = columns.label.as_ref().map(|name| named("label_column", name)).transpose()?;
    let named_split = split_name.map(|name| named("split_column", name)).transpose()?;
    let found_split = || known(&NAMES).filter(|&split| split != path && Some(split) != label);
    let split = match (named_split, split) {
        (Some(split), _) => Some((split, Sureness::Named)),
        (None, Some(_)) => None,
        // Of two columns the other one has the labels, unless its values are splits.
        (None, None) if names.len() == 2 => found_split().map(|split| (split, Sureness::OrLabels)),
        (None, None) => found_split().map(|split| (split, Sureness::Called)),
    };
    let is_free = |label: &usize| {
        *label != path && split.is_none_or(|(split, sure)| split != *label || sure == Sureness::OrLabels)
    };
    let other = (names.len() == 2).then(|| 1 - path).filter(is_free);
    let label = label.or_else(|| known(&LABELS).filter(is_free)).or(other);
    if label.is_none() && names.len() > 1 + usize::from(split.is_some()) {
        list.notes.push(format!("no column is known to have labels: {told}; name it with `label_column`"));
    }
    Ok(Chosen { path, label, split, is_header: true })
}
