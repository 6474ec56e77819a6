//! A plugin crate in the checkout of moco-rs.

use std::fs;
use std::path::Path;

use super::kind::PluginKind;
use super::name::PluginName;
use super::template::{filled, library, summary};
use super::{dependencies, sorted, steps, writing};
use crate::failure::Failure;

/// Writes the crate, and tells the rest of the tree of it. Gives what to say.
///
/// # Errors
/// If this is no checkout of moco-rs, or the crate is there already.
pub(super) fn write(kind: PluginKind, name: &PluginName) -> Result<String, Failure> {
    let root = Path::new(".");
    if !dependencies::is_checkout(root) {
        return Err(Failure::usage(
            "this folder is not the root of a checkout of moco-rs",
            format!(
                "go there, or begin a crate of its own: `moco new-plugin {} {} --out-of-tree {}`",
                kind.name(),
                name.kebab,
                name.kebab
            ),
        ));
    }
    let folder = root.join("crates").join(&name.kebab);
    writing::check_free(&folder)?;
    let changes = changes(root, kind, name)?;
    writing::write(&folder, &files(kind, name), &changes)?;
    let changed = changes.iter().map(|change| {
        let path = change.path.strip_prefix(root).unwrap_or(&change.path);
        format!("          {}\n", path.display())
    });
    let named = &name.kebab;
    let next = steps(&[
        (format!("cargo test --release -p {named}"), "its tests, with those that every plugin must pass"),
        ("cargo test --release -p plugins".into(), "the list of plugins"),
        (format!("cargo xtask plugins {named}"), "what it says of itself"),
    ]);
    Ok(format!(
        "written   crates/{named}: {} plugin that works as it is\nchanged\n{}next\n{next}\
         {:10}a pipeline names it {}\n\
         {:10}make it yours in crates/{named}/src/lib.rs; the book's chapter on plugins says what its trait asks for\n",
        kind.with_article(),
        changed.collect::<String>(),
        "",
        filled(kind.use_in_a_pipeline(), kind, name),
        "",
    ))
}

fn files(kind: PluginKind, name: &PluginName) -> Vec<writing::NewFile> {
    let mut manifest = format!(
        "[package]\nname = \"{}\"\ndescription = \"The {} {}: {}\"\nversion.workspace = true\nedition.workspace = true\n\
         rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\nreadme = \"README.md\"\n\
         keywords = [\"moco\", \"self-supervised\", \"plugin\"]\ncategories = [\"science\", \"computer-vision\"]\n\n\
         [lints]\nworkspace = true\n\n[dependencies]\n",
        name.kebab,
        kind.name(),
        name.kebab,
        summary(kind),
    );
    for used in kind.crates() {
        manifest += &format!("{used}.workspace = true\n");
    }
    manifest += "\n[dev-dependencies]\nplugin-tests.workspace = true\n";
    let readme = format!(
        "# {}\n\nThe {} `{}`: {}.\nA pipeline names it {}.\n",
        name.kebab,
        kind.name(),
        name.kebab,
        summary(kind),
        filled(kind.use_in_a_pipeline(), kind, name),
    );
    vec![
        ("Cargo.toml".into(), manifest),
        ("README.md".into(), readme),
        ("src/lib.rs".into(), library(kind, name, true)),
    ]
}

/// The five places that know of every plugin crate.
fn changes(root: &Path, kind: PluginKind, name: &PluginName) -> Result<Vec<writing::Change>, Failure> {
    let (kebab, snake) = (&name.kebab, &name.snake);
    let is_empty = |line: &str| line.is_empty();
    let change = |path: &str, change: &dyn Fn(&str) -> Option<String>| {
        let path = root.join(path);
        let before = fs::read_to_string(&path)
            .map_err(|error| Failure::plain(format!("`{}` cannot be read: {error}", path.display())))?;
        match change(&before) {
            Some(after) => Ok(writing::Change { path, before, after }),
            None => Err(no_place(&path, kebab)),
        }
    };
    Ok(vec![
        change("Cargo.toml", &|text| {
            sorted::insert(text, "# Ours.", &format!("{kebab} = {{ path = \"crates/{kebab}\" }}"), is_empty)
        })?,
        change("crates/plugins/Cargo.toml", &|text| {
            sorted::insert(text, "[dependencies]", &format!("{kebab}.workspace = true"), is_empty)
        })?,
        change("crates/plugins/src/lib.rs", &|text| {
            // The attribute above the list, and an empty line.
            let head = text.lines().take_while(|line| !line.starts_with("use ")).last()?;
            let (before, list) = text.split_at(text.find("\nuse ")?);
            let list = format!("{head}{list}");
            let list = sorted::insert(&list, head, &format!("use {snake} as _;"), is_empty)?;
            Some(format!("{before}{}", list.strip_prefix(head)?))
        })?,
        change("crates/plugins/tests/registry.rs", &|text| expected(text, kind.name(), kebab))?,
        change("docs/src/pipeline-reference.md", &|text| {
            let row = format!("| {} | `{kebab}` | {} |", kind.name(), summary(kind));
            row_of(text, kind.name(), &row)
        })?,
    ])
}

