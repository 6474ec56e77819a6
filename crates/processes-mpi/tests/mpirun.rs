//! The example `exchange` in several processes, under `mpirun`, or what the environment variable `MPIRUN` names.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One job at a time: processes that compete for cores take long.
static ALONE: Mutex<()> = Mutex::new(());

/// What processes said, and how they ended.
struct Outcome {
    succeeded: bool,
    output: String,
    took: Duration,
}

/// The example, which `cargo test` builds beside the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name("examples").join("exchange");
    assert!(
        path.exists(),
        "no {}: run `cargo test -p processes-mpi --features mpi`, which builds it",
        path.display()
    );
    path
}

/// Runs a case of the example in `n` processes.
fn mpirun(n: usize, case: &str) -> Outcome {
    let launcher = std::env::var("MPIRUN").unwrap_or_else(|_| "mpirun".into());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    // `timeout` ends a launcher that hangs, and it ends its processes.
    let output = Command::new("timeout")
        .args(["120", &launcher, "-n", &n.to_string()])
        .arg(example())
        .arg(case)
        // Open MPI refuses more processes than cores, and the user root; other libraries do not know these variables.
        .envs([
            ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
            ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
            ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
            ("OMPI_MCA_hwloc_base_binding_policy", "none"),
            ("OMPI_MCA_mpi_yield_when_idle", "1"),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.code() != Some(127),
        "no launcher `{launcher}`: install an MPI library, or set MPIRUN"
    );
    let text = [output.stdout, output.stderr].concat();
    Outcome {
        succeeded: output.status.success(),
        output: String::from_utf8_lossy(&text).into_owned(),
        took: start.elapsed(),
    }
}

/// Runs a case that must end soon, and not well. Gives what was printed.
fn fails(n: usize, case: &str) -> String {
    let outcome = mpirun(n, case);
    assert!(!outcome.succeeded, "{case} succeeds: {}", outcome.output);
    assert!(outcome.took < Duration::from_secs(10), "{case} takes {:?}: {}", outcome.took, outcome.output);
    outcome.output
}

/// The machine that this runs on, as MPI names it.
fn host() -> String {
    let output = Command::new("uname").arg("-n").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn processes_agree_as_threads_do() {
    for (n, case) in
        [(1, "agree"), (2, "agree"), (3, "agree"), (4, "agree"), (2, "agree-bf16"), (3, "agree-bf16")]
    {
        let outcome = mpirun(n, case);
        assert!(outcome.succeeded, "{n} processes, {case}: {}", outcome.output);
        for rank in 0..n {
            assert!(outcome.output.contains(&format!("process {rank} of {n} agrees")), "{}", outcome.output);
        }
    }
}

#[test]
fn processes_out_of_step_are_told() {
    let output = fails(3, "differ");
    for said in [
        "process 0 says: process 1 exchanges 3 values where process 0 exchanges bytes",
        "process 1 says: process 0 exchanges bytes where process 1 exchanges 3 values",
        "process 2 says: process 1 exchanges 3 values where process 2 exchanges bytes",
    ] {
        assert!(output.contains(said), "{output}");
    }
}

#[test]
fn an_abort_ends_all() {
    let output = fails(3, "abort");
    let said = format!("ended by process 1 of 3 on {}: no room on the disk", host());
    assert!(output.contains(&said), "{output}");
}

#[test]
fn a_panic_in_a_thread_ends_all() {
    let output = fails(2, "panic");
    let said = format!("ended by process 1 of 2 on {}: panicked at ", host());
    assert!(output.contains(&said), "{output}");
    assert!(output.contains(": an index is out of bounds"), "{output}");
}

#[test]
fn a_process_that_is_killed_ends_all() {
    let output = fails(3, "kill");
    assert!(!output.contains("goes on"), "{output}");
}

#[test]
fn a_process_that_does_not_come_in_time_ends_all() {
    let output = fails(2, "sleep");
    let said = "the other processes have not answered for 0.5 s";
    assert!(output.contains(&format!("process 0 says: {said}")), "{output}");
    assert!(output.contains(&format!("ended by process 0 of 2 on {}: {said}", host())), "{output}");
}

#[test]
fn a_process_that_leaves_early_ends_all() {
    let output = fails(2, "leave");
    let either = ["process 1 has ended", "process 0 exchanges bytes where process 1 exchanges nothing more"];
    assert!(either.iter().any(|said| output.contains(said)), "{output}");
}

#[test]
fn mpi_starts_once() {
    let outcome = mpirun(2, "twice");
    assert!(outcome.succeeded, "{}", outcome.output);
    assert!(outcome.output.contains("MPI: it has been started before in this program"), "{}", outcome.output);
}
