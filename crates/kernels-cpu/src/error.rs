//! What can be wrong with what a kernel is asked for.
//!
//! Written out, as no macro is worth what it brings along: a change of a macro's own dependencies compiles all kernels anew.

use std::error::Error;
use std::fmt;

/// A size or setting that no kernel can do.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyError {
    /// The variable.
    pub variable: &'static str,
    /// Its value.
    pub asked: String,
    /// The values that can be had.
    pub available: String,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, what, got, must } = self;
        write!(f, "{op}: {what} is {got}, but {must}")
    }
}

impl Error for SizeError {}

impl fmt::Display for FamilyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, asked, available } = self;
        write!(f, "`{variable}` is `{asked}`, but this machine has only {available}")
    }
}

impl Error for FamilyError {}
