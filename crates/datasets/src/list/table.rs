//! Lists with columns, as spreadsheets and other programs write them.

use csv::{ByteRecord, ReaderBuilder, Trim};
use plugin_api::{DatasetError, nearest};

use super::Columns;
use super::builder::Builder;
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
    /// Whether the first line has the names of the columns.
    is_header: bool,
}

/// Whether a file of this name is a table.
pub(super) fn is_table(file: &[u8]) -> bool {
    matches!(ending_of(file).as_str(), "csv" | "tsv")
}

/// Adds the rows of `text` to `list`.
pub(super) fn read(text: &[u8], columns: &Columns, list: &mut Builder) -> Result<(), DatasetError> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).trim(Trim::All).delimiter(delimiter(list, text));
    let mut reader = builder.from_reader(text);
    let mut row = ByteRecord::new();
    let mut chosen: Option<Chosen> = None;
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
                let found = choose(&row, columns, list)?;
                let is_header = found.is_header;
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
        list.push(line, path, columns.label.and_then(cell))?;
    }
    Ok(())
}

/// A tab in a `.tsv`; in a `.csv` a comma, or a semicolon if the first line has no comma.
fn delimiter(list: &Builder, text: &[u8]) -> u8 {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or(text);
    let name = list.file.file_name().unwrap_or_default().as_encoded_bytes();
    match (ending_of(name).as_str(), first.contains(&b','), first.contains(&b';')) {
        ("tsv", ..) => b'\t',
        (_, false, true) => b';',
        _ => b',',
    }
}

fn choose(first: &ByteRecord, columns: &Columns, list: &mut Builder) -> Result<Chosen, DatasetError> {
    let names: Vec<String> = first.iter().map(shown).collect();
    let column = |name: &&str| names.iter().position(|column| column.to_lowercase() == *name);
    let known = |known: &[&str]| known.iter().find_map(column);
    let told = names.join(", ");
    let is_named = columns.path.is_some() || columns.label.is_some();
    if !is_named && let Some(path) = first.iter().position(is_image) {
        return match names.len() {
            1 => Ok(Chosen { path, label: None, is_header: false }),
            2 => Ok(Chosen { path, label: Some(1 - path), is_header: false }),
            n => Err(error(
                &list.file,
                format!("it has {n} columns, and the first line does not name them: {told}"),
                "add a first line such as `path,label`",
            )),
        };
    }
    let named = |field: &str, name: &String| {
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
    let other = (names.len() == 2).then(|| 1 - path);
    let label = label.or_else(|| known(&LABELS).filter(|&label| label != path)).or(other);
    if label.is_none() && names.len() > 1 {
        list.notes.push(format!("no column is known to have labels: {told}; name it with `label_column`"));
    }
    Ok(Chosen { path, label, is_header: true })
}
