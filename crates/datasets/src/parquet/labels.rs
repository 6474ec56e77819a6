//! The labels of a file's rows.

use std::collections::HashMap;
use std::hash::Hash;

use parquet::basic::Type;
use parquet::data_type::{ByteArrayType, Int32Type, Int64Type};
use parquet::file::metadata::ParquetMetaData;

use super::column::Column;
use super::columns::Label;

/// More than the names of any classes take.
const MAX_NAME_BYTES: usize = 64 << 20;
/// What is longer is a text about an image, and no class.
const MAX_LABEL_BYTES: usize = 1 << 10;
/// How `datasets` marks a row without a label.
const NO_LABEL: i64 = -1;

/// The labels of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileLabels {
    /// Which of `names` each row has; `None` for rows without a label.
    pub(super) of_rows: Vec<Option<u32>>,
    pub(super) names: Vec<String>,
}

impl FileLabels {
    /// Reads the column of `label`.
    ///
    /// # Errors
    /// If it is damaged, or its values are no labels: why.
    pub(super) fn read(column: &Column, label: &Label, metadata: &ParquetMetaData) -> Result<Self, String> {
        let leaf = metadata.file_metadata().schema_descr().column(label.column);
        match leaf.physical_type() {
            Type::INT32 => {
                let name = |&number: &i32| name_of(i64::from(number), &label.names);
                Self::collect((0..column.n_pages()).map(|page| column.read::<Int32Type>(page)), name)
            }
            Type::INT64 => {
                let name = |&number: &i64| name_of(number, &label.names);
                Self::collect((0..column.n_pages()).map(|page| column.read::<Int64Type>(page)), name)
            }
            _ => {
                let pages = (0..column.n_pages()).map(|page| {
                    let values = column.read::<ByteArrayType>(page)?;
                    Ok(values.into_iter().map(|value| Some(value?.data().to_vec())).collect())
                });
                Self::collect(pages, |text: &Vec<u8>| {
                    if text.len() > MAX_LABEL_BYTES {
                        return Err(format!("a label has {} bytes, more than {MAX_LABEL_BYTES}", text.len()));
                    }
                    Ok(Some(String::from_utf8_lossy(text).into_owned()))
                })
            }
        }
    }

    fn collect<V: Eq + Hash>(
        pages: impl Iterator<Item = Result<Vec<Option<V>>, String>>,
        name: impl Fn(&V) -> Result<Option<String>, String>,
    ) -> Result<Self, String> {
        let mut labels = Self::default();
        let mut numbers: HashMap<V, Option<u32>> = HashMap::new();
        let mut n_name_bytes = 0;
        for page in pages {
            for value in page? {
                let Some(value) = value else {
                    labels.of_rows.push(None);
                    continue;
                };
                let number = match numbers.get(&value) {
                    Some(&number) => number,
                    None => {
                        let name = name(&value)?;
                        n_name_bytes += name.as_ref().map_or(0, String::len) + size_of::<V>();
                        if n_name_bytes > MAX_NAME_BYTES {
                            return Err("it has too many classes: its values are no labels".into());
                        }
                        let number = name.map(|name| {
                            labels.names.push(name);
                            labels.names.len() as u32 - 1
                        });
                        numbers.insert(value, number);
                        number
                    }
                };
                labels.of_rows.push(number);
            }
        }
        Ok(labels)
    }
}

/// The name of class `number`, which is the number itself where the file has no names; `None` where there is no label.
fn name_of(number: i64, names: &[String]) -> Result<Option<String>, String> {
    if number == NO_LABEL {
        return Ok(None);
    }
    if names.is_empty() {
        return Ok(Some(number.to_string()));
    }
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    name.cloned().map(Some).ok_or_else(|| format!("it has the label {number} of {} classes", names.len()))
}
