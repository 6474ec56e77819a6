//! Patterns of paths that are left out.

use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use plugin_api::ConfigError;

use super::names::{bytes_of, path_of};

/// Longer patterns are mistakes, and take long for each file.
const MOST_BYTES: usize = 1024;

/// Patterns such as `**/masks/**`, matched against paths below a root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns {
    texts: Vec<String>,
    set: GlobSet,
    /// The text that each of `set` is made of.
    of_globs: Vec<usize>,
    /// Which of them have matched something.
    used: Arc<[AtomicBool]>,
    /// What stands before the paths that are asked about.
    prefix: Vec<u8>,
}

impl Patterns {
    /// # Errors
    /// If one of `texts`, which the field `field` has, is no pattern.
    pub(crate) fn new(field: &'static str, texts: &[String]) -> Result<Self, ConfigError> {
        let mut set = GlobSetBuilder::new();
        let mut of_globs = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            if text.len() > MOST_BYTES {
                let begin: String = text.chars().take(20).collect();
                let must = format!("a pattern has at most {MOST_BYTES} bytes, and this one {}", text.len());
                return Err(ConfigError::field(field, format!("{begin:?} and more"), must));
            }
            for pattern in as_git(text) {
                set.add(glob(field, &pattern)?);
                of_globs.push(index);
            }
        }
        let set = set.build().map_err(|failure| refused(field, &texts.join(", "), &failure))?;
        let used = texts.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Self { texts: texts.to_vec(), set, of_globs, used, prefix: Vec::new() })
    }

    /// The same patterns, asked about paths below `folder`.
    pub(crate) fn below(&self, folder: Option<&Path>) -> Self {
        let names = folder.into_iter().flat_map(Path::components);
        let names = names.filter(|part| matches!(part, Component::Normal(_)));
        let prefix =
            names.filter_map(|name| bytes_of(name.as_os_str())).flat_map(|name| [name, b"/"].concat());
        Self { prefix: prefix.collect(), ..self.clone() }
    }

    /// Whether `path` is left out. Patterns that match something that `counts` are those in use.
    pub(crate) fn excludes(&self, path: &[u8], counts: bool) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        let matches = self.set.matches(path_of(&[&self.prefix, path].concat()));
        if counts {
            let used = matches.iter().map(|&index| &self.used[self.of_globs[index]]);
            used.for_each(|used| used.store(true, Ordering::Relaxed));
        }
        !matches.is_empty()
    }

    /// A sentence for each pattern that has matched nothing yet.
    pub(crate) fn notes(&self) -> Vec<String> {
        let unused =
            self.texts.iter().zip(self.used.iter()).filter(|(_, used)| !used.load(Ordering::Relaxed));
        unused
            .map(|(text, _)| {
                format!(
                    "the pattern `{text}` of `exclude` matches nothing; patterns are for paths below the root"
                )
            })
            .collect()
    }
}

/// What `text` matches: a `./` or `/` at its start is the root, and a `/` at its end means a folder and what is in it, as for git.
fn as_git(text: &str) -> Vec<String> {
    let path = text.strip_prefix("./").unwrap_or(text).trim_start_matches('/');
    match path.trim_end_matches('/') {
        folder if folder.is_empty() || folder == path => vec![path.to_owned()],
        // Whoever asks for a folder asks before what is in it; whoever asks only for files never does.
        folder => vec![format!("{folder}/**"), folder.to_owned()],
    }
}

fn glob(field: &'static str, text: &str) -> Result<Glob, ConfigError> {
    // `*` stays within a folder, as in a shell; `**` does not.
    let built = GlobBuilder::new(text).literal_separator(true).build();
    built.map_err(|failure| refused(field, text, &failure))
}

fn refused(field: &'static str, text: &str, failure: &globset::Error) -> ConfigError {
    ConfigError::field(
        field,
        format!("{text:?}"),
        format!("it must be a pattern such as `**/masks/**`: {}", failure.kind()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_ends_of_a_pattern_are_taken_as_git_does() {
        for text in ["test/", "./test", "/test", "./test/", "test"] {
            let patterns = Patterns::new("exclude", &[text.to_owned()]).unwrap();
            assert_eq!(patterns.notes().len(), 1, "{text}");
            assert!(patterns.excludes(b"test", true), "{text}");
            assert!(!patterns.excludes(b"a/test", true) && !patterns.excludes(b"tests", true), "{text}");
            assert!(patterns.notes().is_empty(), "{text}");
        }
        let patterns = Patterns::new("exclude", &["a/b/".to_owned(), "/*.gif".to_owned()]).unwrap();
        assert!(patterns.excludes(b"a/b/c.png", true) && patterns.excludes(b"x.gif", true));
        assert!(!patterns.excludes(b"a/x.gif", true) && !patterns.excludes(b"a/c.png", true));
    }
}
