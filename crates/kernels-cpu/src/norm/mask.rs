//! Where the gradient passes what follows a norm.

use crate::simd::{Element, Lanes, prefetch, read_some, where_positive};

/// Where a gradient passes.
pub(super) trait Mask<E: Element>: Copy + Sync {
    /// Whether the masked gradient replaces the gradient.
    const IS_KEPT: bool;
    /// What is left of the mask for the second pass over the gradient.
    type Left: Mask<E>;

    /// See [`Left`](Self::Left).
    fn left(self) -> Self::Left;
    /// Begins to fetch what is read for the value `at`.
    fn prefetch(self, at: usize);
    /// That of the values from `start` on.
    fn from(self, start: usize) -> Self;
    /// The gradient of `n` values from `at` on, whose normalized values are given, and 0 where it does not pass.
    fn masked<L: Lanes>(self, gradient: L::V, normalized: L::V, at: usize, n: usize) -> L::V;
}

/// Everywhere.
#[derive(Clone, Copy)]
pub(super) struct Everywhere;

/// Where the normalized value is above 0: ReLU follows the norm.
#[derive(Clone, Copy)]
pub(super) struct ByNormalized;

/// Where the output is above 0: ReLU follows the sum with a residual.
#[derive(Clone, Copy)]
pub(super) struct ByOutput<'a, E>(pub(super) &'a [E]);

impl<E: Element> Mask<E> for Everywhere {
    const IS_KEPT: bool = false;
    type Left = Self;

    #[inline(always)]
    fn left(self) -> Self::Left {
        self
    }

    #[inline(always)]
    fn prefetch(self, _: usize) {}

    #[inline(always)]
    fn from(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    fn masked<L: Lanes>(self, gradient: L::V, _: L::V, _: usize, _: usize) -> L::V {
        gradient
    }
}

impl<E: Element> Mask<E> for ByNormalized {
    const IS_KEPT: bool = false;
    type Left = Self;

    #[inline(always)]
    fn left(self) -> Self::Left {
        self
    }

    #[inline(always)]
    fn prefetch(self, _: usize) {}

    #[inline(always)]
    fn from(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    fn masked<L: Lanes>(self, gradient: L::V, normalized: L::V, _: usize, _: usize) -> L::V {
        where_positive::<L>(normalized, gradient)
    }
}

impl<E: Element> Mask<E> for ByOutput<'_, E> {
    const IS_KEPT: bool = true;
    type Left = Everywhere;

    #[inline(always)]
    fn left(self) -> Self::Left {
        Everywhere
    }

    #[inline(always)]
    fn prefetch(self, at: usize) {
        prefetch(self.0, at);
    }

    #[inline(always)]
    fn from(self, start: usize) -> Self {
        Self(&self.0[start..])
    }

    #[inline(always)]
    fn masked<L: Lanes>(self, gradient: L::V, _: L::V, at: usize, n: usize) -> L::V {
        where_positive::<L>(read_some::<L, E>(self.0, at, n, 0.0), gradient)
    }
}
