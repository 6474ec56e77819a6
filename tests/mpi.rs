//! Runs that `mpirun` starts in several processes.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::support::{Outcome, assert_same_runs, checkpoint_steps, command, here, xtask};

/// How soon all processes are gone when one is.
const SOON: Duration = Duration::from_secs(10);

/// `mpirun` of either library, for more processes than cores, and as root in a container.
fn mpirun(folder: &Path) -> Command {
    let mut mpirun = Command::new("mpirun");
    apart(&mut mpirun, folder)
        .current_dir(folder)
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_MCA_hwloc_base_binding_policy", "none")
        .env("OMPI_MCA_mpi_yield_when_idle", "1")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    mpirun
}

/// Open MPI keeps a folder of all its jobs on a machine: one that ends removes it, and another that begins may miss it then. Here
/// each test has one of its own.
fn apart<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.env("TMPDIR", folder)
}

/// The program with `arguments`, in `n` processes.
fn start(folder: &Path, n: usize, arguments: &[&str]) -> Child {
    let program = command(folder, arguments);
    mpirun(folder)
        .args(["-n", &n.to_string()])
        .arg(program.get_program())
        .args(program.get_args())
        .spawn()
        .expect("`mpirun` is in the path")
}

fn run(folder: &Path, n: usize, arguments: &[&str]) -> Outcome {
    start(folder, n, arguments).wait_with_output().unwrap().into()
}

/// The arguments of a run of the file `name` of this folder in four parts, which go to `out`.
fn arguments<'a>(file: &'a str, out: &'a str, sets: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", file, "--out", out, "--set", "data.micro_batch=4"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    arguments
}

/// The numbers of the processes below `parent` that run the program, without `parent`.
fn children(parent: &Child) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "pid,ppid,args"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let mut family = vec![parent.id().to_string()];
    let mut found = Vec::new();
    let mut place = 0;
    while place < family.len() {
        for line in &lines {
            if let [pid, ppid, program, ..] = line[..]
                && ppid == family[place]
            {
                family.push(pid.to_owned());
                if program.contains("program-under-test") {
                    found.push(pid.to_owned());
                }
            }
        }
        place += 1;
    }
    found
}

/// What a signal is sent to.
#[derive(Clone, Copy)]
enum To {
    OneProcess,
    TheStarted,
}

/// Of the runs that are interrupted here.
const N_STEPS: u64 = 80;

/// A run in four processes, which `start` starts with its arguments and `signal` met within it: in one of its processes, or in
/// `start`'s if `to` says so. Its folder, how it ended, and how long that took.
///
/// On a busy machine, a run may be further than it seems: then another is tried.
fn interrupted(
    root: &Path,
    start: impl Fn(&[&str]) -> Child,
    signal: &str,
    to: To,
) -> (String, Outcome, Duration) {
    let file = here("symmetric.ron");
    for attempt in 0..10 {
        let out = format!("interrupted-{attempt}");
        let newest = || checkpoint_steps(&root.join(&out)).last().copied().unwrap_or(0);
        let mut child = start(&arguments(&file, &out, &[]));
        while newest() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let process = match to {
            To::OneProcess => children(&child).pop(),
            To::TheStarted => Some(child.id().to_string()),
        };
        let Some(process) = process else { continue };
        let start = Instant::now();
        Command::new("kill").args([signal, &process]).output().unwrap();
        let outcome = Outcome::from(child.wait_with_output().unwrap());
        if newest() < N_STEPS {
            return (out, outcome, start.elapsed());
        }
    }
    panic!("no run could be interrupted");
}

/// Goes on with a run in four processes, and compares it with one that one process has trained without a break.
fn assert_goes_on(root: &Path, run_folder: &str) {
    xtask(root, arguments(&here("symmetric.ron"), "straight", &[])).done();
    run(root, 4, &["run", "--resume", run_folder]).done();
    assert_eq!(checkpoint_steps(&root.join(run_folder)).last(), Some(&N_STEPS));
    assert_same_runs(&root.join(run_folder), &root.join("straight"));
}

#[test]
fn one_two_and_four_processes_write_the_same_files() {
    for file in ["symmetric.ron", "v3.ron"] {
        let root = tempdir().unwrap();
        let (path, short) = (here(file), ["data.source.train=96"]);
        xtask(root.path(), arguments(&path, "alone", &short)).done();
        for n in [2, 4] {
            let out = format!("{n}-processes");
            let outcome = run(root.path(), n, &arguments(&path, &out, &short)).done();
            assert!(outcome.stdout.contains(&format!("processes {n} on 1 machine (")), "{outcome}");
            let parts = format!("parts     4 of 4 images (`data.micro_batch: 4`), {} a process", 4 / n);
            assert!(outcome.stdout.contains(&parts), "{outcome}");
            assert_same_runs(&root.path().join(&out), &root.path().join("alone"));
        }
        let out = "by-itself";
        let mut ranks = with_ranks(root.path(), 2, &arguments(&path, out, &short));
        let outcome = Outcome::from(ranks.output().unwrap()).done();
        assert!(outcome.stdout.contains("processes 2 on 1 machine ("), "{outcome}");
        assert_same_runs(&root.path().join(out), &root.path().join("alone"));
    }
}

/// The program with `arguments`, which starts itself in `n` processes.
fn with_ranks(folder: &Path, n: usize, arguments: &[&str]) -> Command {
    let mut command = as_root(command(folder, [arguments, &["--ranks", &n.to_string()]].concat()));
    apart(&mut command, folder);
    command
}

