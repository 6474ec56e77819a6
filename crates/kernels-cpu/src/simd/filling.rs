//! A buffer that is written once, from its start on.
#![allow(unsafe_code, reason = "registers are written to memory that holds nothing yet")]

use std::{marker::PhantomData, mem::MaybeUninit};

use super::{Element, Lanes, lanes::MAX_LANES, slices::write};

/// The rest of a part, which holds nothing yet.
///
/// It is of one call of [`fill`] alone, which `'id` stands for: no other has the lifetime, as it is neither longer nor
/// shorter than itself, and only [`fill`] makes one.
pub(crate) struct Filling<'id, 'a, E> {
    rest: &'a mut [MaybeUninit<E>],
    id: Id<'id>,
}

/// Says that the part of the call `'id` of [`fill`] has been filled to its end.
pub(crate) struct Filled<'id>(Id<'id>);

/// Lifetimes that differ do not fit each other: the function both takes and gives one.
type Id<'id> = PhantomData<fn(&'id ()) -> &'id ()>;

/// Lends a part to `work`, which fills it: gives the part, all of which has been written.
pub(crate) fn fill<'a, E: Element>(
    part: &'a mut [MaybeUninit<E>],
    work: impl for<'id> FnOnce(Filling<'id, '_, E>) -> Filled<'id>,
) -> &'a mut [E] {
    let Filled(PhantomData) = work(Filling { rest: part, id: PhantomData });
    // SAFETY: `Filling::end` alone makes a `Filled`, when the `Filling` has no rest. This one is of the `Filling` above, the
    // only one of its lifetime: all of `part` has been written, and `MaybeUninit<E>` has the layout of `E`.
    unsafe { &mut *(std::ptr::from_mut(part) as *mut [E]) }
}

impl<'id, E: Element> Filling<'id, '_, E> {
    /// Writes the first `n` lanes, at most a register's, to the next places.
    ///
    /// # Panics
    ///
    /// When there are fewer places.
    #[inline(always)]
    pub(crate) fn push<L: Lanes>(&mut self, value: L::V, n: usize) {
        write_new::<L, E>(&mut self.rest[..n], value);
        // After all that may panic: who catches that is not left with a rest that is too short.
        self.rest = &mut std::mem::take(&mut self.rest)[n..];
    }

    /// After the last [`push`](Self::push).
    ///
    /// # Panics
    ///
    /// When there are places that hold nothing.
    #[inline(always)]
    pub(crate) fn end(self) -> Filled<'id> {
        assert!(self.rest.is_empty(), "{} places of a part hold nothing", self.rest.len());
        Filled(self.id)
    }
}

/// Writes the first lanes to places that may hold nothing, at most a register's, each the nearest there is.
///
/// # Panics
///
/// When there are more places than lanes.
#[inline(always)]
pub(crate) fn write_new<L: Lanes, E: Element>(to: &mut [MaybeUninit<E>], value: L::V) {
    if to.len() == L::N {
        // SAFETY: there are a register's places, and places hold values of this type.
        unsafe { E::store_single::<L>(to.as_mut_ptr().cast(), value) };
    } else {
        let mut lanes = [0.0; MAX_LANES];
        write::<L>(&mut lanes, value);
        let lanes = &lanes[..to.len()];
        for (to, &lane) in to.iter_mut().zip(lanes) {
            to.write(E::nearest(lane));
        }
    }
}
