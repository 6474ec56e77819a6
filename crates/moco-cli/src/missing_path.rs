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

/// [`hint`] where a run was meant: the most similar name of a run, or the names that there are.
pub(crate) fn hint_for_run(path: &Path) -> String {
    hint_for_run_in(Path::new(moco::RUNS), path)
}

fn hint_for_run_in(root: &Path, path: &Path) -> String {
    let is_name = path.components().count() == 1 && path.is_relative();
    let runs = moco::runs::list(root).unwrap_or_default().runs;
    let names: Vec<String> =
        runs.iter().filter_map(|run| Some(run.path().file_name()?.to_str()?.to_owned())).collect();
    if !is_name || names.is_empty() {
        return hint(path);
    }
    // It may also be meant for something that lies here.
    let here = files_in(Path::new("."));
    let name = path.to_string_lossy();
    match nearest(&name, &names).or_else(|| nearest(&name, &here)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!(
            "`moco runs` lists the runs in `{}`, for instance `{}`",
            root.display(),
            names[names.len() - 1]
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_run_that_is_not_there_leads_to_those_that_are() {
        let root = tempfile::tempdir().unwrap();
        let hint = |name: &str| hint_for_run_in(root.path(), Path::new(name));
        assert!(hint("mocov2-01").starts_with("the path is relative to"), "{}", hint("mocov2-01"));
        run_store::RunFolder::create(root.path(), "mocov2", None).unwrap().write_pipeline("()").unwrap();
        assert_eq!(hint("mocov2-01"), "did you mean `mocov2-001`?");
        assert!(hint("something-else").contains("for instance `mocov2-001`"), "{}", hint("something-else"));
        assert!(hint("nowhere/mocov2-01").contains("does not exist either"));
    }
}
