//! Sums of the columns of a product, taken while its tiles are in registers.

use super::{Lanes, read, write};

/// Columns of the widest panel.
pub(super) const MAX_PANEL: usize = 32;

/// For each column of a panel, the sum and the sum of squares of distances from its first value, which keeps them small.
pub(crate) struct Moments {
    /// Whether the registers of the panel, two, have their first values.
    has_begun: [bool; 2],
    pub(crate) shift: [f32; MAX_PANEL],
    pub(crate) sum: [f32; MAX_PANEL],
    pub(crate) sum_of_squares: [f32; MAX_PANEL],
}

impl Moments {
    /// Of no rows yet.
    pub(crate) fn new() -> Self {
        let zeros = [0.0; MAX_PANEL];
        Self { has_begun: [false; 2], shift: zeros, sum: zeros, sum_of_squares: zeros }
    }

    /// Adds rows' values of one of the panel's two registers.
    #[inline(always)]
    pub(crate) fn add<L: Lanes>(&mut self, register: usize, rows: &[L::V]) {
        let columns = register * L::N..(register + 1) * L::N;
        let shift = &mut self.shift[columns.clone()];
        if let Some(&first) = rows.first()
            && !self.has_begun[register]
        {
            write::<L>(shift, first);
            self.has_begun[register] = true;
        }
        let shift = read::<L>(shift);
        // Rows add up among themselves first: long sums lose the digits of what is added.
        let (mut sum, mut square) = (L::zero(), L::zero());
        for &value in rows {
            let distance = L::sub(value, shift);
            sum = L::add(sum, distance);
            square = L::add(square, L::mul(distance, distance));
        }
        let (sums, squares) = (&mut self.sum[columns.clone()], &mut self.sum_of_squares[columns]);
        write::<L>(sums, L::add(read::<L>(sums), sum));
        write::<L>(squares, L::add(read::<L>(squares), square));
    }
}
