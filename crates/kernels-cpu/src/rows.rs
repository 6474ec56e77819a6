//! Rows of channels: what a feature map is to an operation that does not care about positions.

use rayon::prelude::*;

use crate::{
    memory::{ELEMENTWISE_LEN, build_beside, change},
    simd::{Element, Family, Kernel, Lanes, for_registers, read_some, write_some},
    values::{Lent, Values},
};

/// Columns that a task handles at most: what it sums up stays in a core's first-level cache.
const TASK_COLUMNS: usize = 2048;
/// Values that a task sums up, about.
const TASK_VALUES: usize = 2 * ELEMENTWISE_LEN;
/// Columns that one task adds up over all blocks of rows.
const COMBINED_COLUMNS: usize = 128;
/// Rows that are added up in registers, before their sum is added to what is there.
const ROWS_AT_ONCE: usize = 4;

/// Rows of `c` values that one task handles.
pub(crate) fn rows_in_task(c: usize) -> usize {
    (ELEMENTWISE_LEN / c).max(1)
}

/// Adds `row` to every row.
///
/// # Panics
///
/// When the values are not whole rows.
pub fn add(family: Family, values: &mut Values, row: &[f32]) {
    match values {
        Values::F32(values) => add_to(family, values, row),
        Values::Bf16(halves) => add_to(family, halves, row),
    }
}

/// [`add`] in single precision.
///
/// # Panics
///
/// As [`add`].
pub fn add_to_rows(family: Family, values: &mut [f32], row: &[f32]) {
    add_to(family, values, row);
}

/// The sum of all rows of `c` values: in single precision within a block of rows, in double precision over the blocks.
///
/// # Panics
///
/// When the values are not whole rows.
pub fn sum(family: Family, values: Lent<'_>, c: usize) -> Vec<f32> {
    match values {
        Lent::F32(values) => sum_of(family, values, c),
        Lent::Bf16(halves) => sum_of(family, halves, c),
    }
}

fn add_to<E: Element>(family: Family, values: &mut [E], row: &[f32]) {
    let c = row.len();
    assert!(values.len().is_multiple_of(c), "rows are whole");
    let n_rows = values.len() / c;
    // Whole rows, or parts of one.
    let (lens, rows): (Vec<usize>, Vec<&[f32]>) = if c <= ELEMENTWISE_LEN {
        let n = rows_in_task(c);
        (0..n_rows).step_by(n).map(|first| (n.min(n_rows - first) * c, row)).unzip()
    } else {
        let parts = || row.chunks(ELEMENTWISE_LEN).map(|part| (part.len(), part));
        (0..n_rows).flat_map(|_| parts()).unzip()
    };
    change(values, &lens, rows, |_, row, values| family.run(AddRow { values, row }));
}

struct AddRow<'a, E> {
    values: &'a mut [E],
    row: &'a [f32],
}

impl<E: Element> Kernel for AddRow<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { values, row } = self;
        for to in values.chunks_exact_mut(row.len()) {
            for_registers!(L, row.len(), |at, n| {
                let sum = L::add(read_some::<L, _>(to, at, n, 0.0), read_some::<L, _>(row, at, n, 0.0));
                write_some::<L, _>(to, at, n, sum);
            });
        }
    }
}

fn sum_of<E: Element>(family: Family, values: &[E], c: usize) -> Vec<f32> {
    assert!(values.len().is_multiple_of(c), "rows are whole");
    let n_rows = values.len() / c;
    let n_block_rows = (TASK_VALUES / c.min(TASK_COLUMNS)).max(1);
    // Block after block of rows, each cut by columns.
    let (mut tasks, mut lens) = (Vec::new(), Vec::new());
    for first_row in (0..n_rows).step_by(n_block_rows) {
        for first in (0..c).step_by(TASK_COLUMNS) {
            let n_columns = TASK_COLUMNS.min(c - first);
            let last_row = n_rows.min(first_row + n_block_rows) - 1;
            tasks.push(&values[first_row * c + first..last_row * c + first + n_columns]);
            lens.push(n_columns);
        }
    }
    let blocks = build_beside(&lens, tasks, |_, values, sum| family.run(SumRows { values, c, sum }));
    if blocks.len() == c { blocks } else { combine(&blocks, c) }
}

/// The sum of rows of `c` values, in their order and in double precision.
pub(crate) fn combine(rows: &[f32], c: usize) -> Vec<f32> {
    let mut sum = vec![0.0; c];
    sum.par_chunks_mut(COMBINED_COLUMNS).enumerate().for_each(|(part, sum)| {
        let first = part * COMBINED_COLUMNS;
        let mut total = [0.0_f64; COMBINED_COLUMNS];
        for row in rows.chunks_exact(c) {
            for (total, &value) in total.iter_mut().zip(&row[first..][..sum.len()]) {
                *total += f64::from(value);
            }
        }
        for (sum, total) in sum.iter_mut().zip(total) {
            *sum = total as f32;
        }
    });
    sum
}

/// Adds rows, each as long as `sum`, to it; they start `c` values apart.
struct SumRows<'a, E> {
    values: &'a [E],
    c: usize,
    sum: &'a mut [f32],
}

impl<E: Element> Kernel for SumRows<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self { values, c, sum } = self;
        let n_columns = sum.len();
        for rows in values.chunks(ROWS_AT_ONCE * c) {
            if rows.len() > (ROWS_AT_ONCE - 1) * c {
                for_registers!(L, n_columns, |at, n| {
                    let mut parts = [L::zero(); ROWS_AT_ONCE];
                    for (i, part) in parts.iter_mut().enumerate() {
                        *part = read_some::<L, _>(rows, i * c + at, n, 0.0);
                    }
                    let value = L::add(L::add(parts[0], parts[1]), L::add(parts[2], parts[3]));
                    write_some::<L, _>(sum, at, n, L::add(read_some::<L, _>(sum, at, n, 0.0), value));
                });
            } else {
                for row in rows.chunks(c) {
                    for_registers!(L, n_columns, |at, n| {
                        let value = read_some::<L, _>(row, at, n, 0.0);
                        write_some::<L, _>(sum, at, n, L::add(read_some::<L, _>(sum, at, n, 0.0), value));
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
