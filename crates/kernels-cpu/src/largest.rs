//! The largest absolute value.

/// The largest absolute value; NaN if any value is.
pub fn largest_value(values: &[f32]) -> f32 {
    // Lanes that do not wait for each other. As integers, absolute values are ordered, and NaN is the largest.
    let mut lanes = [0_u32; 16];
    let chunks = values.chunks_exact(lanes.len());
    for value in chunks.remainder() {
        lanes[0] = lanes[0].max(value.abs().to_bits());
    }
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = (*lane).max(value.abs().to_bits());
        }
    }
    f32::from_bits(lanes.into_iter().max().unwrap_or(0))
}
