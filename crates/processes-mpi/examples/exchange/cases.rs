//! What is to hold between processes, one function a test.

use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use processes::{Processes, ProcessesError, ThreadGroup, Wire};
use processes_mpi::{MpiOptions, MpiProcesses};

use crate::say;

/// Lengths of sums: none, fewer than processes, what travels with its announcement, one piece, and several.
const LENS: [usize; 8] = [0, 1, 2, 1000, 4096, 4097, 200_001, 5_000_003];

/// What all processes agree on, compared with what threads of one program agree on.
pub(crate) fn agree(all: MpiProcesses, wire: Wire) {
    assert_eq!(all.hosts().len(), all.n());
    assert_eq!(all.hosts()[all.rank()], all.host());
    gathers_and_broadcasts(&all);
    for len in LENS {
        same_sum(&all, wire, len);
    }
    sums_overlap(&all);
    // As many short exchanges as a training has, to meet processes that are early and late.
    for round in 0..2000_usize {
        let gathered = all.gather_bytes(&[round as u8, all.rank() as u8]).unwrap();
        let expected: Vec<Vec<u8>> = (0..all.n()).map(|rank| vec![round as u8, rank as u8]).collect();
        assert_eq!(gathered, expected);
    }
    let (rank, n) = (all.rank(), all.n());
    all.abort_on_panic();
    drop(all);
    // What has left the others ends nobody.
    assert!(thread::spawn(|| panic!("a panic after all")).join().is_err());
    println!("process {rank} of {n} agrees");
}

fn gathers_and_broadcasts(all: &MpiProcesses) {
    let of_rank = |rank: usize, len: usize| -> Vec<u8> { (0..len).map(|i| (i * 7 + rank) as u8).collect() };
    // With its announcement, beyond that, and beyond one message.
    for base in [0, 1, 16 * 1024 - 1, 100_000, 70 << 20] {
        let len = |rank: usize| if rank == 1 { 3 } else { base + rank };
        let gathered = all.gather_bytes(&of_rank(all.rank(), len(all.rank()))).unwrap();
        let expected: Vec<Vec<u8>> = (0..all.n()).map(|rank| of_rank(rank, len(rank))).collect();
        assert!(gathered == expected, "gathers of {base} bytes");
        let given = of_rank(all.rank(), base);
        assert!(all.broadcast(given).unwrap() == of_rank(0, base), "a broadcast of {base} bytes");
    }
    assert!(all.any(all.rank() + 1 == all.n()).unwrap());
    assert!(!all.any(false).unwrap());
}

/// What process `rank` gives to a sum: values whose sum depends on its order.
fn values(rank: usize, len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 31 + rank * 17 + 1) as f32).sin() * 1e4_f32.powi(((i + rank) % 3) as i32))
        .collect()
}

fn same_sum(all: &MpiProcesses, wire: Wire, len: usize) {
    let carried = move |values: Vec<f32>| wire.unpack(&wire.pack(&values));
    let threads = ThreadGroup::of(all.n())
        .into_iter()
        .map(|process| thread::spawn(move || process.sum(carried(values(process.rank(), len))).unwrap()));
    let threads: Vec<_> = threads.collect();
    let mut of_threads: Vec<Vec<f32>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let expected = carried(of_threads.swap_remove(0));
    let sum = all.sum(values(all.rank(), len)).unwrap();
    assert!(bits(&sum) == bits(&expected), "{len} values: the bits of a sum");
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Sums go on while something else is exchanged, and one that nobody waits for disturbs nothing.
fn sums_overlap(all: &MpiProcesses) {
    let first = all.start_sum(vec![1.0; 300_000]).unwrap();
    let second = all.start_sum(vec![2.0; 10]).unwrap();
    drop(all.start_sum(vec![3.0; 100_000]).unwrap());
    assert_eq!(all.gather(&[all.rank() as f32]).unwrap().len(), all.n());
    assert_eq!(second.wait().unwrap(), vec![2.0 * all.n() as f32; 10]);
    assert_eq!(first.wait().unwrap(), vec![all.n() as f32; 300_000]);
}

/// All are told that they exchange different things, and then that nothing more can be exchanged.
pub(crate) fn differ(all: &MpiProcesses) {
    let error = match all.rank() {
        1 => all.sum(vec![1.0; 3]).unwrap_err(),
        _ => all.gather_bytes(&[1]).unwrap_err(),
    };
    assert!(matches!(error, ProcessesError::OutOfStep { .. }), "{error}");
    assert_eq!(all.gather_bytes(&[1]), Err(error.clone()));
    say(&format!("process {} says: {error}", all.rank()));
    // The others print the same: the first to end ends all.
    thread::sleep(Duration::from_secs(1));
}

/// Process 1 ends all, from a thread, while the others wait for it in an exchange and in the library.
pub(crate) fn abort(all: &MpiProcesses) {
    match all.rank() {
        1 => thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(300));
                all.abort("no room on the disk");
            });
            // It waits, too: for the others' next exchange.
            all.gather_bytes(&[]).unwrap();
            all.gather_bytes(&[]).unwrap();
        }),
        _ => {
            all.gather_bytes(&[]).unwrap();
            thread::sleep(Duration::from_secs(60));
        }
    }
}

/// A panic in a thread of process 1, which nobody waits for, while the others exchange.
pub(crate) fn panic(all: &MpiProcesses) {
    all.abort_on_panic();
    if all.rank() == 1 {
        thread::spawn(|| panic!("an index is out of bounds"));
        thread::sleep(Duration::from_secs(60));
    }
    all.gather_bytes(&[]).unwrap();
}

/// Process 1 is killed as the system does when memory runs out.
pub(crate) fn kill(all: &MpiProcesses) {
    all.gather_bytes(&[]).unwrap();
    if all.rank() == 1 {
        Command::new("kill").args(["-9", &process::id().to_string()]).status().unwrap();
    }
    let error = all.gather_bytes(&[]).map(drop);
    println!("process {} goes on: {error:?}", all.rank());
}

/// Process 1 does not come in time.
pub(crate) fn sleep(all: &MpiProcesses) {
    all.gather_bytes(&[]).unwrap();
    if all.rank() == 1 {
        thread::sleep(Duration::from_secs(60));
    }
    let error = all.gather_bytes(&[]).unwrap_err();
    assert_eq!(error, ProcessesError::TimedOut { after: Duration::from_millis(500) });
    say(&format!("process {} says: {error}", all.rank()));
}

/// Process 1 ends early, as after an error of its own.
pub(crate) fn leave(all: MpiProcesses) {
    if all.rank() == 1 {
        drop(all);
        return;
    }
    let error = all.gather_bytes(&[]).unwrap_err();
    assert_eq!(error, ProcessesError::Ended { rank: 1, why: None });
}

/// MPI starts once in a program, and says so.
pub(crate) fn twice(all: MpiProcesses) {
    let again = || MpiProcesses::start(MpiOptions { wire: Wire::Single, time_out: None, tell: |_| {} });
    println!("process {} says: {}", all.rank(), again().unwrap_err());
    drop(all);
    assert!(again().is_err());
}
