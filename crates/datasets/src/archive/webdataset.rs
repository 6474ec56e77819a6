//! Labels that stand beside the images of an archive: `key.cls` or `key.json` beside `key.jpg`, the layout of WebDataset.

use std::collections::{BTreeSet, HashMap, HashSet};

use plugin_api::DatasetError;

use super::Archive;
use crate::classes::listed;
use crate::listing::{Entries, ending_of, file_name, path_of, shown, shown_path};
use crate::places::error;

/// Files with more bytes are no labels.
const MAX_LABEL_BYTES: usize = 1 << 20;
/// Fields of a `.json` file that are looked for, the surest first.
pub(crate) const LABEL_FIELDS: [&str; 5] = ["label", "cls", "class", "class_name", "category"];

/// If so many files in a row are none with a label, all are about something else.
const MOST_OTHERS: usize = 64;

/// What stands beside the images of an archive.
pub(super) struct Beside {
    /// The label of each image; `None` if there is no file with one, or nothing in it.
    pub(super) labels: Vec<Option<String>>,
    /// Files with no label in them, each with the reason.
    pub(super) faulty: Vec<(Vec<u8>, String)>,
}

/// The labels that stand beside the images of `archive`; `None` if it has no files with labels. `field` names the field of
/// `.json` files.
///
/// # Errors
/// If there are such files, and none of them has a label.
pub(super) fn labels(archive: &Archive, field: Option<&str>) -> Result<Option<Beside>, DatasetError> {
    let files = label_files(&archive.others);
    let mut beside = Beside { labels: Vec::with_capacity(archive.part.entries.len()), faulty: Vec::new() };
    let mut has_labels = false;
    // What else programs write into `.json` files is no label.
    let mut may_be_others = field.is_none();
    for path in archive.part.entries.paths() {
        let Some(&index) = files.get(key(path)) else {
            beside.labels.push(None);
            continue;
        };
        let (file, number) = (archive.others.path(index), archive.others.number(index));
        may_be_others &= ending_of(file) == "json";
        let bytes = archive.part.store.read(file, number);
        let label = bytes.and_then(|bytes| label_in(&bytes, &ending_of(file), field));
        has_labels |= label.is_ok();
        match label {
            Ok(label) => beside.labels.push(Some(label)),
            Err(reason) => {
                beside.labels.push(None);
                beside.faulty.push((file.to_vec(), reason));
            }
        }
        if may_be_others && !has_labels && beside.faulty.len() >= MOST_OTHERS {
            return Ok(None);
        }
    }
    match beside.faulty.first() {
        _ if has_labels => Ok(Some(beside)),
        Some((file, reason)) if !may_be_others => {
            let hint = "name the field with `label`, or leave out the file with `exclude`";
            Err(error(&archive.part.place.join(path_of(file)), reason, hint))
        }
        _ => Ok(None),
    }
}

/// Leaves out the images of `archive` without a label, which is told, and gives the labels of the others.
pub(super) fn leave_out_without(archive: &mut Archive, beside: Option<Beside>) -> Vec<String> {
    let place = shown_path(&archive.part.place);
    let Some(Beside { labels, faulty }) = beside else {
        let n = archive.part.entries.len();
        if n > 0 {
            let images = if n == 1 { "its 1 image has".into() } else { format!("its {n} images have") };
            archive.notes.push(format!("{place}: {images} no label, and left out, since others have one"));
            archive.part.entries = Entries::default();
        }
        return Vec::new();
    };
    let is_faulty: HashSet<&[u8]> = faulty.iter().map(|(file, _)| key(file)).collect();
    let paths = archive.part.entries.paths().zip(&labels);
    let without = paths.filter(|(path, label)| label.is_none() && !is_faulty.contains(key(path)));
    let without: Vec<String> = without.map(|(path, _)| shown(path)).collect();
    if !without.is_empty() {
        let n = without.len();
        let have = if n == 1 { "1 image has".to_owned() } else { format!("{n} images have") };
        let names = listed(without.into_iter());
        archive.notes.push(format!("{place}: {have} no file with a label, and left out: {names}"));
    }
    if !faulty.is_empty() {
        let n = faulty.len();
        let files =
            if n == 1 { "1 file with a label has".into() } else { format!("{n} files with labels have") };
        let names = listed(faulty.iter().map(|(file, reason)| format!("{} ({reason})", shown(file))));
        archive.notes.push(format!("{place}: {files} none in it, and what is beside is left out: {names}"));
    }
    let mut has_label = labels.iter().map(Option::is_some);
    archive.part.entries = archive.part.entries.filtered(|_| has_label.next() == Some(true));
    labels.into_iter().flatten().collect()
}

/// What to say of an archive in which most samples have several images: one is often a mask of the other.
pub(super) fn several_in_a_sample(archive: &Archive) -> Option<String> {
    const MOST_KINDS: usize = 8;
    let mut samples: HashMap<&[u8], usize> = HashMap::new();
    let mut kinds: BTreeSet<&[u8]> = BTreeSet::new();
    for path in archive.part.entries.paths() {
        *samples.entry(key(path)).or_default() += 1;
        kinds.insert(&path[key(path).len()..]);
        if kinds.len() > MOST_KINDS {
            return None;
        }
    }
    let n_several = samples.values().filter(|n| **n > 1).count();
    let last = kinds.last().filter(|_| n_several > 0 && n_several * 2 >= samples.len())?;
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{}`", shown(kind))).collect();
    Some(format!(
        "{}: most samples have several images, {}, and all are taken; `exclude: [\"**/*{}\"]` leaves out one kind",
        shown_path(&archive.part.place),
        kinds.join(" and "),
        shown(last)
    ))
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
