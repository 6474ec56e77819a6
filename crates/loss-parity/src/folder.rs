//! All golden files of a plugin crate.

use std::path::Path;

use tensor_ops::Device;

use crate::compare;

/// Compares the losses that are linked in with each file of `folder`, for the test of a plugin crate.
///
/// # Panics
/// If a file cannot be read or compared, if a group is further from it than it may be, or if there is no file.
pub fn assert_golden(folder: &Path) {
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        let name = path.display().to_string();
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let groups =
            compare(&name, &bytes, &Device::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for group in &groups {
            assert!(group.is_ok(), "{name}: {group:?}");
        }
        assert!(groups.len() >= 2, "{name}: {groups:?}");
        n_files += 1;
    }
    assert!(n_files > 0, "there is nothing in {}", folder.display());
}
