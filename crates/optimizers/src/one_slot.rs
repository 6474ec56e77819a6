//! The update of a parameter for which an optimizer keeps one number beside each value.

use rayon::prelude::*;

/// Values that one thread updates at once: 128 KiB of each array, so that the three of them stay in its cache.
pub(crate) const CHUNK: usize = 1 << 15;

/// Calls `update` with chunks of the values, of their gradient and of the only slot, on several threads. It must treat every
/// element alone; so the result does not depend on the number of threads.
///
/// # Panics
/// If the slot is missing, or its length or that of the gradient is another than that of the values: a bug of the trainer.
pub(crate) fn update_in_chunks(
    values: &mut [f32],
    gradient: &[f32],
    slots: &mut [Vec<f32>],
    update: impl Fn(&mut [f32], &[f32], &mut [f32]) + Sync,
) {
    let slot = slots.first_mut().expect("the trainer keeps one buffer for each name of `slots`");
    assert!(
        values.len() == gradient.len() && values.len() == slot.len(),
        "the gradient and the slots of a parameter have its length"
    );
    let chunks = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(slot.par_chunks_mut(CHUNK));
    chunks.for_each(|((values, gradient), slot)| update(values, gradient, slot));
}
