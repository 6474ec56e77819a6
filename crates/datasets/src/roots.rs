//! Paths as a person writes them: with `~` for the home folder, with patterns, and several at once.

use std::path::{Path, PathBuf};

use plugin_api::{ConfigError, DatasetError};

use crate::flat_folder::check_not_empty;
use crate::places::{error, relative_hint};

/// A path, or several.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "a path in quotation marks, or a list of paths")]
pub enum OneOrMore {
    /// One path.
    One(PathBuf),
    /// Several, in order.
    More(Vec<PathBuf>),
}

impl OneOrMore {
    /// The paths, in order.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::More(paths) => paths,
        }
    }

    /// For a message: the path, or the first and how many there are.
    pub(crate) fn told(&self) -> String {
        match self.paths() {
            [path] => path.display().to_string(),
            [first, others @ ..] => format!("{} and {} more", first.display(), others.len()),
            [] => String::new(),
        }
    }
}

/// # Errors
/// If there is no path, an empty one, or one twice.
pub(crate) fn check_paths(field: &'static str, paths: &OneOrMore) -> Result<(), ConfigError> {
    let paths = paths.paths();
    if paths.is_empty() {
        return Err(ConfigError::field(field, "[]", "it must have a path"));
    }
    for (i, path) in paths.iter().enumerate() {
        check_not_empty(field, Some(path))?;
        if paths[..i].contains(path) {
            return Err(ConfigError::field(field, path.display(), "each path may be given once"));
        }
    }
    Ok(())
}

/// The places that `paths` stand for, in this order; those of a pattern are sorted.
///
/// # Errors
/// If a pattern is none or has no match, or places are missing: all of them are named.
pub(crate) fn expanded(paths: &OneOrMore) -> Result<Vec<PathBuf>, DatasetError> {
    let mut places = Vec::new();
    for path in paths.paths() {
        let path = at_home(path);
        match pattern(&path) {
            Some(pattern) => places.extend(matches(&path, &pattern)?),
            None => places.push(path),
        }
    }
    let missing: Vec<&PathBuf> = places.iter().filter(|place| !place.exists()).collect();
    match &missing[..] {
        [] | [_] => Ok(places),
        [first, others @ ..] => {
            let others: Vec<String> = others.iter().map(|place| place.display().to_string()).collect();
            let reason = format!("it does not exist, and neither does {}", others.join(", "));
            Err(error(first, reason, relative_hint(first)))
        }
    }
}

/// `path` with the home folder instead of a `~` at its start.
pub(crate) fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) if !home.as_os_str().is_empty() => home.join(rest),
        _ => path.to_owned(),
    }
}

/// `path` as a pattern, if it has signs of one and is not there by that name.
fn pattern(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    (text.contains(['*', '?', '[']) && !path.exists()).then(|| text.to_owned())
}

/// No system has longer paths.
const MOST_BYTES: usize = 4096;

fn matches(path: &Path, pattern: &str) -> Result<Vec<PathBuf>, DatasetError> {
    if pattern.len() > MOST_BYTES {
        let begin: PathBuf = pattern.chars().take(40).collect::<String>().into();
        let reason = format!("this pattern has {} bytes", pattern.len());
        return Err(error(&begin, reason, format!("a pattern has at most {MOST_BYTES}")));
    }
    let found = glob::glob(pattern).map_err(|failure| {
        error(
            path,
            format!("this is no pattern: {failure}"),
            "`*` stands for any letters of a name, `**` for any folders",
        )
    })?;
    // What cannot be listed is no match.
    let mut found: Vec<PathBuf> = found.filter_map(Result::ok).collect();
    found.sort_unstable();
    if found.is_empty() {
        return Err(error(path, "nothing matches this pattern", relative_hint(path)));
    }
    Ok(found)
}
