//! How a value of a sum travels: as it is, or as bfloat16.

use half::bf16;
use mpi::traits::Equivalence;
use processes::sum_in_order;

/// Values added at a time: what all processes give of them fits into a core's own memory.
pub(crate) const STRIP: usize = 4096;

/// A value as it travels.
pub(crate) trait Lane: Equivalence + Copy + Default {
    /// Adds what the processes give, in order of rank and of equal lengths of at most [`STRIP`]. The sum is in what `rank` gave.
    fn add(of_ranks: &mut [&mut [Self]], rank: usize);
}

impl Lane for f32 {
    fn add(of_ranks: &mut [&mut [Self]], rank: usize) {
        sum_in_order(of_ranks);
        if let Some((sum, rest)) = of_ranks.split_first_mut()
            && rank > 0
        {
            rest[rank - 1].copy_from_slice(sum);
        }
    }
}

/// The bits of a bfloat16, which MPI has no type for.
impl Lane for u16 {
    fn add(of_ranks: &mut [&mut [Self]], rank: usize) {
        let mut wide: Vec<Vec<f32>> = of_ranks.iter().map(|values| vec![0.0; values.len()]).collect();
        for (wide, values) in wide.iter_mut().zip(&*of_ranks) {
            widen(values, wide);
        }
        sum_in_order(&mut wide);
        narrow(&wide[0], of_ranks[rank]);
    }
}

/// Rounds values to bfloat16, as [`bf16::from_f32`] does.
pub(crate) fn narrow(values: &[f32], bits: &mut [u16]) {
    for (bits, value) in bits.iter_mut().zip(values) {
        *bits = bf16::from_f32(*value).to_bits();
    }
}

/// Values from their bits in bfloat16.
pub(crate) fn widen(bits: &[u16], values: &mut [f32]) {
    for (value, bits) in values.iter_mut().zip(bits) {
        *value = f32::from_bits(u32::from(*bits) << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_where_the_process_has_its_values() {
        for rank in 0..3 {
            let mut values = [[1e8_f32, 1.0], [-1e8, 2.0], [1.0, 3.0]];
            f32::add(&mut values.each_mut().map(|values| &mut values[..]), rank);
            assert_eq!(values[rank], [1.0, 6.0]);

            let mut bits = [[1.0, 2.0], [0.25, 2.0], [256.0, 2.0]].map(|values| {
                let mut bits = [0; 2];
                narrow(&values, &mut bits);
                bits
            });
            u16::add(&mut bits.each_mut().map(|bits| &mut bits[..]), rank);
            let mut sum = [0.0; 2];
            widen(&bits[rank], &mut sum);
            assert_eq!(sum, [258.0, 6.0], "257.25 is rounded to 8 bits, once");
        }
    }
}
