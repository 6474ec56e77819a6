//! The labels of a file's rows.

use std::collections::HashMap;

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
    /// `n` rows without a label.
    pub(super) fn none(n: u32) -> Self {
        Self { of_rows: vec![None; n as usize], names: Vec::new() }
    }

    /// Reads the column of `label`.
    ///
    /// # Errors
    /// If it is damaged, or its values are no labels: why.
    pub(super) fn read(column: &Column, label: &Label, metadata: &ParquetMetaData) -> Result<Self, String> {
        let mut labels = Numbering::default();
        let number = |value: i64| name_of(value, &label.names);
        match metadata.file_metadata().schema_descr().column(label.column).physical_type() {
            Type::INT32 => column.read_all::<Int32Type>(&mut |value| {
                labels.push(value.map(i32::to_le_bytes).as_ref(), || number(value.unwrap_or_default().into()))
            })?,
            Type::INT64 => column.read_all::<Int64Type>(&mut |value| {
                labels.push(value.map(i64::to_le_bytes).as_ref(), || number(value.unwrap_or_default()))
            })?,
            _ => column.read_all::<ByteArrayType>(&mut |value| {
                let text = value.as_ref().map(|value| value.data());
                if let Some(n) = text.map(<[u8]>::len).filter(|n| *n > MAX_LABEL_BYTES) {
                    return Err(format!("a label has {n} bytes, more than {MAX_LABEL_BYTES}"));
                }
                labels.push(text, || Ok(text.map(|text| String::from_utf8_lossy(text).into_owned())))
            })?,
        }
        Ok(labels.labels)
    }
}

/// Labels as they come, and the number of each value.
#[derive(Default)]
struct Numbering {
    labels: FileLabels,
    numbers: HashMap<Vec<u8>, Option<u32>>,
    n_name_bytes: usize,
}

impl Numbering {
    /// Adds a row with `value`, whose class has the name that `name` gives, if it is one.
    fn push(
        &mut self,
        value: Option<impl AsRef<[u8]>>,
        name: impl FnOnce() -> Result<Option<String>, String>,
    ) -> Result<(), String> {
        let Some(value) = value else {
            self.labels.of_rows.push(None);
            return Ok(());
        };
        let value = value.as_ref();
        if let Some(&number) = self.numbers.get(value) {
            self.labels.of_rows.push(number);
            return Ok(());
        }
        let name = name()?;
        self.n_name_bytes += value.len() + name.as_ref().map_or(0, String::len) + size_of::<String>();
        if self.n_name_bytes > MAX_NAME_BYTES {
            return Err("it has too many classes: its values are no labels".into());
        }
        let number = name.map(|name| {
            self.labels.names.push(name);
            self.labels.names.len() as u32 - 1
        });
        self.numbers.insert(value.to_vec(), number);
        self.labels.of_rows.push(number);
        Ok(())
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
