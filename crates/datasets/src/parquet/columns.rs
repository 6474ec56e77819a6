//! Which columns of a Parquet file have images, their names, and labels.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

use crate::archive::LABEL_FIELDS;

/// Columns of images, if several could be.
const IMAGE_FIELDS: [&str; 5] = ["image", "img", "jpg", "png", "webp"];

/// The numbers of columns in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// The bytes of image files.
    pub(super) image: usize,
    /// What these files were called.
    pub(super) path: Option<usize>,
    pub(super) label: Option<Label>,
}

/// A column with labels.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) column: usize,
    /// What the numbers stand for; empty if the file does not say.
    pub(super) names: Vec<String>,
}

impl Columns {
    /// The columns of a file whose names are `image` and `label`, or those that it surely has.
    ///
    /// # Errors
    /// If there is no such column, or which one is open: why, and what to do.
    pub(super) fn find(
        file: &FileMetaData,
        image: Option<&str>,
        label: Option<&str>,
    ) -> Result<Self, (String, String)> {
        let leaves = file.schema_descr().columns();
        let numbered = || leaves.iter().map(|leaf| &**leaf).enumerate();
        let told = || {
            let mut names: Vec<String> = numbered().map(|(_, leaf)| format!("`{}`", name(leaf))).collect();
            names.dedup();
            names.join(", ")
        };
        let of_images: Vec<(usize, &ColumnDescriptor)> =
            numbered().filter(|(_, leaf)| has_files(leaf)).collect();
        let found = match image {
            Some(image) => of_images.iter().find(|(_, leaf)| name(leaf) == image).ok_or_else(|| {
                (
                    format!("it has no column `{image}` with the bytes of files, only {}", told()),
                    "`image` is the name of a column of binary values, or of structures with `bytes`".into(),
                )
            })?,
            None => the_one(&of_images, told)?,
        };
        let (number, leaf) = *found;
        let beside = |(_, other): &(usize, &ColumnDescriptor)| {
            name(other) == name(leaf)
                && other.max_rep_level() == 0
                && matches!(other.path().parts(), [_, field] if field == "path")
        };
        let path = numbered().find(|column| beside(column) && is_text(column.1)).map(|(number, _)| number);
        let labels: Vec<(usize, &ColumnDescriptor)> =
            numbered().filter(|(other, leaf)| *other != number && has_labels(leaf)).collect();
        let label = match label {
            Some(label) => Some(labels.iter().find(|(_, leaf)| name(leaf) == label).ok_or_else(|| {
                let reason = format!("it has no column `{label}` of numbers or text, only {}", told());
                (reason, "`label` is the name of the column with the class of each image".into())
            })?),
            None => {
                LABEL_FIELDS.iter().find_map(|field| labels.iter().find(|(_, leaf)| name(leaf) == *field))
            }
        };
        let label = label.map(|&(column, leaf)| Label { column, names: names_of_classes(file, name(leaf)) });
        Ok(Self { image: number, path, label })
    }
}

/// The column of images, if one of `of_images` surely is.
fn the_one<'a, 'b>(
    of_images: &'a [(usize, &'b ColumnDescriptor)],
    told: impl Fn() -> String,
) -> Result<&'a (usize, &'b ColumnDescriptor), (String, String)> {
    let of_structures: Vec<_> = of_images.iter().filter(|(_, leaf)| leaf.path().parts().len() == 2).collect();
    let by_name =
        || IMAGE_FIELDS.iter().find_map(|field| of_images.iter().find(|(_, leaf)| name(leaf) == *field));
    match (of_images, &of_structures[..]) {
        ([], _) => Err((
            format!("it has no column with the bytes of files, only {}", told()),
            "a column of images has binary values, or structures with `bytes`".into(),
        )),
        ([one], _) => Ok(one),
        (_, structures) => by_name().or(only(structures)).ok_or_else(|| {
            let names: Vec<String> = of_images.iter().map(|(_, leaf)| format!("`{}`", name(leaf))).collect();
            (
                format!("it has {} columns that may be images: {}", names.len(), names.join(", ")),
                format!("name one: `image: \"{}\"`", name(of_images[0].1)),
            )
        }),
    }
}

fn only<'a, 'b>(
    structures: &[&'a (usize, &'b ColumnDescriptor)],
) -> Option<&'a (usize, &'b ColumnDescriptor)> {
    if let [one] = structures { Some(one) } else { None }
}

/// The name of the column that a leaf of the schema is in.
fn name(leaf: &ColumnDescriptor) -> &str {
    leaf.path().parts().first().map_or("", String::as_str)
}

fn is_text(leaf: &ColumnDescriptor) -> bool {
    leaf.physical_type() == Type::BYTE_ARRAY
        && (leaf.converted_type() == ConvertedType::UTF8
            || matches!(leaf.logical_type_ref(), Some(LogicalType::String)))
}

/// Binary values, or the `bytes` of structures; no lists.
fn has_files(leaf: &ColumnDescriptor) -> bool {
    let is_place = match leaf.path().parts() {
        [_] => true,
        [_, field] => field == "bytes",
        _ => false,
    };
    is_place && leaf.physical_type() == Type::BYTE_ARRAY && !is_text(leaf) && leaf.max_rep_level() == 0
}

fn has_labels(leaf: &ColumnDescriptor) -> bool {
    let is_number = matches!(leaf.physical_type(), Type::INT32 | Type::INT64);
    leaf.path().parts().len() == 1 && leaf.max_rep_level() == 0 && (is_number || is_text(leaf))
}

/// The names of classes that the `datasets` library of Hugging Face keeps in a file: `info.features.label.names`.
fn names_of_classes(file: &FileMetaData, label: &str) -> Vec<String> {
    let entries = file.key_value_metadata();
    let text = entries.into_iter().flatten().find(|entry| entry.key == "huggingface");
    let json = text.and_then(|entry| serde_json::from_str(entry.value.as_deref()?).ok());
    let json: serde_json::Value = json.unwrap_or_default();
    let names =
        json.pointer("/info/features").and_then(|features| features.get(label)?.get("names")?.as_array());
    let names = names.map(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
    names.flatten().unwrap_or_default()
}
