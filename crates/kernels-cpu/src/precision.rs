//! How many bits a value has.

/// How values between operations are kept.
///
/// Sums, statistics, weights, gradients and losses are single precision either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16, the upper half of single precision (8 bits of mantissa): half the memory.
    Bf16,
}
