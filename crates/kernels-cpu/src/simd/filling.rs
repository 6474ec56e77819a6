//! A buffer that is written once, from its start on.
#![allow(unsafe_code, reason = "registers are written to memory that holds nothing yet")]

use std::mem::MaybeUninit;

use super::{Element, Lanes, lanes::MAX_LANES, slices::write};

/// A part of a buffer that holds nothing yet.
pub(crate) struct Filling<'a, E> {
    rest: &'a mut [MaybeUninit<E>],
}

impl<'a, E: Element> Filling<'a, E> {
    /// Of a whole part.
    pub(crate) fn new(part: &'a mut [MaybeUninit<E>]) -> Self {
        Self { rest: part }
    }

    /// Whether every value has been written.
    pub(crate) fn is_full(&self) -> bool {
        self.rest.is_empty()
    }

    /// Writes the first `n` lanes, at most a register's, to the next places.
    ///
    /// # Panics
    ///
    /// When there are fewer places.
    #[inline(always)]
    pub(crate) fn push<L: Lanes>(&mut self, value: L::V, n: usize) {
        let (to, rest) = std::mem::take(&mut self.rest).split_at_mut(n);
        if n == L::N {
            // SAFETY: there are a register's places, and places hold values of this type.
            unsafe { E::store_single::<L>(to.as_mut_ptr().cast(), value) };
        } else {
            let mut lanes = [0.0; MAX_LANES];
            write::<L>(&mut lanes, value);
            for (to, &lane) in to.iter_mut().zip(&lanes[..n]) {
                to.write(E::nearest(lane));
            }
        }
        self.rest = rest;
    }
}
