//! Rows of unit length.

use rayon::prelude::*;

use crate::{
    rows::rows_in_task,
    simd::{Family, Kernel, Lanes},
};

/// PyTorch's `eps` of `F.normalize`: what a length is at least.
pub const MIN_LENGTH: f32 = 1e-12;

/// Divides each row of `d` values by its length, or by [`MIN_LENGTH`]; gives what each was divided by. A row with NaN becomes
/// NaN, as in PyTorch.
///
/// # Panics
///
/// When the values are not whole rows.
pub fn normalize(family: Family, values: &mut [f32], d: usize) -> Vec<f32> {
    assert!(values.len().is_multiple_of(d), "rows are whole");
    let mut lengths = vec![0.0; values.len() / d];
    let rows = rows_in_task(d);
    values.par_chunks_mut(rows * d).zip(lengths.par_chunks_mut(rows)).for_each(|(values, lengths)| {
        family.run(Normalize { values, d, lengths });
    });
    lengths
}

/// Turns the gradient of [`normalize`]'s output into that of its input.
///
/// # Panics
///
/// When the gradient has not as many values as the output, or there is not a length for each row.
pub fn backward(family: Family, gradient: &mut [f32], output: &[f32], lengths: &[f32]) {
    assert_eq!(gradient.len(), output.len(), "a gradient is of as many values as there are");
    assert!(output.len().is_multiple_of(lengths.len()), "there is a length for each row");
    let d = output.len() / lengths.len();
    let rows = rows_in_task(d);
    let gradients = gradient.par_chunks_mut(rows * d).zip(output.par_chunks(rows * d));
    gradients.zip(lengths.par_chunks(rows)).for_each(|((gradient, output), lengths)| {
        family.run(Backward { gradient, output, lengths, d });
    });
}

struct Normalize<'a> {
    values: &'a mut [f32],
    d: usize,
    lengths: &'a mut [f32],
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (row, length) in self.values.chunks_exact_mut(self.d).zip(self.lengths) {
            let own = dot(row, row).sqrt() as f32;
            // Not `max`, which is the least length where the length is not a number.
            *length = if own < MIN_LENGTH { MIN_LENGTH } else { own };
            for value in row {
                *value /= *length;
            }
        }
    }
}

struct Backward<'a> {
    gradient: &'a mut [f32],
    output: &'a [f32],
    lengths: &'a [f32],
    d: usize,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let rows = self.gradient.chunks_exact_mut(self.d).zip(self.output.chunks_exact(self.d));
        for ((gradient, output), &length) in rows.zip(self.lengths) {
            // A row that is shorter than the least length is only scaled.
            let along = if length > MIN_LENGTH { dot(gradient, output) as f32 } else { 0.0 };
            for (gradient, output) in gradient.iter_mut().zip(output) {
                *gradient = (*gradient - along * output) / length;
            }
        }
    }
}

/// In double precision, by lanes that do not wait for each other: as many for every family.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0_f64; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests;
