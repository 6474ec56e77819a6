//! The cores of this machine, and those that this process may use.

use std::collections::BTreeSet;
use std::num::{NonZeroUsize, ParseIntError};

/// How many cores this process may keep busy, by its binding and by the limits of its container.
pub(crate) fn usable() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The largest number of threads or workers that is taken: a few for each core, for whoever waits for a slow disk.
pub(crate) fn most() -> NonZeroUsize {
    const PER_CORE: usize = 4;
    const AT_LEAST: usize = 64;
    NonZeroUsize::new(AT_LEAST.max(PER_CORE * usable().get())).unwrap_or(NonZeroUsize::MIN)
}

/// Takes a number of threads or workers, but no more than [`most`].
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, ParseIntError> {
    text.parse().map(|asked: NonZeroUsize| asked.min(most()))
}

/// What is to be told of `arguments` that ask for more than [`most`].
pub(crate) fn told(arguments: &clap::ArgMatches) -> Vec<String> {
    let asked = |id: &str| -> Option<usize> {
        let given = arguments.ids().any(|of| of.as_str() == id);
        let mut raw = given.then(|| arguments.get_raw(id)).flatten()?;
        raw.next_back()?.to_str()?.parse().ok()
    };
    let note = |id: &str| {
        let (asked, most) = (asked(id)?, most());
        (asked > most.get())
            .then(|| format!("`--{id} {asked}` is more than this machine can use: it has {most}"))
    };
    ["threads", "workers"].into_iter().filter_map(note).collect()
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
    fn more_threads_than_can_be_of_use_are_not_started_and_it_is_said() {
        for (arguments, threads, n_notes) in [
            (&["moco", "scan", "photos", "--threads", "3"][..], 3, 0),
            (&["moco", "scan", "photos", "--threads", "10000000"], most().get(), 1),
        ] {
            let matches = crate::command_line().try_get_matches_from(arguments).unwrap();
            let (_, of) = matches.subcommand().unwrap();
            assert_eq!(of.get_one::<NonZeroUsize>("threads").map(|n| n.get()), Some(threads));
            assert_eq!(told(of).len(), n_notes);
        }
        // Every command that takes such a number, and no other.
        for command in crate::command_line().get_subcommands() {
            for id in ["threads", "workers"] {
                if command.get_arguments().any(|argument| argument.get_id() == id) {
                    // Without what else it needs.
                    let command = command.clone().ignore_errors(true);
                    let matches = command.try_get_matches_from(["it", &format!("--{id}"), "99999"]).unwrap();
                    assert_eq!(matches.get_one::<NonZeroUsize>(id), Some(&most()), "{matches:?}");
                }
            }
        }
    }

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
