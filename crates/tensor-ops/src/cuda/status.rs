//! What the device is, and how it is doing.

use std::ffi::CStr;

use cudarc::driver::sys;
use dfdx::tensor::CudaError;

use super::context::context;
use crate::DeviceStatus;

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
    let attribute = |attribute| device.attribute(attribute);
    let mut name = [0_u8; 128];
    let (mut driver, mut major, mut minor) = (0, 0, 0);
    // SAFETY: the device is there, and each pointer is of what the call writes.
    unsafe {
        sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, *device.cu_device()).result()?;
        sys::cuDriverGetVersion(&mut driver).result()?;
        let _ = cudarc::nvrtc::sys::nvrtcVersion(&mut major, &mut minor);
    }
    let (free, memory) = cudarc::driver::result::mem_get_info()?;
    Ok(DeviceStatus {
        name: CStr::from_bytes_until_nul(&name)
            .map_or_else(|_| "unnamed".into(), |name| name.to_string_lossy().into_owned()),
        ordinal: device.ordinal(),
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        driver: (driver / 1000, driver % 1000 / 10),
        compiler: (major, minor),
        n_multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
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
    let mut pool = std::ptr::null_mut();
    let mut peak = 0_u64;
    // SAFETY: the device is there, and each pointer is of what the call writes.
    unsafe {
        if sys::cuDeviceGetDefaultMemPool(&mut pool, *context.device().cu_device()).result().is_err() {
            return Ok(None);
        }
        let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        let got = sys::cuMemPoolGetAttribute(pool, attribute, std::ptr::from_mut(&mut peak).cast());
        Ok(got.result().is_ok().then_some(peak))
    }
}
