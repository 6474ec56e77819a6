//! What to say of a path that does not exist.

use std::path::Path;

use plugin_api::nearest;

/// The most similar name in the same folder, or what else the reader can check.
pub(crate) fn hint(path: &Path) -> String {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return format!("the folder `{}` does not exist either: check the path", folder.display());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(name) = nearest(&name, &files_in(folder)) {
        // The folder as the user wrote it.
        return format!("did you mean `{}`?", path.with_file_name(name).display());
    }
    match std::env::current_dir() {
        Ok(here) if path.is_relative() => format!("the path is relative to {}", here.display()),
        _ => "check the path".into(),
    }
}

/// The visible entries of `folder`, sorted.
pub(crate) fn files_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}
