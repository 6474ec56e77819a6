//! What is shown of the keys of earlier steps.

use plugin_api::PastKeys;

use crate::fault::{Checked, ensure};
use crate::numbers::all_finite;

/// Keys of `width` values, of which the newest, `(M, width)`, are at the end.
pub(crate) fn check_newest(past: &PastKeys, width: usize, newest: &[f32]) -> Checked {
    ensure!(
        past.width == width && past.rows.len().is_multiple_of(width) && all_finite(&past.rows),
        "`past_keys` has {} values in rows of {}, and keys have {width}, all finite",
        past.rows.len(),
        past.width
    );
    let n = newest.len().min(past.rows.len());
    let (kept, newest) = (&past.rows[past.rows.len() - n..], &newest[newest.len() - n..]);
    for (kept, key) in kept.chunks(width).zip(newest.chunks(width)) {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let cosine = dot(kept, key) / (dot(kept, kept) * dot(key, key)).sqrt();
        ensure!(
            cosine > 0.999,
            "`past_keys` does not end with the newest keys: a cosine with one of them is {cosine:.3}"
        );
    }
    Ok(())
}
