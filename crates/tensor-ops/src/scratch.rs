//! Room that a task works in and leaves behind.

use std::cell::RefCell;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Lends `len` values of this thread's scratch memory, which hold whatever was left there.
///
/// The memory stays with the thread: a task neither asks for it nor fills it with zeros, which would cost as much as a
/// pass over what it holds. Work inside `task` may not ask again on the same thread; if it does, it gets fresh memory.
pub(crate) fn with_scratch<R>(len: usize, task: impl FnOnce(&mut [f32]) -> R) -> R {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => {
            if scratch.len() < len {
                scratch.clear();
                scratch.resize(len, 0.0);
            }
            task(&mut scratch[..len])
        }
        Err(_) => task(&mut vec![0.0; len]),
    })
}
