//! What the device, its driver and the compiler of kernels can do, each as `(major, minor)`.

use cudarc::{
    driver::{DriverError, result, sys},
    nvrtc,
};

/// Compute capability of a device.
pub(crate) fn capability(device: sys::CUdevice) -> Result<(i32, i32), DriverError> {
    use sys::CUdevice_attribute_enum as Attribute;
    // SAFETY: whoever has a device has got it from the driver.
    let attribute = |attribute| unsafe { result::device::get_attribute(device, attribute) };
    Ok((
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    ))
}

/// The newest CUDA that the driver knows.
pub(crate) fn driver() -> Result<(i32, i32), DriverError> {
    let mut version = 0;
    // SAFETY: the pointer is of what the call writes.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok((version / 1000, version % 1000 / 10))
}

/// The version of NVRTC.
pub(crate) fn compiler() -> (i32, i32) {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are of what the call writes, and it has no other way to fail.
    let _ = unsafe { nvrtc::sys::nvrtcVersion(&mut major, &mut minor) };
    (major, minor)
}
