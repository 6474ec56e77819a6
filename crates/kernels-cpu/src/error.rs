//! What can be wrong with what a kernel is asked for.

/// A size or setting that no kernel can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op}: {what} is {got}, but {must}")]
pub struct SizeError {
    /// The operation.
    pub op: &'static str,
    /// Which size or setting.
    pub what: &'static str,
    /// What it is.
    pub got: usize,
    /// What holds for the values that can be done.
    pub must: &'static str,
}

/// The environment asks for kernels that this machine does not have, or that there are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{variable}` is `{asked}`, but this machine has only {available}")]
pub struct FamilyError {
    /// The variable.
    pub variable: &'static str,
    /// Its value.
    pub asked: String,
    /// The values that can be had.
    pub available: String,
}