fn no_place(path: &Path, name: &str) -> Failure {
    Failure::new(
        format!(
            "`{}` is not as it was when this program was built: there is no place for `{name}` in it",
            path.display()
        ),
        "use the program of this checkout: `cargo xtask new-plugin`",
    )
}

/// The table of plugins with `row`: among those of its kind, by name, or as the first of its kind at the end.
fn row_of(text: &str, kind: &str, row: &str) -> Option<String> {
    let head = "| kind | name | what it does |";
    let mut lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| *line == head)? + 2;
    let n = lines[start..].iter().position(|line| !line.starts_with('|')).unwrap_or(lines.len() - start);
    let of_kind = format!("| {kind} |");
    let same: Vec<usize> = (start..start + n).filter(|place| lines[*place].starts_with(&of_kind)).collect();
    let greater = same.iter().find(|place| lines[**place] > row);
    let place = greater.copied().or(same.last().map(|last| last + 1)).unwrap_or(start + n);
    lines.insert(place, row);
    Some(lines.join("\n") + "\n")
}

/// The widest line of a Rust file.
const MAX_WIDTH: usize = 110;

/// The registry's test with one more name in `EXPECTED`, laid out as rustfmt does.
fn expected(text: &str, kind: &str, name: &str) -> Option<String> {
    const HEAD: &str = "const EXPECTED: &[(&str, &[&str])] = &[\n";
    let start = text.find(HEAD)? + HEAD.len();
    let end = start + text[start..].find("\n];\n")? + 1;
    // Every text in quotation marks is a kind or a name; a kind is the first after `(`.
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut is_kind = false;
    for (place, part) in text[start..end].split('"').enumerate() {
        match (place % 2, is_kind) {
            (0, _) => is_kind = part.contains('('),
            (_, true) => kinds.push((part, Vec::new())),
            (_, false) => kinds.last_mut()?.1.push(part),
        }
    }
    match kinds.iter_mut().find(|(other, _)| *other == kind) {
        Some((_, names)) => {
            let place = names.iter().position(|other| *other > name).unwrap_or(names.len());
            names.insert(place, name);
        }
        None => kinds.push((kind, vec![name])),
    }
    let list: String = kinds.iter().map(|(kind, names)| laid_out(kind, names)).collect();
    Some(format!("{}{list}{}", &text[..start], &text[end..]))
}

fn laid_out(kind: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let line = format!("    (\"{kind}\", &[{}]),\n", quoted.join(", "));
    if line.len() <= MAX_WIDTH + 1 {
        return line;
    }
    let short = format!("        &[{}],\n", quoted.join(", "));
    let list = match short.len() <= MAX_WIDTH + 1 {
        true => short,
        false => {
            let names: String = quoted.iter().map(|name| format!("            {name},\n")).collect();
            format!("        &[\n{names}        ],\n")
        }
    };
    format!("    (\n        \"{kind}\",\n{list}    ),\n")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// How often each word is there.
    fn words(text: &str) -> HashMap<&str, usize> {
        let mut words = HashMap::new();
        for word in text.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c))) {
            *words.entry(word).or_insert(0) += 1;
        }
        words
    }

    #[test]
    fn the_trees_own_files_have_a_place_for_every_kind() {
        use clap::ValueEnum as _;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for kind in PluginKind::value_variants() {
            let name = PluginName::new("my-new-one", *kind).unwrap();
            for change in changes(&root, *kind, &name).unwrap() {
                // Lines may be laid out anew, but no word is lost.
                let (before, after) = (words(&change.before), words(&change.after));
                let lost: Vec<_> = before.iter().filter(|(word, n)| after.get(*word) < Some(n)).collect();
                assert!(lost.is_empty(), "{}: {lost:?}", change.path.display());
                let is_of_it = ["my-new-one", "my_new_one"].iter().any(|word| after.contains_key(word));
                assert!(is_of_it, "{}", change.path.display());
            }
        }
    }

    #[test]
    fn a_name_joins_those_of_its_kind() {
        let text =
            "const EXPECTED: &[(&str, &[&str])] = &[\n    (\"head\", &[\"a\", \"c\"]),\n];\nfn more() {}\n";
        assert_eq!(expected(text, "head", "b").unwrap(), text.replace("\"a\", ", "\"a\", \"b\", "));
        let other = expected(text, "loss", "b").unwrap();
        assert_eq!(other, text.replace("\n];", "\n    (\"loss\", &[\"b\"]),\n];"));
    }
}
