//! CSV files.

use std::io::{self, Write};

use run_store::path_cell;

use super::{FeatureTable, column};

/// Writes a header, then one line per image. Each value is the shortest text that reads back as the same float32.
pub(super) fn write(file: impl Write, table: &FeatureTable) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(file);
    writer.write_field("path")?;
    for feature in 0..table.features.d() {
        writer.write_field(column(feature))?;
    }
    writer.write_record(None::<&[u8]>)?;
    for (path, values) in table.paths.iter().zip(table.features.rows()) {
        writer.write_field(&*path_cell(path))?;
        for value in values {
            writer.write_field(value.to_string())?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.flush()
}
