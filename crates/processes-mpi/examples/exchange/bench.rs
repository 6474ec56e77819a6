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
