//! Where a plugin outside of the tree has moco-rs from.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Where moco-rs is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Moco {
    /// A checkout on this machine, by its whole path.
    Folder(PathBuf),
    /// A git repository.
    Git(String),
}

/// Whether `folder` is the root of a checkout.
pub(super) fn is_checkout(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    manifest.contains("[workspace]") && folder.join("crates/plugin-api/Cargo.toml").is_file()
}

impl Moco {
    /// What `--moco` says; without it, the checkout around this folder, or the one that the program was built from.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn find(given: Option<&str>) -> Result<Self, Failure> {
        let Some(given) = given else { return Self::found() };
        if given.contains("://") || given.starts_with("git@") {
            return Ok(Self::Git(given.to_owned()));
        }
        let folder = Path::new(given);
        match is_checkout(folder) {
            true => Self::folder(folder),
            false => Err(Failure::usage(
                format!("`{given}` is no checkout of moco-rs: it has no `crates/plugin-api`"),
                "give its root, or the address of a git repository",
            )),
        }
    }

    fn found() -> Result<Self, Failure> {
        let here = std::env::current_dir()?;
        let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let found = here.ancestors().chain(built_from).find(|folder| is_checkout(folder));
        found.map(Self::folder).unwrap_or_else(|| {
            Err(Failure::usage(
                "a plugin depends on moco-rs, and there is no checkout of it around this folder",
                "say where it is: `--moco DIR`, or `--moco URL` for a git repository",
            ))
        })
    }

    fn folder(folder: &Path) -> Result<Self, Failure> {
        Ok(Self::Folder(fs::canonicalize(folder)?))
    }

    /// A line for the crate `name` in a `Cargo.toml`.
    pub(super) fn line(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => {
                let path = folder.join("crates").join(name).display().to_string();
                format!("{name} = {{ path = {} }}\n", quoted(&path))
            }
            Self::Git(url) => format!("{name} = {{ git = {} }}\n", quoted(url)),
        }
    }
}

/// A text of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moco_is_found_or_asked_for() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let moco = Moco::find(Some(&root.display().to_string())).unwrap();
        let Moco::Folder(folder) = &moco else { panic!("{moco:?}") };
        assert!(is_checkout(folder) && folder.is_absolute());
        assert!(moco.line("nn").ends_with("crates/nn\" }\n"), "{}", moco.line("nn"));
        // From wherever this test runs.
        assert_eq!(Moco::find(None).unwrap(), moco);
        let git = Moco::find(Some("https://example.org/moco-rs")).unwrap();
        assert_eq!(git.line("nn"), "nn = { git = \"https://example.org/moco-rs\" }\n");
        let empty = tempfile::tempdir().unwrap();
        assert!(Moco::find(Some(&empty.path().display().to_string())).is_err());
    }
}