/// Lets the `mpirun` that a command starts run as root.
fn as_root(mut command: Command) -> Command {
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command
}

/// Tells that a run was stopped softly, and where.
fn assert_stopped(root: &Path, folder: &str, outcome: &Outcome, took: Duration) {
    assert_eq!(outcome.code, Some(130), "{outcome}");
    assert!(took < SOON, "{took:?}");
    let newest = *checkpoint_steps(&root.join(folder)).last().unwrap();
    assert!(
        outcome.stdout.contains(&format!("stopped after step {newest}, checkpoint {folder}/")),
        "{outcome}"
    );
}

/// [`interrupted`] for four processes that `mpirun` starts.
fn interrupted_under_mpirun(root: &Path, signal: &str, to: To) -> (String, Outcome, Duration) {
    interrupted(root, |arguments| start(root, 4, arguments), signal, to)
}

#[test]
fn a_killed_process_ends_all_and_the_run_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    let (folder, outcome, took) = interrupted_under_mpirun(root.path(), "-KILL", To::OneProcess);
    assert!(!matches!(outcome.code, Some(0 | 130)), "{outcome}");
    assert!(took < SOON, "{took:?}");
    assert_goes_on(root.path(), &folder);
}

#[test]
fn a_signal_to_one_process_stops_all_at_one_step_and_the_run_goes_on_to_the_same_bits() {
    let root = tempdir().unwrap();
    let (folder, outcome, took) = interrupted_under_mpirun(root.path(), "-TERM", To::OneProcess);
    assert_stopped(root.path(), &folder, &outcome, took);
    assert_goes_on(root.path(), &folder);
}

#[test]
fn mpirun_passes_a_signal_on_that_stops_a_run_softly() {
    let root = tempdir().unwrap();
    let (folder, outcome, took) = interrupted_under_mpirun(root.path(), "-USR1", To::TheStarted);
    assert_stopped(root.path(), &folder, &outcome, took);
}

#[test]
fn ranks_end_soon_whatever_ends_them() {
    let root = tempdir().unwrap();
    let by_itself = |arguments: &[&str]| with_ranks(root.path(), 4, arguments).spawn().unwrap();
    let clock = Instant::now();
    let outcome = Outcome::from(by_itself(&["run", "nothing.ron"]).wait_with_output().unwrap());
    assert_eq!(outcome.stderr.matches("`nothing.ron` does not exist").count(), 1, "{outcome}");
    assert!(!matches!(outcome.code, Some(0 | 130)) && clock.elapsed() < SOON, "{outcome}");

    // `mpirun` has not started a process yet.
    let mut child = by_itself(&arguments(&here("symmetric.ron"), "early", &["epochs=1000"]));
    std::thread::sleep(Duration::from_millis(40));
    let clock = Instant::now();
    Command::new("kill").args(["-TERM", &child.id().to_string()]).output().unwrap();
    assert_ne!(child.wait().unwrap().code(), Some(0));
    assert!(clock.elapsed() < SOON, "{:?}", clock.elapsed());

    for signal in ["-INT", "-TERM"] {
        let (folder, outcome, took) = interrupted(root.path(), by_itself, signal, To::TheStarted);
        assert_stopped(root.path(), &folder, &outcome, took);
        std::fs::remove_dir_all(root.path().join(folder)).unwrap();
    }
    let (_, outcome, took) = interrupted(root.path(), by_itself, "-KILL", To::OneProcess);
    assert!(!matches!(outcome.code, Some(0 | 130)), "{outcome}");
    assert!(took < SOON, "{took:?}");
}

#[test]
fn a_launcher_and_ranks_must_agree() {
    let root = tempdir().unwrap();
    let outcome = run(root.path(), 2, &["run", &here("small.ron"), "--ranks", "3"]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    let told = "has started this program 2 times, and `--ranks 3` asks for another number";
    assert_eq!(outcome.stderr.matches(told).count(), 1, "{outcome}");
}

#[test]
fn processes_that_differ_are_told_apart_and_all_end() {
    let root = tempdir().unwrap();
    let file = here("symmetric.ron");
    let program = command(root.path(), arguments(&file, "run", &[]));
    let program: Vec<&OsStr> = [program.get_program()].into_iter().chain(program.get_args()).collect();
    let colon = OsStr::new(":");
    let start = Instant::now();
    // The second process has other kernels.
    let outcome = Outcome::from(
        mpirun(root.path())
            .args(["-n", "1"])
            .args(&program)
            .arg(colon)
            .args(["-n", "1", "env", "MOCO_KERNELS=portable"])
            .args(&program)
            .output()
            .unwrap(),
    );
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(start.elapsed() < SOON);
    let told = "error: the processes have different kernels: process 0 has ";
    assert!(
        outcome.stderr.contains(told) && outcome.stderr.contains(", process 1 has portable"),
        "{outcome}"
    );
    assert!(outcome.stderr.contains("hint: start every process with the same program"), "{outcome}");
}

#[test]
fn a_command_for_one_process_refuses_to_run_in_several() {
    let root = tempdir().unwrap();
    let outcome = run(root.path(), 2, &["check", &here("small.ron")]);
    assert_eq!(outcome.code, Some(2), "{outcome}");
    let told = "has started this program 2 times, and `check` runs in one process";
    assert_eq!(outcome.stderr.matches(told).count(), 1, "once for all: {outcome}");
}
