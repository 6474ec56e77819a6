//! What a run may write to: its own files, and nothing that a link leads to.

use std::fs;
use std::io;
use std::path::Path;

/// Checks that a regular file or nothing is at `path`, so that a write there changes nothing elsewhere.
///
/// # Errors
/// If it is a link, or something else than a file.
pub(crate) fn check_own_file(path: &Path) -> io::Result<()> {
    check(path, "file", fs::Metadata::is_file)
}

/// Checks that a folder or nothing is at `path`, so that files in it are where they seem to be.
///
/// # Errors
/// If it is a link, or something else than a folder.
pub(crate) fn check_own_folder(path: &Path) -> io::Result<()> {
    check(path, "folder", fs::Metadata::is_dir)
}

/// The bytes of a file of a run, whatever its length. A pipe or a device in its place, which might never end, is an error.
///
/// # Errors
/// If it is missing, no regular file, or cannot be read.
pub(crate) fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    regular_files::read(path, u64::MAX)
}

/// The text of such a file.
///
/// # Errors
/// As [`read_own`], and [`io::ErrorKind::InvalidData`] if it is not UTF-8.
pub(crate) fn read_own_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_own(path)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

fn check(path: &Path, what: &str, is_own: impl Fn(&fs::Metadata) -> bool) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if is_own(&found) => Ok(()),
        Ok(found) => {
            let is = if found.is_symlink() { "a link".to_owned() } else { format!("no {what}") };
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "it is {is}, and a run writes only to what is its own: put a {what} in its place, or remove it"
                ),
            ))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_there_itself_is_a_run_s_own() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("folder")).unwrap();
        assert!(check_own_file(&path("file")).is_ok() && check_own_file(&path("none")).is_ok());
        assert!(check_own_folder(&path("folder")).is_ok() && check_own_folder(&path("none")).is_ok());
        assert!(check_own_file(&path("folder")).unwrap_err().to_string().starts_with("it is no file"));
        assert!(check_own_folder(&path("file")).unwrap_err().to_string().starts_with("it is no folder"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_refused_whether_it_leads_somewhere_or_not() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        for (link, to) in [("a", "folder"), ("b", "nothing")] {
            std::os::unix::fs::symlink(path(to), path(link)).unwrap();
            for error in [check_own_file(&path(link)), check_own_folder(&path(link))] {
                assert!(error.unwrap_err().to_string().starts_with("it is a link"));
            }
        }
    }
}
