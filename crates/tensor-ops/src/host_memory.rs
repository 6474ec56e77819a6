//! How much memory the machine has for this program.

use std::path::Path;

/// Bytes that the program can still take before the system has none left: what is free or can be freed, and swap, within the
/// limits of its control group and its address space. `None` where the system does not say, which only Linux does.
pub fn available_host_memory() -> Option<u64> {
    let of_machine = read("/proc/meminfo").and_then(|text| of_machine(&text));
    let of_group = of_group();
    let of_address_space = read("/proc/self/limits").zip(read("/proc/self/statm"));
    let of_address_space = of_address_space.and_then(|(limits, used)| of_address_space_in(&limits, &used));
    [of_machine, of_group, of_address_space].into_iter().flatten().min()
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The number behind `name` in lines of names and numbers.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let kib = number(meminfo, "MemAvailable:")? + number(meminfo, "SwapFree:").unwrap_or(0);
    Some(kib * 1024)
}

/// Of the group that the process is in, and of those around it: in a container its own is the root.
fn of_group() -> Option<u64> {
    let groups = read("/proc/self/cgroup")?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let folders = root.join(own);
    let folders = folders.ancestors().take_while(|folder| folder.starts_with(root));
    let left = |folder: &Path| {
        let of = |name: &str| read(folder.join(name));
        left_in_group(&of("memory.max")?, &of("memory.current")?, &of("memory.stat").unwrap_or_default())
    };
    folders.filter_map(left).min()
}

/// `max` means that there is no limit. Pages of files that nothing uses are given up for others.
fn left_in_group(limit: &str, used: &str, stat: &str) -> Option<u64> {
    let limit: u64 = limit.trim().parse().ok()?;
    let used: u64 = used.trim().parse().ok()?;
    Some(limit.saturating_sub(used.saturating_sub(number(stat, "inactive_file ").unwrap_or(0))))
}

fn of_address_space_in(limits: &str, statm: &str) -> Option<u64> {
    const PAGE_BYTES: u64 = 4096;
    let limit = number(limits, "Max address space")?;
    let n_pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(n_pages * PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let meminfo =
            "MemTotal:       32000000 kB\nMemFree: 1 kB\nMemAvailable:   2000 kB\nSwapFree:  48 kB\n";
        assert_eq!(of_machine(meminfo), Some(2048 * 1024));
        assert_eq!(of_machine("MemTotal: 5 kB"), None);
        assert_eq!(left_in_group("max\n", "5\n", ""), None);
        assert_eq!(left_in_group("1000\n", "700\n", "anon 1\ninactive_file 300\n"), Some(600));
        assert_eq!(left_in_group("1000\n", "1200\n", ""), Some(0));
        let limits =
            |limit: &str| format!("Limit   Soft Limit  Hard\nMax address space         {limit}   bytes\n");
        assert_eq!(of_address_space_in(&limits("10000000"), "100 5 5"), Some(10_000_000 - 409_600));
        assert_eq!(of_address_space_in(&limits("unlimited"), "100 5 5"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some() {
        let before = available_host_memory().unwrap();
        assert!(before > 10 << 20, "{before}");
    }
}
