//! NumPy's format, and the paths beside it.

use std::io::{self, BufWriter, Write};

use moco::Embeddings;
use npyz::WriterBuilder as _;

use crate::failure::Failure;

/// Writes an array `(N, D)` of float32.
pub(super) fn write(file: impl Write, features: &Embeddings) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[features.n() as u64, features.d() as u64])
        .writer(&mut file)
        .begin_nd()?;
    writer.extend(features.values().iter().copied())?;
    writer.finish()?;
    file.flush()
}

/// The paths, a line each.
///
/// # Errors
/// If a path has a line break in it, for then lines would not be rows.
pub(super) fn names(paths: &[String]) -> Result<String, Failure> {
    if let Some(path) = paths.iter().find(|path| path.contains(['\n', '\r'])) {
        return Err(Failure::new(
            format!("{path:?} has a line break in it, and the list of paths has one a line"),
            "write `.csv` or `.parquet`, or rename the file",
        ));
    }
    Ok(paths.iter().flat_map(|path| [path, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_line() {
        assert_eq!(names(&["a b.png".into(), "c.png".into()]).unwrap(), "a b.png\nc.png\n");
        assert!(names(&["a\nb.png".into()]).unwrap_err().to_string().contains("line break"));
    }
}
