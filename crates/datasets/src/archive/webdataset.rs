//! Labels that stand beside the images of an archive: `key.cls` or `key.json` beside `key.jpg`, the layout of WebDataset.

use std::collections::HashMap;

use plugin_api::DatasetError;

use super::Archive;
use crate::classes::listed;
use crate::listing::{Entries, ending_of, file_name, path_of, shown, shown_path};
use crate::places::error;

/// Files with more bytes are no labels.
const MAX_LABEL_BYTES: usize = 1 << 20;
/// Fields of a `.json` file that are looked for, the surest first.
pub(crate) const LABEL_FIELDS: [&str; 5] = ["label", "cls", "class", "class_name", "category"];

/// The label of each image of `archive`, if it has files with labels at all. Images without one are left out, which a note
/// tells. `field` names the field of `.json` files.
///
/// # Errors
/// If a file with a label cannot be read, or has none.
pub(super) fn labels(
    archive: &mut Archive,
    field: Option<&str>,
) -> Result<Option<Vec<String>>, DatasetError> {
    let files = label_files(&archive.others);
    if files.is_empty() {
        return Ok(None);
    }
    let place = archive.part.place.clone();
    let mut labels = Vec::with_capacity(archive.part.entries.len());
    for path in archive.part.entries.paths() {
        let Some(&index) = files.get(key(path)) else { continue };
        let (file, number) = (archive.others.path(index), archive.others.number(index));
        let bytes = archive.part.store.read(file, number);
        let label = bytes.and_then(|bytes| label_in(&bytes, &ending_of(file), field));
        // What else programs write into `.json` files is no label.
        if labels.is_empty() && field.is_none() && ending_of(file) == "json" && label.is_err() {
            return Ok(None);
        }
        let label = label.map_err(|reason| {
            let hint = "name the field with `label`, or leave out the file with `exclude`";
            error(&place.join(path_of(file)), reason, hint)
        })?;
        labels.push(label);
    }
    if labels.is_empty() {
        return Ok(None);
    }
    let without: Vec<String> =
        archive.part.entries.paths().filter(|path| !files.contains_key(key(path))).map(shown).collect();
    if !without.is_empty() {
        let n = without.len();
        let have = if n == 1 { "1 image has".to_owned() } else { format!("{n} images have") };
        let names = listed(without.into_iter());
        archive
            .notes
            .push(format!("{}: {have} no file with a label, and left out: {names}", shown_path(&place)));
        archive.part.entries = archive.part.entries.filtered(|path| files.contains_key(key(path)));
    }
    Ok(Some(labels))
}

/// Files with labels by key; of several, `.cls` before `.json`.
fn label_files(others: &Entries) -> HashMap<&[u8], usize> {
    let mut files = HashMap::new();
    for wanted in ["cls", "json"] {
        for index in 0..others.len() {
            let path = others.path(index);
            if ending_of(path) == wanted {
                files.entry(key(path)).or_insert(index);
            }
        }
    }
    files
}

/// A path up to the first dot of its last part.
fn key(path: &[u8]) -> &[u8] {
    let start = path.len() - file_name(path).len();
    let dot = path[start..].iter().position(|&byte| byte == b'.');
    &path[..dot.map_or(path.len(), |dot| start + dot)]
}

fn label_in(bytes: &[u8], ending: &str, field: Option<&str>) -> Result<String, String> {
    if bytes.len() > MAX_LABEL_BYTES {
        return Err(format!("it has {} bytes, too many for a label", bytes.len()));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if ending == "cls" {
        let label = bytes.trim_ascii();
        return if label.is_empty() { Err("there is no label in it".into()) } else { Ok(shown(label)) };
    }
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|failure| format!("it is no JSON: {failure}"))?;
    let fields = field.map_or(LABEL_FIELDS.to_vec(), |field| vec![field]);
    match fields.iter().find_map(|field| value.get(field)) {
        Some(serde_json::Value::String(label)) if !label.is_empty() => Ok(label.clone()),
        Some(label @ serde_json::Value::Number(_)) => Ok(label.to_string()),
        Some(_) => Err("its label is neither text nor a number".into()),
        None => Err(format!("it has no field `{}`", fields.join("`, `"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_name() {
        assert_eq!(key(b"a.b/0001.seg.png"), b"a.b/0001");
        assert_eq!(key(b"0001"), b"0001");
    }

    #[test]
    fn labels_are_numbers_or_text() {
        assert_eq!(label_in(b" 17\n", "cls", None).unwrap(), "17");
        assert_eq!(label_in(br#"{"label": "ant"}"#, "json", None).unwrap(), "ant");
        assert_eq!(label_in(br#"{"label": "x", "kind": 3}"#, "json", Some("kind")).unwrap(), "3");
        assert_eq!(label_in(b"{}", "json", Some("kind")).unwrap_err(), "it has no field `kind`");
        assert_eq!(label_in("\u{feff}{\"label\": 5}".as_bytes(), "json", None).unwrap(), "5");
        assert!(label_in(b"", "cls", None).is_err() && label_in(b"[", "json", None).is_err());
        assert!(
            label_in(br#"{"label": null}"#, "json", None).unwrap_err().contains("neither text nor a number")
        );
    }
}
