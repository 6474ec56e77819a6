//! Apache Parquet files. The crate takes a minute or more to compile, so support is a Cargo feature.

#[cfg(feature = "parquet")]
pub(super) use self::built_in::write;

/// Whether this build can write Parquet.
pub(super) const IS_BUILT_IN: bool = cfg!(feature = "parquet");

/// Never called, see [`IS_BUILT_IN`].
#[cfg(not(feature = "parquet"))]
pub(super) fn write(_: impl std::io::Write + Send, _: &super::FeatureTable) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(feature = "parquet")]
mod built_in {
    use std::io::{self, Write};
    use std::sync::Arc;

    use parquet::basic::{LogicalType, Repetition, Type as Physical};
    use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
    use parquet::errors::ParquetError;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::types::{Type, TypePtr};

    use super::super::{FeatureTable, column};

    /// Rows per row group, which bounds the memory of a reader.
    const GROUP_ROWS: usize = 1 << 16;

    /// Writes a column `path` and one float32 column per feature.
    pub(in super::super) fn write(file: impl Write + Send, table: &FeatureTable) -> io::Result<()> {
        fill(file, table).map_err(io::Error::other)
    }

    fn fill(file: impl Write + Send, table: &FeatureTable) -> Result<(), ParquetError> {
        let (n, d) = (table.features.n(), table.features.d());
        // Hardly any two features are equal, so a dictionary would only cost time.
        let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
        let mut writer = SerializedFileWriter::new(file, schema(d)?, Arc::new(properties))?;
        for first in (0..n).step_by(GROUP_ROWS) {
            let group = first..(first + GROUP_ROWS).min(n);
            let mut row_group = writer.next_row_group()?;
            let paths: Vec<ByteArray> =
                table.paths[group.clone()].iter().map(|path| path.as_str().into()).collect();
            if let Some(mut column) = row_group.next_column()? {
                column.typed::<ByteArrayType>().write_batch(&paths, None, None)?;
                column.close()?;
            }
            let values = &table.features.values()[group.start * d..group.end * d];
            for feature in 0..d {
                let values: Vec<f32> = values.iter().skip(feature).step_by(d).copied().collect();
                if let Some(mut column) = row_group.next_column()? {
                    column.typed::<FloatType>().write_batch(&values, None, None)?;
                    column.close()?;
                }
            }
            row_group.close()?;
        }
        writer.close()?;
        Ok(())
    }

    fn schema(d: usize) -> Result<TypePtr, ParquetError> {
        let field = |name: &str, physical, logical| {
            let field = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(logical)
                .build();
            field.map(Arc::new)
        };
        let path = field("path", Physical::BYTE_ARRAY, Some(LogicalType::String));
        let features = (0..d).map(|feature| field(&column(feature), Physical::FLOAT, None));
        let fields = std::iter::once(path).chain(features).collect::<Result<Vec<_>, _>>()?;
        Type::group_type_builder("features").with_fields(fields).build().map(Arc::new)
    }
}
