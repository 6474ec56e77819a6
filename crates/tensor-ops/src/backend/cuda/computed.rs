//! What goes wrong on the device, as dfdx says it.

use cudarc::{
    cublas::{result::CublasError, sys::cublasStatus_t},
    driver::{DriverError, sys::CUresult},
};
use dfdx::tensor::CudaError;
use kernels_cuda::{Error, MemoryUse, memory_use};

use crate::{OpError, backend::Computed};

/// What a function of `kernels-cuda` gives, as a [`Computed`].
pub(crate) trait OnDevice<T> {
    fn computed(self) -> Computed<T>;
}

impl<T> OnDevice<T> for kernels_cuda::Result<T> {
    fn computed(self) -> Computed<T> {
        self.map_err(|error| match error {
            Error::Driver(error) => CudaError::Driver(error),
            Error::Blas(error) => CudaError::Blas(error),
            // dfdx has no such error, and the driver calls it this where a kernel's own sizes are meant.
            Error::Size { .. } => CudaError::Driver(DriverError(CUresult::CUDA_ERROR_INVALID_VALUE)),
        })
    }
}

/// What `error` means if it says that the device has no room, with what it has.
pub(crate) fn out_of_memory(error: &CudaError) -> Option<OpError> {
    let is_that = match error {
        CudaError::Driver(DriverError(error)) => *error == CUresult::CUDA_ERROR_OUT_OF_MEMORY,
        CudaError::Blas(CublasError(error)) => *error == cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
        CudaError::Cpu(_) => false,
    };
    let MemoryUse { own, free, total } = is_that.then(memory_use)??;
    Some(OpError::OutOfMemory { own, free, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_told_from_other_failures() {
        let full = [
            CudaError::Driver(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)),
            CudaError::Blas(CublasError(cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED)),
        ];
        for error in full {
            let OpError::OutOfMemory { own, free, total } = OpError::from(error) else { panic!("not told") };
            assert!(own <= total && free <= total && total > 0);
        }
        let other = CudaError::Driver(DriverError(CUresult::CUDA_ERROR_INVALID_VALUE));
        assert!(matches!(OpError::from(other), OpError::Device(_)));
    }
}
