//! What can go wrong in an operation.

use std::fmt::Debug;

use kernels_cpu::{FamilyError, SizeError};
use processes::ProcessesError;

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
    /// The device has no room for what an operation needs.
    #[error(
        "the device is out of memory: this program has {}, and {} of {} are free",
        in_gib(*own), in_gib(*free), in_gib(*total)
    )]
    OutOfMemory {
        /// Bytes that this program has, in use or kept for its next values.
        own: u64,
        /// Bytes that no program has.
        free: u64,
        /// Bytes of the device.
        total: u64,
    },
    /// What processes take together, such as the statistics of a batch norm, could not be exchanged.
    #[error(transparent)]
    Processes(#[from] ProcessesError),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
}

/// An amount of memory as people read it.
pub fn in_gib(bytes: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let mib = bytes as f64 / MIB;
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

impl OpError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OutOfMemory { .. } => {
                Some("take fewer or smaller images at a time; `nvidia-smi` lists what else is on the device")
            }
            Self::Processes(error) => Some(error.hint()),
            _ => None,
        }
    }

    /// [`OpError::Shape`] with less to type: in `op`, `what` is `got` and not `expected`.
    pub fn shape(op: &'static str, what: &'static str, expected: impl Debug, got: impl Debug) -> Self {
        Self::Shape { op, what, expected: format!("{expected:?}"), got: format!("{got:?}") }
    }

    /// [`OpError::Value`] with less to type: in `op`, `what` is `got`, and `must` says what holds for what can be done.
    pub fn value(op: &'static str, what: &'static str, got: impl Debug, must: &'static str) -> Self {
        Self::Value { op, what, got: format!("{got:?}"), must }
    }
}

impl From<DeviceError> for OpError {
    fn from(error: DeviceError) -> Self {
        #[cfg(feature = "cuda")]
        if let Some(out_of_memory) = crate::backend::cuda_out_of_memory(&error) {
            return out_of_memory;
        }
        Self::Device(error.to_string())
    }
}

impl From<SizeError> for OpError {
    fn from(error: SizeError) -> Self {
        let SizeError { op, what, got, must } = error;
        Self::value(op, what, got, must)
    }
}

impl From<FamilyError> for OpError {
    fn from(error: FamilyError) -> Self {
        let FamilyError { variable, asked, available } = error;
        Self::Kernels { variable, asked, available }
    }
}
