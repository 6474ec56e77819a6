//! Lists of one `path` or `path label` a line.

use plugin_api::DatasetError;

use super::builder::Builder;
use crate::listing::is_image;
use crate::places::error;

/// Adds the lines of `text` to `list`.
pub(super) fn read(text: &[u8], list: &mut Builder) -> Result<(), DatasetError> {
    let mut is_first = true;
    for (line, content) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let content = content.trim_ascii();
        if content.is_empty() || content.starts_with(b"#") {
            continue;
        }
        if std::mem::take(&mut is_first) && is_json(content) {
            return Err(error(
                &list.file,
                "these are lines of JSON, and no list of paths",
                "write a table that ends in `.csv`, with the columns `path` and `label`",
            ));
        }
        let (path, label) = split_line(content);
        list.push(line, path, label);
    }
    Ok(())
}

fn is_json(line: &[u8]) -> bool {
    line.starts_with(b"{\"") || line == b"{" || line == b"[" || line.starts_with(b"[{")
}

fn split_line(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    if is_image(line) {
        return (line, None);
    }
    let last = |separator: u8| line.iter().rposition(|&byte| byte == separator);
    match last(b'\t').or_else(|| last(b' ')) {
        Some(at) => (line[..at].trim_ascii_end(), Some(line[at + 1..].trim_ascii_start())),
        None => (line, None),
    }
}
