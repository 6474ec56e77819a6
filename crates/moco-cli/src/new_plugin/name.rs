//! The name of a new plugin, in its three forms.

use plugin_api::all_plugins;

use super::kind::PluginKind;
use crate::failure::Failure;

/// Names of crates and words of the language that no crate can have.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "inventory",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "schemars",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// The longest name.
const MAX_LEN: usize = 40;

/// A checked name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PluginName {
    /// As a pipeline and Cargo have it: `my-loss`.
    pub(super) kebab: String,
    /// As Rust's types have it: `MyLoss`.
    pub(super) pascal: String,
    /// As Rust's crates have it: `my_loss`.
    pub(super) snake: String,
}

impl PluginName {
    /// # Errors
    /// If it is not in kebab-case, is taken, or cannot be a crate's or a type's.
    pub(super) fn new(name: &str, kind: PluginKind) -> Result<Self, Failure> {
        let is_kebab_case = name.split('-').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        });
        if !is_kebab_case || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.len() > MAX_LEN {
            let hint = match kebab(name) {
                Some(other) => format!("write `{other}`"),
                None => format!("write it as `my-{}`", kind.name()),
            };
            return Err(Failure::usage(
                format!(
                    "`{name}` cannot be a plugin's name: it must be of small letters, digits and single hyphens, begin with a \
                     letter, and have at most {MAX_LEN} of them"
                ),
                hint,
            ));
        }
        if let Some(plugin) = all_plugins().iter().find(|plugin| plugin.name == name) {
            return Err(Failure::usage(
                format!("there is {} plugin `{name}` already: {}", article(plugin.kind), plugin.summary),
                "choose another name",
            ));
        }
        let is_ours =
            ["moco-cli", "plugin-api", "plugin-tests", "plugins", "tensor-ops", "nn"].contains(&name);
        if TAKEN.contains(&name) || is_ours {
            return Err(Failure::usage(
                format!(
                    "`{name}` cannot be a plugin's name: its crate would be called like a word of Rust or another crate"
                ),
                format!("choose another name, for instance `my-{name}`"),
            ));
        }
        let pascal: String = name
            .split('-')
            .flat_map(|part| part.chars().enumerate())
            .map(|(place, c)| if place == 0 { c.to_ascii_uppercase() } else { c })
            .collect();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        for used in [pascal.clone(), format!("{pascal}Config")] {
            if kind.source().split(|c| !is_word(c)).any(|word| word == used) {
                return Err(Failure::usage(
                    format!(
                        "`{name}` cannot be the name of {}: its type would be `{used}`, which the code has already",
                        kind.with_article()
                    ),
                    format!("choose another name, for instance `my-{name}`"),
                ));
            }
        }
        Ok(Self { kebab: name.to_owned(), pascal, snake: name.replace('-', "_") })
    }
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// What `name` is in kebab-case, if that is a name.
fn kebab(name: &str) -> Option<String> {
    let mut kebab = String::new();
    let mut was_small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && was_small {
            kebab.push('-');
        }
        was_small = c.is_ascii_lowercase() || c.is_ascii_digit();
        kebab.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    }
    let parts: Vec<&str> = kebab.split('-').filter(|part| !part.is_empty()).collect();
    let kebab = parts.join("-");
    let is_name = kebab.starts_with(|c: char| c.is_ascii_lowercase()) && kebab.len() <= MAX_LEN;
    is_name.then_some(kebab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_three_forms() {
        let name = PluginName::new("my-loss-2", PluginKind::Loss).unwrap();
        assert_eq!((name.pascal.as_str(), name.snake.as_str()), ("MyLoss2", "my_loss_2"));
    }

    #[test]
    fn names_that_cannot_be_are_refused_with_one_that_can() {
        let told = |name, kind| {
            let failure = PluginName::new(name, kind).unwrap_err();
            format!("{failure}; {}", failure.hint().unwrap_or_default())
        };
        for (name, words) in [
            ("MyLoss", "write `my-loss`"),
            ("my_loss", "write `my-loss`"),
            ("my--loss", "write `my-loss`"),
            ("-", "write it as `my-loss`"),
            ("", "write it as `my-loss`"),
            ("3d", "must be of small letters"),
            ("é", "write it as `my-loss`"),
            ("../up", "write `up`"),
            ("resnet", "there is a backbone plugin `resnet` already"),
            ("knn", "there is a monitor plugin `knn` already"),
            ("type", "like a word of Rust"),
            ("plugin-api", "another crate"),
        ] {
            let told = told(name, PluginKind::Loss);
            assert!(told.contains(words), "{told}");
        }
        assert!(told("3d", PluginKind::Head).ends_with("; write it as `my-head`"));
        assert!(told("module", PluginKind::Head).contains("its type would be `Module`"));
    }
}
