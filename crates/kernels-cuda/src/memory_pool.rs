//! The driver's pool of device memory.

use cudarc::driver::{CudaDevice, sys};

/// The pool that values are allocated from; `None` where the device has none.
pub(crate) fn pool_of(device: &CudaDevice) -> Option<sys::CUmemoryPool> {
    let mut pool = std::ptr::null_mut();
    // SAFETY: the device is there, and the pointer is of what the call writes.
    let got = unsafe { sys::cuDeviceGetDefaultMemPool(&mut pool, *device.cu_device()) };
    got.result().is_ok().then_some(pool)
}

/// A size that the driver counts; `None` where it does not.
pub(crate) fn bytes_of(pool: sys::CUmemoryPool, attribute: sys::CUmemPool_attribute) -> Option<u64> {
    let mut bytes = 0_u64;
    // SAFETY: the pool is the device's own, and sizes are of this type.
    let got = unsafe { sys::cuMemPoolGetAttribute(pool, attribute, std::ptr::from_mut(&mut bytes).cast()) };
    got.result().is_ok().then_some(bytes)
}
