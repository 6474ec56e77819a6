//! What to say of a word that stands where a plugin belongs: `data.source=photos`, `optimizer=adam`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::modules;
use pipeline_text::{Checked, Fault, Node, PipelineText};
use plugin_api::{DatasetFiles, Described, all_plugins};

const DATASET: &str = "dataset";

/// Applies the argument `path=value` to `text`.
///
/// # Errors
/// As [`PipelineText::set`]; of a path to images that stands without quotation marks, what it can be.
pub(crate) fn set(text: &mut PipelineText, argument: &str) -> Checked<()> {
    text.set(argument).map_err(|fault| match argument.split_once('=') {
        Some(("data.source", path)) if is_bare_path(path) => of_bare_path(*fault, path),
        _ => fault,
    })
}

/// Whether `value` is no RON because it is a path.
fn is_bare_path(value: &str) -> bool {
    is_path(value) && !value.contains(['(', '"', '[', '{', '\n'])
}

fn of_bare_path(fault: Fault, path: &str) -> Box<Fault> {
    Box::new(Fault {
        span: fault.text.len() - path.len()..fault.text.len(),
        message: format!("expected a plugin, found `{path}`"),
        hint: at_path(path),
        ..fault
    })
}

/// What to do about the fault `message` at `span`, if it is a word in the place of a plugin, and more is to be said than how
/// plugins are written.
pub(crate) fn hint(text: &PipelineText, span: &Range<usize>, message: &str) -> Option<String> {
    if !message.starts_with("expected a plugin, found `") {
        return None;
    }
    let found = text.text.get(span.clone())?;
    let word = found.strip_prefix('"').and_then(|found| found.strip_suffix('"'));
    let word = match word {
        Some(word) => word,
        None if ["true", "false"].contains(&found) || !found.starts_with(char::is_alphabetic) => return None,
        None => found,
    };
    let kinds = kinds_at(&text.tree, span.start)?;
    of_word(word, kinds, &all_plugins())
}

/// What to do about the plugin name `name`, which no dataset has, if images lie at a path of that name.
pub(crate) fn hint_for_name(kind: &str, name: &str) -> Option<String> {
    if kind == DATASET { at_path(name) } else { None }
}

/// The kinds of plugins of which one may begin at byte `at`.
fn kinds_at(tree: &Node, at: usize) -> Option<&'static [&'static str]> {
    let begins = |path: &[&str]| tree.find(path).is_some_and(|node| node.span.start == at);
    let one_begins_in = |path: &[&str]| {
        let items = tree.find(path).map_or(0, |list| list.child_names().len());
        (0..items).any(|i| begins(&[path, &[&i.to_string()]].concat()))
    };
    let names = |of: &str| tree.find(&[of]).map(Node::child_names).unwrap_or_default();
    let mut of_ramps = 0..tree.find(&["ramps"]).map_or(0, |list| list.child_names().len());
    if begins(&["data", "source"]) {
        Some(&[DATASET])
    } else if begins(&["optimizer"]) {
        Some(&["optimizer"])
    } else if begins(&["schedule"]) || of_ramps.any(|i| begins(&["ramps", &i.to_string(), "schedule"])) {
        Some(&["schedule"])
    } else if one_begins_in(&["monitor"]) {
        Some(&["monitor"])
    } else if names("modules").iter().any(|name| begins(&["modules", name])) {
        Some(&modules::MODULE_KINDS)
    } else if names("views").iter().any(|name| one_begins_in(&["views", name])) {
        Some(&["augmentation"])
    } else {
        None
    }
}

/// What to do about `word` in the place of a plugin of one of `kinds`; `None` if it is the name of one.
fn of_word(word: &str, kinds: &[&str], plugins: &[Described]) -> Option<String> {
    let plugins: Vec<&Described> = plugins.iter().filter(|plugin| kinds.contains(&plugin.kind)).collect();
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name).collect();
    if names.contains(&word) {
        return None;
    }
    if kinds.contains(&DATASET)
        && let Some(hint) = at_path(word)
    {
        return Some(hint);
    }
    let written =
        |name: &str| format!("`(\"{name}\", ())`, with the fields of its config between the inner brackets");
    if let Some(near) = plugin_api::nearest(word, &names) {
        return Some(format!("did you mean {}?", written(near)));
    }
    if let Some(plugin) = plugins.iter().find(|plugin| plugin.mentions(word)) {
        return Some(format!("did you mean {}: {}?", written(plugin.name), plugin.summary));
    }
    let kind = match kinds.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => return None,
    };
    let others = plugin_api::suggest_plugin(word, &names);
    Some(format!("no {kind} plugin is named `{word}`: {others}"))
}

