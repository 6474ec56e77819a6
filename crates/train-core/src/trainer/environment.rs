//! `environment.json`: what a run was trained with, for whoever wants to repeat it.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tensor_ops::{device_status, kernel_family};

use super::images::ImageSets;

/// This process, as one of those that have trained a run.
pub(super) fn described(images: &ImageSets, n_workers: usize, n_processes: usize, steps_done: u64) -> Value {
    let device = match device_status() {
        Ok(Some(status)) => status.name,
        _ => "CPU".into(),
    };
    let [train, test] = images.described();
    json!({
        "from_step": steps_done,
        "started_unix": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        "version": env!("CARGO_PKG_VERSION"),
        "commit": commit(),
        "command": std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>(),
        "folder": std::env::current_dir().map(|folder| folder.display().to_string()).ok(),
        "machine": {
            "host": first_line("/proc/sys/kernel/hostname"),
            "system": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "processor": processor(),
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
        },
        "device": device,
        "kernels": kernel_family().to_string(),
        "threads": rayon::current_num_threads(),
        "workers": n_workers,
        "processes": n_processes,
        "train_images": train,
        "test_images": test,
    })
}

/// The commit that the program was built from: as the build said, or that of the checkout in whose `target` the program lies.
fn commit() -> Option<String> {
    if let Some(commit) = option_env!("MOCO_COMMIT") {
        return Some(commit.into());
    }
    let program = std::env::current_exe().ok()?;
    let target = program.ancestors().find(|folder| folder.ends_with("target"))?;
    head_of(&target.parent()?.join(".git"))
}

/// The commit that `HEAD` is at.
fn head_of(git: &Path) -> Option<String> {
    let head = fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().into()) };
    let loose = fs::read_to_string(git.join(reference)).map(|commit| commit.trim().to_owned()).ok();
    loose.or_else(|| {
        let packed = fs::read_to_string(git.join("packed-refs")).ok()?;
        packed.lines().find_map(|line| line.strip_suffix(reference)?.strip_suffix(' ').map(str::to_owned))
    })
}

fn first_line(file: &str) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.lines().next()?.to_owned())
}

/// The processor's name, where the system tells it in a file.
fn processor() -> Option<String> {
    let known = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = known.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_found_whether_its_reference_is_packed_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path();
        assert_eq!(head_of(git), None);
        fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(git.join("packed-refs"), "# pack-refs\nabc refs/heads/other\ndef refs/heads/main\n")
            .unwrap();
        assert_eq!(head_of(git).as_deref(), Some("def"));
        fs::create_dir_all(git.join("refs/heads")).unwrap();
        fs::write(git.join("refs/heads/main"), "123\n").unwrap();
        assert_eq!(head_of(git).as_deref(), Some("123"));
        fs::write(git.join("HEAD"), "456\n").unwrap();
        assert_eq!(head_of(git).as_deref(), Some("456"));
    }
}
