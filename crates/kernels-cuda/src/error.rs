//! What can go wrong on the device.

use cudarc::{cublas::result::CublasError, driver::DriverError};

/// Why a kernel, a copy or a product could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// What the driver says.
    #[error("the CUDA driver: {0}")]
    Driver(#[from] DriverError),
    /// What cuBLAS says.
    #[error("cuBLAS: {0}")]
    Blas(#[from] CublasError),
    /// A size that the kernels have no numbers for.
    #[error("{what} is {got}, but kernels take at most {most}")]
    Size {
        /// Which size.
        what: &'static str,
        /// What it is.
        got: usize,
        /// What it may be.
        most: usize,
    },
}

impl Error {
    /// Whether the device has no room.
    pub fn is_out_of_memory(&self) -> bool {
        use cudarc::{cublas::sys::cublasStatus_t, driver::sys::CUresult};
        match self {
            Self::Driver(error) => error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY,
            Self::Blas(error) => error.0 == cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
            Self::Size { .. } => false,
        }
    }
}

/// Why there is no device to work on, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub(crate) String);

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// What a function of the device gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses a size beyond what a kernel's numbers hold.
pub(crate) fn at_most(what: &'static str, got: usize, most: usize) -> Result<()> {
    if got <= most { Ok(()) } else { Err(Error::Size { what, got, most }) }
}
