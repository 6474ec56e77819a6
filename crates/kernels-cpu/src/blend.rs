//! The moving average of parameters.

use rayon::prelude::*;

use crate::memory::ELEMENTWISE_LEN;

/// `own = momentum * own + (1 - momentum) * towards`, value by value, rounded as PyTorch rounds it.
///
/// # Panics
///
/// When the lengths differ.
pub fn blend(own: &mut [f32], towards: &[f32], momentum: f32) {
    assert_eq!(own.len(), towards.len(), "an average is of as many values as there are");
    // Python computes `1 - m` in double precision, before it meets a tensor of single precision.
    let rest = (1.0 - f64::from(momentum)) as f32;
    own.par_chunks_mut(ELEMENTWISE_LEN).zip(towards.par_chunks(ELEMENTWISE_LEN)).for_each(
        |(own, towards)| {
            for (own, towards) in own.iter_mut().zip(towards) {
                *own = *own * momentum + *towards * rest;
            }
        },
    );
}
