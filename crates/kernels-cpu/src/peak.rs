//! What the registers of this machine can do, beside which a kernel's speed means something.

use std::{
    hint::black_box,
    marker::PhantomData,
    sync::Barrier,
    time::{Duration, Instant},
};

use crate::{
    Precision,
    matrix::multiplies_pairs,
    simd::{Element, Family, Kernel, Lanes},
};

/// Rounds, of which the middle one counts.
const N_ROUNDS: usize = 5;
/// Of a round: long beside the start of a thread, short beside anyone's patience.
const ROUND: Duration = Duration::from_millis(10);
/// Steps between two looks at the clock.
const N_STEPS: usize = 20_000;
/// Accumulators at most: two for each of [`Lanes::ROWS`].
const MAX_SUMS: usize = 16;

/// Multiplications and additions a second of `n_threads` threads that touch no memory, of values kept in `precision`.
///
/// With the instructions that the kernels use ([`kernel_family`](crate::kernel_family)), and as many sums at a time as a
/// tile of their matrix product has. No kernel over the same instructions can be faster; on a machine that does other
/// things too, both are slower. Takes a twentieth of a second.
pub fn register_peak(n_threads: usize, precision: Precision) -> f64 {
    let mut rounds = [(); N_ROUNDS].map(|()| round(n_threads, precision));
    rounds.sort_by(f64::total_cmp);
    rounds[N_ROUNDS / 2]
}

/// All threads begin at once, so that none has the clock rate of a machine that is otherwise idle.
fn round(n_threads: usize, precision: Precision) -> f64 {
    let barrier = Barrier::new(n_threads);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..n_threads).map(|_| scope.spawn(|| of_this_thread(precision, &barrier))).collect();
        threads.into_iter().map(|thread| thread.join().expect("nothing in it panics")).sum()
    })
}

fn of_this_thread(precision: Precision, barrier: &Barrier) -> f64 {
    let family = Family::detected();
    let is_in_pairs = multiplies_pairs(family, precision, 2);
    barrier.wait();
    let start = Instant::now();
    let mut n_flops = 0;
    while start.elapsed() < ROUND {
        n_flops += if is_in_pairs {
            family.run(MultiplyAdd::<u16>(PhantomData))
        } else {
            family.run(MultiplyAdd::<f32>(PhantomData))
        };
    }
    n_flops as f64 / start.elapsed().as_secs_f64()
}

/// [`N_STEPS`] steps of independent sums; gives the number of multiplications and additions.
struct MultiplyAdd<E>(PhantomData<E>);

impl<E: Element> Kernel for MultiplyAdd<E> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self) -> usize {
        const { assert!(2 * L::ROWS <= MAX_SUMS) };
        // Sums grow slowly: far from what processors are slow at, overflow and numbers next to 0. As bfloat16, too, the
        // bits are a number beside a 0.
        let factor = L::splat(black_box(0.5));
        let mut sums = [L::splat(black_box(1.0)); MAX_SUMS];
        for _ in 0..N_STEPS {
            for sum in &mut sums[..2 * L::ROWS] {
                *sum = E::mul_add::<L>(factor, factor, *sum);
            }
        }
        let mut total = L::zero();
        for &sum in &sums[..2 * L::ROWS] {
            total = L::add(total, sum);
        }
        black_box(total);
        2 * N_STEPS * 2 * L::ROWS * L::N * E::PER_STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_does_more_than_a_million_operations_a_second() {
        for precision in [Precision::F32, Precision::Bf16] {
            let peak = register_peak(2, precision);
            assert!(peak.is_finite() && peak > 1e6, "{peak}");
        }
    }
}
