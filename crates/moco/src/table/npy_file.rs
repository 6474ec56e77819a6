//! NumPy files, and the list of paths beside them.

use std::io::{self, BufWriter, Write};

use plugin_api::Embeddings;

use super::TableError;

/// Writes an array `(N, D)` of float32, in version 1.0 of the format.
pub(super) fn write(file: impl Write, features: &Embeddings) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    file.write_all(&header(features.n(), features.d()))?;
    for value in features.values() {
        file.write_all(&value.to_le_bytes())?;
    }
    file.flush()
}

/// What comes before the values: 128 bytes, so that these are aligned for readers that map the file into memory.
fn header(n: usize, d: usize) -> Vec<u8> {
    let array = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {d}, ), }}");
    let text = format!("{array:117}\n");
    let length = text.len() as u16;
    [&b"\x93NUMPY\x01\x00"[..], &length.to_le_bytes(), text.as_bytes()].concat()
}

/// Writes the paths, one per line.
///
/// # Errors
/// If a path contains a line break, because lines would no longer match rows.
pub(super) fn names(paths: &[String]) -> Result<String, TableError> {
    paths.iter().try_for_each(|path| check_name(path))?;
    Ok(paths.iter().flat_map(|path| [path, "\n"]).collect())
}

/// Checks that `path` is a line.
pub(super) fn check_name(path: &str) -> Result<(), TableError> {
    match path.contains(['\n', '\r']) {
        true => Err(TableError::LineBreak { name: path.to_owned() }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_numpy_reads() {
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, ), }";
        let expected = [b"\x93NUMPY\x01\x00v\x00", text.as_bytes(), &[b' '; 56], b"\n"].concat();
        assert_eq!(header(2, 3), expected);
        for (n, d) in [(0, 0), (1_234_567_890_123, 2048), (usize::MAX, usize::MAX)] {
            assert_eq!(header(n, d).len(), 128);
        }
    }

    #[test]
    fn a_path_is_a_line() {
        assert_eq!(names(&["a b.png".into(), "c.png".into()]).unwrap(), "a b.png\nc.png\n");
        assert!(names(&["a\nb.png".into()]).unwrap_err().to_string().contains("line break"));
    }
}
