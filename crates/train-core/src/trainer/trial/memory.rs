//! The most memory that was in use.

/// Looks at memory from its start on.
pub(super) struct Peak;

impl Peak {
    pub(super) fn start() -> Self {
        // Linux forgets the peak so far; elsewhere it counts too.
        #[cfg(target_os = "linux")]
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self
    }

    /// Of the GPU that computes, or else of this process.
    pub(super) fn bytes(&self) -> Option<u64> {
        if let Some(bytes) = tensor_ops::peak_device_memory() {
            return Some(bytes);
        }
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_grows_with_what_is_used() {
        let peak = Peak::start();
        let before = peak.bytes().unwrap();
        // Other tests of this process may give back some of theirs meanwhile.
        let values = vec![7_u8; 256 << 20];
        assert!(values.iter().step_by(4096).all(|&value| value == 7));
        assert!(peak.bytes().unwrap() >= before + (192 << 20));
    }
}
