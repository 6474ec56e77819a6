//! What can be known of a disk before something is written to it.

use std::io;
use std::path::Path;

/// The bytes that can still be written at `path`, which exists; `None` where the system does not tell.
#[cfg(unix)]
pub fn free_space(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// The bytes that can still be written at `path`, which exists; `None` where the system does not tell.
#[cfg(not(unix))]
pub fn free_space(_: &Path) -> Option<u64> {
    None
}

/// Checks that files can be created in `folder`.
///
/// # Errors
/// If they cannot: it is read-only, or belongs to somebody else.
pub fn check_writable(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_room_and_whether_it_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        assert!(free_space(folder.path()).unwrap() > 0);
        assert_eq!(free_space(&folder.path().join("nothing")), None);
        check_writable(folder.path()).unwrap();
        assert!(check_writable(&folder.path().join("nothing")).is_err());
    }
}
