//! How long exchanges take.

use std::time::Instant;

use processes::Processes;
use processes_mpi::MpiProcesses;

/// The weights of a ResNet-50.
const N_VALUES: usize = 25_600_000;

/// Prints the median times of a large sum and of short gathers.
pub(crate) fn run(all: &MpiProcesses, wire: &str) {
    let mut values = vec![1.0; N_VALUES];
    let sum = median(15, || {
        // As gradients are: of the same size each time.
        values = all.sum(std::mem::take(&mut values)).unwrap();
        values.fill(1.0);
    });
    let gather = |n_bytes: usize| {
        let own = vec![all.rank() as u8; n_bytes];
        median(2001, || assert_eq!(all.gather_bytes(&own).unwrap().len(), all.n()))
    };
    let (long, short) = (gather(64 << 10), gather(512));
    if all.is_first() {
        println!("{} processes", all.n());
        println!("sum of {N_VALUES} values as {wire}: {:.1} ms", 1e3 * sum);
        println!("gather of 64 KiB of each: {:.0} µs", 1e6 * long);
        println!("gather of 512 B of each: {:.0} µs", 1e6 * short);
    }
}

/// Prints how much of a large sum hides behind computing that takes longer, in the thread that starts the sum.
pub(crate) fn overlap(all: &MpiProcesses, wire: &str) {
    let mut given = vec![1.0; N_VALUES];
    let sum = median(5, || {
        given = all.sum(std::mem::take(&mut given)).unwrap();
        given.fill(1.0);
    });
    let mut numbers = vec![1.0; 1 << 14];
    let pass = median(101, || compute(&mut numbers, 1));
    // All compute the same amount, or one waits for the others.
    let own = ((1.5 * sum / pass).ceil() as u64).to_le_bytes();
    let of_first = all.broadcast(own.to_vec()).unwrap();
    let n_passes = u64::from_le_bytes(of_first.try_into().expect("8 bytes"));
    let computing = median(5, || compute(&mut numbers, n_passes));
    let both = median(5, || {
        let summing = all.start_sum(std::mem::take(&mut given)).unwrap();
        compute(&mut numbers, n_passes);
        given = summing.wait().unwrap();
        given.fill(1.0);
    });
    if all.is_first() {
        println!("{} processes", all.n());
        println!("computing alone: {:.0} ms", 1e3 * computing);
        println!("sum of {N_VALUES} values as {wire} alone: {:.0} ms", 1e3 * sum);
        println!("both at once: {:.0} ms", 1e3 * both);
        println!("hidden of the sum: {:.0} %", 100.0 * (computing + sum - both) / sum);
    }
}

/// Passes over numbers that fit into a core's own memory.
fn compute(numbers: &mut [f32], n_passes: u64) {
    for _ in 0..n_passes {
        for number in &mut *numbers {
            *number = number.mul_add(0.5, 1.0).sqrt();
        }
        std::hint::black_box(&mut *numbers);
    }
}

/// The median time of `n` calls, in seconds.
fn median(n: usize, mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..n)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[n / 2]
}
