//! Paths as a person writes them: with `~` for the home folder, with patterns, and several at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plugin_api::{ConfigError, DatasetError};

use crate::archive::is_archive_file;
use crate::flat_folder::check_not_empty;
use crate::listing::{bytes_of, has_runs, is_hidden, is_image, shown_path};
use crate::overlap::{plain, real};
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
        if paths[..i].iter().any(|other| plain(other) == plain(path)) {
            return Err(ConfigError::field(field, path.display(), "each path may be given once"));
        }
    }
    Ok(())
}

/// The places that `paths` stand for, in this order; those of a pattern are sorted.
///
/// # Errors
/// If a pattern is none or has no match, or places are missing or the same: all of them are named.
pub(crate) fn expanded(paths: &OneOrMore) -> Result<Vec<PathBuf>, DatasetError> {
    Ok(places(paths)?.into_iter().map(|place| place.path).collect())
}

/// [`expanded`] for places that are folders or archives. What else a pattern matches is left out, which is told.
///
/// # Errors
/// As [`expanded`], and if nothing is left of a pattern.
pub(crate) fn expanded_roots(
    paths: &OneOrMore,
    notes: &mut Vec<String>,
) -> Result<Vec<PathBuf>, DatasetError> {
    let (mut roots, mut left_out) = (Vec::new(), Vec::new());
    for place in places(paths)? {
        match place.pattern {
            Some(pattern) if !is_root(&place.path) => left_out.push((pattern, place.path)),
            _ => roots.push(place.path),
        }
    }
    let Some((pattern, first)) = left_out.first() else { return Ok(roots) };
    let n = left_out.len();
    let what = match n {
        1 => "1 match of this pattern is no folder of images".to_owned(),
        n => format!("{n} matches of this pattern are no folders of images"),
    };
    let told = format!("{what}: {}{}", shown_path(first), if n > 1 { ", ..." } else { "" });
    if roots.is_empty() {
        return Err(error(
            pattern,
            told,
            "give the folder with the images, or a .zip or .tar file with them",
        ));
    }
    notes.push(format!("{}: {told}", shown_path(pattern)));
    Ok(roots)
}

/// Whether images may be in what a pattern has matched.
fn is_root(path: &Path) -> bool {
    let name = path.file_name().and_then(bytes_of).unwrap_or_default();
    if path.is_dir() {
        return !is_hidden(name) && !has_runs(path);
    }
    !is_image(name) && is_archive_file(path)
}

/// A place, and the pattern that it matches.
struct Place {
    path: PathBuf,
    pattern: Option<PathBuf>,
}

fn places(paths: &OneOrMore) -> Result<Vec<Place>, DatasetError> {
    let mut places = Vec::new();
    for path in paths.paths() {
        let path = at_home(path);
        match pattern(&path) {
            Some(pattern) => {
                let found = matches(&path, &pattern)?.into_iter();
                places.extend(found.map(|place| Place { path: place, pattern: Some(path.clone()) }));
            }
            None => places.push(Place { path, pattern: None }),
        }
    }
    let missing: Vec<&Path> =
        places.iter().map(|place| &*place.path).filter(|place| !place.exists()).collect();
    if let [first, others @ ..] = &missing[..]
        && !others.is_empty()
    {
        let others: Vec<String> = others.iter().map(|place| place.display().to_string()).collect();
        let reason = format!("it does not exist, and neither does {}", others.join(", "));
        return Err(error(first, reason, relative_hint(first)));
    }
    check_different(&places)?;
    Ok(places)
}

/// # Errors
/// If two places are the same: by a link, or written in two ways.
fn check_different(places: &[Place]) -> Result<(), DatasetError> {
    let mut seen: HashMap<PathBuf, &Path> = HashMap::with_capacity(places.len());
    for place in places {
        if let Some(first) = seen.insert(real(&place.path), &place.path) {
            let reason = format!("this is {}, so that its images would be there twice", shown_path(first));
            return Err(error(&place.path, reason, "name only one of both"));
        }
    }
    Ok(())
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