/// The dataset of the images at `path`; `None` if it is neither there nor looks like a path.
fn at_path(path: &str) -> Option<String> {
    let place = at_home(path);
    let written = |plugin: &str, field: &str| format!("`(\"{plugin}\", ({field}: {path:?}))`");
    let (folder, classes) = (written("flat-folder", "root"), written("class-folders", "root"));
    if path.is_empty() {
        None
    } else if place.join("train").is_dir() {
        Some(format!("`{path}` is a folder with a folder `train`: write {classes}"))
    } else if place.is_dir() {
        Some(format!(
            "`{path}` is a folder: write {folder} for all images in it, or {classes} if each folder in it is a class"
        ))
    } else if place.is_file() {
        Some(match DatasetFiles::of(&place) {
            Some(files) => {
                format!("`{path}` is {}: write {}", files.what, written(files.dataset, files.field))
            }
            None => format!("`{path}` is a file: for a folder of images, write {folder} with its path"),
        })
    } else if is_path(path) {
        Some(format!("there is nothing at `{path}`; a folder of images would be {folder}"))
    } else {
        None
    }
}

/// Whether it cannot be the name of a plugin.
fn is_path(word: &str) -> bool {
    word.contains(['/', '\\']) || Path::new(word).extension().is_some()
}

/// As datasets take it: `~` is the home folder.
fn at_home(path: &str) -> PathBuf {
    match (Path::new(path).strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) if !home.as_os_str().is_empty() => home.join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // This crate links no dataset.
    plugin_api::inventory::submit! {
        DatasetFiles { dataset: "archive", field: "path", endings: &["zip"], what: "an archive", takes_several: true }
    }

    #[test]
    fn the_place_of_a_plugin_says_of_which_kind_it_is() {
        let text = "(data: (source: a), optimizer: b, schedule: c, monitor: [d, (\"e\", (of: f))], modules: {\"m\": g},
            views: {\"v\": [(\"flip\", ()), h]}, epochs: i)";
        let tree = Node::parse(text).unwrap();
        let kind = |word: char| {
            let at = text.find(&format!(" {word}")).or_else(|| text.find(&format!("[{word}"))).unwrap() + 1;
            kinds_at(&tree, at).and_then(|kinds| kinds.first().copied())
        };
        let expected = [
            ('a', Some("dataset")),
            ('b', Some("optimizer")),
            ('c', Some("schedule")),
            ('d', Some("monitor")),
            ('f', None),
            ('g', Some("backbone")),
            ('h', Some("augmentation")),
            ('i', None),
        ];
        assert_eq!(expected.map(|(word, _)| (word, kind(word))), expected);
    }

    #[test]
    fn a_path_to_images_is_told_with_the_dataset_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["flat", "split/train"] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        for name in ["a.ZIP", "list.csv", "a.jpg"] {
            std::fs::write(path(name), "").unwrap();
        }
        for (name, expected) in [
            ("flat", "write `(\"flat-folder\", (root: \"{}\"))` for all"),
            ("flat", "or `(\"class-folders\", (root: \"{}\"))` if each"),
            ("split", "`train`: write `(\"class-folders\", (root: \"{}\"))`"),
            ("a.ZIP", "write `(\"archive\", (path: \"{}\"))`"),
            ("list.csv", "`{}` is a file: for a folder of images"),
            ("a.jpg", "`{}` is a file: for a folder of images"),
            ("none", "there is nothing at `{}`"),
        ] {
            let path = path(name);
            let hint = at_path(&path).unwrap();
            // As RON has it: a path of Windows has backslashes.
            let expected = expected.replace("\"{}\"", &format!("{path:?}")).replace("{}", &path);
            assert!(hint.contains(&expected), "{expected}\n{hint}");
        }
        assert_eq!(at_path("no-such-dataset"), None);
    }

    #[test]
    fn a_path_without_quotation_marks_is_told_as_a_whole() {
        let mut text = PipelineText::new("a.ron", "(data: (source: (\"shapes\", ())), name: \"a\")").unwrap();
        let fault = set(&mut text, "data.source=/nowhere/photos").unwrap_err();
        assert_eq!(&fault.text[fault.span.clone()], "/nowhere/photos");
        assert_eq!(fault.message, "expected a plugin, found `/nowhere/photos`");
        assert!(fault.hint.unwrap().starts_with("there is nothing at `/nowhere/photos`"));
        let fault = set(&mut text, "name=/nowhere/photos").unwrap_err();
        assert_eq!(fault.message, "expected a value, found `/`");
    }
}
