//! A template with its places filled.

use super::kind::PluginKind;
use super::name::PluginName;

/// What stands at the top of a plugin crate in the tree.
const IN_TREE: &str =
    "#![cfg_attr(doctest, doc = include_str!(\"../README.md\"))]\n#![forbid(unsafe_code)]\n";

/// `template` with the plugin's kind and names.
pub(super) fn filled(template: &str, kind: PluginKind, name: &PluginName) -> String {
    template
        .replace("__name__", &name.kebab)
        .replace("__Name__", &name.pascal)
        .replace("__ident__", &name.snake)
        .replace("__kind__", kind.name())
}

/// The plugin's `lib.rs`.
pub(super) fn library(kind: PluginKind, name: &PluginName, is_in_tree: bool) -> String {
    let attributes = if is_in_tree { IN_TREE } else { "" };
    filled(&kind.source().replace("__crate_attributes__\n", &format!("{attributes}\n")), kind, name)
}

/// What the plugin says of itself in one line.
pub(super) fn summary(kind: PluginKind) -> &'static str {
    let (_, rest) = kind.source().split_once("summary: \"").unwrap_or_default();
    rest.split_once('"').map_or("", |(summary, _)| summary)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn nothing_is_left_unfilled() {
        for kind in PluginKind::value_variants() {
            let name = PluginName::new("my-new-one", *kind).unwrap();
            assert!(!summary(*kind).is_empty());
            for text in [
                library(*kind, &name, true),
                library(*kind, &name, false),
                filled(&kind.pipeline(), *kind, &name),
                filled(kind.use_in_a_pipeline(), *kind, &name),
            ] {
                assert!(!text.contains("__"), "{text}");
                assert!(text.contains("my-new-one"), "{text}");
            }
        }
    }
}
