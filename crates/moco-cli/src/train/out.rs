//! Whether the run can have its folder, which is told before anything is timed.

use std::path::{Path, PathBuf};

use run_store::{RunFolder, check_writable};

use crate::failure::Failure;
use crate::{runs, shell};

/// Checks that a run can be written to `out`, or to the next number if that is not given. Nothing is created.
///
/// # Errors
/// If `out` is a file, has something in it, as the folder of the images has, or cannot be written.
pub(super) fn check(out: Option<&Path>, images: &[PathBuf]) -> Result<(), Failure> {
    let Some(path) = out else { return check_place(Path::new(runs::ROOT)) };
    let shown = path.display();
    let other = "give `--out` a new name, or leave it out: the run then gets the next number in `runs`";
    if path.exists() && !path.is_dir() {
        return Err(Failure::new(format!("`{shown}` is a file, and a run needs a folder"), other));
    }
    if !path.is_dir() {
        return check_place(path);
    }
    let mut entries = std::fs::read_dir(path)
        .map_err(|error| Failure::new(format!("`{shown}` cannot be listed: {error}"), other))?;
    if entries.next().is_none() {
        return check_place(path);
    }
    let needs = "and a run needs a folder that is new or empty";
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if images.iter().any(|images| whole(images) == whole(path)) {
        return Err(Failure::new(format!("`{shown}` has the images, {needs}"), other));
    }
    if RunFolder::open(path).is_ok() {
        return Err(Failure::new(
            format!("`{shown}` is the folder of a run, {needs}"),
            format!("resume that run with `moco run --resume {}`, or {other}", shell::path(path)),
        ));
    }
    Err(Failure::new(format!("`{shown}` is not empty, {needs}"), other))
}

/// Checks that a folder at `path`, which may be there, can be written.
fn check_place(path: &Path) -> Result<(), Failure> {
    let here = |above: &Path| if above.as_os_str().is_empty() { PathBuf::from(".") } else { above.into() };
    let Some(above) = path.ancestors().map(here).find(|above| above.exists()) else { return Ok(()) };
    let cannot = |reason: String| {
        Failure::new(
            format!("`{}` cannot be written: {reason}", path.display()),
            "give `--out` another place",
        )
    };
    if !above.is_dir() {
        return Err(cannot(format!("`{}` is a file", above.display())));
    }
    check_writable(&above).map_err(|error| cannot(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_gets_a_new_or_empty_folder() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["photos/inner", "empty", "other", "run"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["photos/a.png", "other/a", "file", "run/pipeline.ron"] {
            std::fs::write(at(file), "").unwrap();
        }
        let images = [at("photos")];
        for name in ["empty", "new", "new/deep", "photos/inner"] {
            check(Some(&at(name)), &images).unwrap();
        }
        assert!(!at("new").exists());
        for (name, message) in [
            ("photos", "has the images, and a run needs a folder that is new or empty"),
            ("photos/inner/..", "has the images"),
            ("other", "is not empty"),
            ("run", "is the folder of a run"),
            ("file", "is a file"),
            ("file/run", "file` is a file"),
        ] {
            let failure = check(Some(&at(name)), &images).unwrap_err();
            assert!(failure.to_string().contains(message), "{failure}");
            let resumes = failure.hint().unwrap().contains("`moco run --resume ");
            assert_eq!(resumes, name == "run", "{failure}");
        }
    }
}
