//! What can go wrong in an operation.

use std::fmt::Debug;

use crate::device::DeviceError;

/// Why an operation could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// Two sizes that must agree do not.
    #[error("{op}: {what} must be {expected}, got {got}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// Which size, of what.
        what: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A setting is outside what the operation can do.
    #[error("{op}: {what} is {got}, but {must}")]
    Value {
        /// The operation.
        op: &'static str,
        /// Which setting.
        what: &'static str,
        /// What it is.
        got: String,
        /// What holds for the values that can be done.
        must: &'static str,
    },
    /// A loss was sent backward that no recorded operation led to.
    #[error("{op}: nothing was recorded, so there is no gradient to compute")]
    NotRecorded {
        /// The operation.
        op: &'static str,
    },
    /// The environment asks for kernels that this machine does not have, or that there are not.
    #[error("`{variable}` is `{asked}`, but this machine has only {available}")]
    Kernels {
        /// The variable.
        variable: &'static str,
        /// Its value.
        asked: String,
        /// The values that can be had.
        available: String,
    },
    /// The device failed, most often for want of memory.
    #[error("the device failed: {0}")]
    Device(String),
}

impl OpError {
    pub(crate) fn shape(op: &'static str, what: &'static str, expected: impl Debug, got: impl Debug) -> Self {
        Self::Shape { op, what, expected: format!("{expected:?}"), got: format!("{got:?}") }
    }

    pub(crate) fn value(op: &'static str, what: &'static str, got: impl Debug, must: &'static str) -> Self {
        Self::Value { op, what, got: format!("{got:?}"), must }
    }
}

impl From<DeviceError> for OpError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error.to_string())
    }
}
