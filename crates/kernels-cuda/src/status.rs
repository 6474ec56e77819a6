//! What the device is, and how it is doing.

use std::ffi::CStr;

use cudarc::driver::{result, sys};

use crate::{
    context::context,
    error::Result,
    memory,
    memory_pool::{bytes_of, pool_of},
    versions,
};

/// What there is to know about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// As the driver calls it.
    pub name: String,
    /// Which device of the machine it is, from 0.
    pub ordinal: usize,
    /// Compute capability, `(major, minor)`.
    pub capability: (i32, i32),
    /// The newest CUDA that the driver knows, `(major, minor)`.
    pub driver: (i32, i32),
    /// The version of NVRTC, `(major, minor)`.
    pub compiler: (i32, i32),
    /// Multiprocessors.
    pub n_multiprocessors: i32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that nothing uses.
    pub free_memory: u64,
}

/// How the device's memory is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes that this program has, in use or kept for its next values.
    pub own: u64,
    /// Bytes that no program has.
    pub free: u64,
    /// Bytes of the device.
    pub total: u64,
}

/// What the device of this process is.
///
/// # Errors
///
/// When there is no device, or it fails.
pub fn status() -> Result<Status> {
    use sys::CUdevice_attribute_enum as Attribute;
    let context = context()?;
    context.bind()?;
    let device = context.device();
    let mut name = [0_u8; 128];
    // SAFETY: the device is there, and the name has the room that the call is told of.
    unsafe { sys::cuDeviceGetName(name.as_mut_ptr().cast(), name.len() as i32, *device.cu_device()) }
        .result()?;
    let (free, memory) = result::mem_get_info()?;
    Ok(Status {
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
///
/// # Errors
///
/// When it has failed meanwhile.
pub fn synchronize() -> Result<()> {
    Ok(context()?.device().synchronize()?)
}

/// The most bytes that values have had on the device at a time; `None` where the driver does not count them.
///
/// # Errors
///
/// When there is no device, or it fails.
pub fn peak_memory() -> Result<Option<u64>> {
    let context = context()?;
    context.bind()?;
    Ok(pool_of(context.device())
        .and_then(|pool| bytes_of(pool, sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH)))
}

/// Waits for the device, and gives what its pool keeps for later back to the system.
///
/// # Errors
///
/// When the device has failed.
pub fn give_back_memory() -> Result<()> {
    let context = context()?;
    context.bind()?;
    memory::give_back(context)?;
    // A free is done when the stream gets to it.
    context.device().synchronize()?;
    if let Some(pool) = pool_of(context.device()) {
        // SAFETY: the pool is the device's own.
        unsafe { sys::cuMemPoolTrimTo(pool, 0) }.result()?;
    }
    Ok(())
}

/// How the device's memory is divided; `None` where there is no device to ask.
pub fn memory_use() -> Option<MemoryUse> {
    let context = context().ok()?;
    context.bind().ok()?;
    let (free, total) = result::mem_get_info().map_or((0, 0), |(free, total)| (free as u64, total as u64));
    let reserved = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT;
    let own = pool_of(context.device()).and_then(|pool| bytes_of(pool, reserved)).unwrap_or(total - free);
    Some(MemoryUse { own, free, total })
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::*;

    #[test]
    fn the_device_says_what_it_is_and_what_it_has() {
        let status = status().unwrap();
        assert!(!status.name.is_empty() && status.memory >= status.free_memory && status.memory > 0);
        let memory = memory_use().unwrap();
        assert!(memory.own <= memory.total && memory.free <= memory.total);
    }

    #[test]
    fn what_is_free_can_be_given_back() {
        give_back_memory().unwrap();
    }
}
