//! Room that a task works in and leaves behind.

use std::cell::RefCell;

use crate::simd::halves_of;

thread_local! {
    /// What is not lent at the moment.
    static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// [`with_scratch`] for bfloat16.
pub(crate) fn with_halves<R>(len: usize, task: impl FnOnce(&mut [u16]) -> R) -> R {
    with_scratch(len.div_ceil(2), |words| task(&mut halves_of(words)[..len]))
}

/// Lends `len` values of this thread's scratch memory, which hold whatever was left there.
///
/// The memory stays with the thread: a task neither asks for it nor fills it with zeros, which would cost as much as a
/// pass over what it holds.
pub(crate) fn with_scratch<R>(len: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut room = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    if room.len() < len {
        room.clear();
        room.resize(len, 0.0);
    }
    let result = task(&mut room[..len]);
    SCRATCH.with_borrow_mut(|free| free.push(room));
    result
}
