//! What one pipeline may be: far more than any is, and little enough that whatever is written is judged at once.

/// Bytes of a pipeline, with what it starts from and all changes in it.
pub const MAX_BYTES: usize = 1 << 20;

/// Values in a text, with names, lists and entries counted.
pub(crate) const MAX_VALUES: usize = 1 << 16;

/// Brackets inside of one another. Pipelines have ten; what reads the values counts to 128.
pub(crate) const MAX_DEPTH: usize = 64;

/// Views that are like the next one.
pub(crate) const MAX_WAY: usize = 64;
