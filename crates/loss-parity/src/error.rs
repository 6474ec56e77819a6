//! What can go wrong.

/// Why a file cannot be compared.
#[derive(Debug, thiserror::Error)]
#[error("`{file}`: {reason}")]
pub struct ParityError {
    /// The file, as it was called.
    pub file: String,
    /// What is wrong with it, and what was expected.
    pub reason: String,
}
