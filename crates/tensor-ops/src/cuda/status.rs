//! What the device is, and how it is doing.

use std::ffi::CStr;

use cudarc::{
    cublas::sys::cublasStatus_t,
    driver::{result, sys},
};
use dfdx::tensor::CudaError;

use super::{
    context::context,
    memory_pool::{bytes_of, pool_of},
    versions,
};
use crate::{DeviceStatus, OpError};

/// What the device of this process is.
///
/// # Errors
///
/// When there is no device, or it fails.
pub(crate) fn status() -> Result<DeviceStatus, CudaError> {
    use sys::CUdevice_attribute_enum as Attribute;
    let context = context()?;
    context.bind()?;
    let device = context.device();
    let mut name = [0_u8; 128];
    // SAFETY: the device is there, and the name has the room that the call is told of.
    unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, *device.cu_device()) }
        .result()?;
    let (free, memory) = result::mem_get_info()?;
    Ok(DeviceStatus {
        name: CStr::from_bytes_until_nul(&name)
            .map_or_else(|_| "unnamed".into(), |name| name.to_string_lossy().into_owned()),
        ordinal: device.ordinal(),
        capability: versions::capability(*device.cu_device())?,
        driver: versions::driver()?,
        compiler: versions::compiler(),
        n_multiprocessors: device.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        memory: memory as u64,
        free_memory: free as u64,
    })
}

/// Waits until the device has done all that it was given.
pub(crate) fn synchronize() -> Result<(), CudaError> {
    Ok(context()?.device().synchronize()?)
}

/// The most bytes that values have had on the device at a time; `None` where the driver does not count them.
pub(crate) fn peak_memory() -> Result<Option<u64>, CudaError> {
    let context = context()?;
    context.bind()?;
    Ok(pool_of(context.device())
        .and_then(|pool| bytes_of(pool, sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH)))
}

/// Waits for the device, and gives what its pool keeps for later back to the system.
pub(crate) fn give_back_memory() -> Result<(), CudaError> {
    let context = context()?;
    // A free is done when the stream gets to it.
    context.device().synchronize()?;
    if let Some(pool) = pool_of(context.device()) {
        // SAFETY: the pool is the device's own.
        unsafe { sys::cuMemPoolTrimTo(pool, 0) }.result()?;
    }
    Ok(())
}

/// What `error` means if it says that the device has no room, with what it has.
pub(crate) fn out_of_memory(error: &CudaError) -> Option<OpError> {
    let is_that = match error {
        CudaError::Driver(error) => error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY,
        CudaError::Blas(error) => error.0 == cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
        CudaError::Cpu(_) => false,
    };
    if !is_that {
        return None;
    }
    let context = context().ok()?;
    context.bind().ok()?;
    let (free, total) = result::mem_get_info().map_or((0, 0), |(free, total)| (free as u64, total as u64));
    let reserved = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT;
    let own = pool_of(context.device()).and_then(|pool| bytes_of(pool, reserved)).unwrap_or(total - free);
    Some(OpError::OutOfMemory { own, free, total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::{cublas::result::CublasError, driver::DriverError};

    #[test]
    fn want_of_memory_is_told_from_other_failures() {
        let full = [
            CudaError::Driver(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)),
            CudaError::Blas(CublasError(cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED)),
        ];
        for error in full {
            let OpError::OutOfMemory { own, free, total } = OpError::from(error) else { panic!("not told") };
            assert!(own <= total && free <= total && total > 0);
        }
        let other = CudaError::Driver(DriverError(sys::CUresult::CUDA_ERROR_INVALID_VALUE));
        assert!(matches!(OpError::from(other), OpError::Device(_)));
    }

    #[test]
    fn what_is_free_can_be_given_back() {
        give_back_memory().unwrap();
    }
}
