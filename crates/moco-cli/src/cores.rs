//! The cores of this machine, and those that this process may use.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

/// How many cores this process may keep busy, by its binding and by the limits of its container.
pub(crate) fn usable() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The cores of this machine; none if the system does not tell.
pub(crate) fn online() -> BTreeSet<usize> {
    parse(&std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default())
}

/// The list of cores that this process is bound to, such as `0-3,8`; empty if the system does not tell.
pub(crate) fn bound_to() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.unwrap_or_default().trim().to_owned()
}

/// The cores in a list; none if it is none.
pub(crate) fn parse(list: &str) -> BTreeSet<usize> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_read() {
        assert_eq!(parse("0-3,8\n"), BTreeSet::from([0, 1, 2, 3, 8]));
        assert_eq!(parse("0\n").len(), 1);
        assert!(parse("").is_empty() && parse("3-1").is_empty() && parse("many").is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_bound_to_cores_of_this_machine() {
        let bound = parse(&bound_to());
        assert!(!bound.is_empty() && bound.is_subset(&online()), "{bound:?}");
        assert!(usable().get() <= bound.len());
    }
}
