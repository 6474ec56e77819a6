//! What the tests of this crate start in several processes, and benchmarks of exchanges:
//! `mpirun -n 2 target/release/examples/exchange bench`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example is a program")]

mod bench;
mod cases;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use processes::Wire;
use processes_mpi::{MpiOptions, MpiProcesses};

const USAGE: &str = "usage: exchange CASE, with one of: agree, agree-bf16, bench, bench-bf16, overlap, overlap-bf16, differ, abort, panic, kill, sleep, leave, twice";

fn main() -> ExitCode {
    let case = std::env::args().nth(1).unwrap_or_default();
    let start = |wire, time_out: Option<Duration>| {
        MpiProcesses::start(MpiOptions { wire, time_out, tell }).expect("MPI starts")
    };
    let long = Some(Duration::from_secs(100));
    match case.as_str() {
        "agree" => cases::agree(start(Wire::Single, long), Wire::Single),
        "agree-bf16" => cases::agree(start(Wire::Bf16, long), Wire::Bf16),
        "differ" => cases::differ(&start(Wire::Single, long)),
        "abort" => cases::abort(&start(Wire::Single, long)),
        "panic" => cases::panic(&start(Wire::Single, long)),
        "kill" => cases::kill(&start(Wire::Single, long)),
        "sleep" => cases::sleep(&start(Wire::Single, Some(Duration::from_millis(500)))),
        "leave" => cases::leave(start(Wire::Single, long)),
        "twice" => cases::twice(start(Wire::Single, long)),
        "bench" => bench::run(&start(Wire::Single, long), "f32"),
        "bench-bf16" => bench::run(&start(Wire::Bf16, long), "bf16"),
        "overlap" => bench::overlap(&start(Wire::Single, long), "f32"),
        "overlap-bf16" => bench::overlap(&start(Wire::Bf16, long), "bf16"),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn tell(text: &str) {
    say(&format!("ended by {text}"));
}

/// Prints a line in one piece, or the launcher mixes it with what other processes print.
fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
