//! The device of this process, as a program sees it.

use crate::{Device, OpError};

/// What there is to know about a CUDA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// As the driver calls it.
    pub name: String,
    /// Which device of the machine it is, from 0.
    pub ordinal: usize,
    /// Compute capability, `(major, minor)`.
    pub capability: (i32, i32),
    /// The newest CUDA that the driver knows, `(major, minor)`.
    pub driver: (i32, i32),
    /// The version of NVRTC, which compiles the kernels, `(major, minor)`.
    pub compiler: (i32, i32),
    /// Multiprocessors.
    pub n_multiprocessors: i32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that nothing uses.
    pub free_memory: u64,
}

/// The processor; in a build with the feature `cuda`, that CUDA device of the machine.
///
/// A process works on one device: the first that is asked for.
///
/// # Errors
///
/// When there is no such device, its driver is not there or too old, or the process works on another already.
pub fn open_device(ordinal: usize) -> Result<Device, OpError> {
    backend::open(ordinal)
}

/// What the CUDA device of this process is; `None` in a build without the feature `cuda`.
///
/// # Errors
///
/// When there is no device, or it fails.
pub fn device_status() -> Result<Option<DeviceStatus>, OpError> {
    backend::status()
}

/// Waits until the device has done all that it was given. On the CPU nothing is ever left to do.
///
/// # Errors
///
/// When the device has failed meanwhile.
pub fn synchronize() -> Result<(), OpError> {
    backend::synchronize()
}

/// The most bytes that values have had on the CUDA device at a time; `None` on the CPU, and where the driver does not count.
pub fn peak_device_memory() -> Option<u64> {
    backend::peak_memory()
}

/// Lets matrix products and convolutions of single precision round their factors to TensorFloat-32, 10 bits of mantissa, which
/// tensor cores multiply several times as fast. Off at first. Nothing changes on the CPU.
pub fn allow_tensor_float(is_allowed: bool) {
    backend::allow_tensor_float(is_allowed);
}

#[cfg(not(feature = "cuda"))]
mod backend {
    use super::{Device, DeviceStatus, OpError};

    pub(super) fn open(_: usize) -> Result<Device, OpError> {
        Ok(Device::default())
    }

    pub(super) fn status() -> Result<Option<DeviceStatus>, OpError> {
        Ok(None)
    }

    pub(super) fn synchronize() -> Result<(), OpError> {
        Ok(())
    }

    pub(super) fn peak_memory() -> Option<u64> {
        None
    }

    pub(super) fn allow_tensor_float(_: bool) {}
}

#[cfg(feature = "cuda")]
mod backend {
    use super::{Device, DeviceStatus, OpError};
    use crate::cuda;

    pub(super) use crate::cuda::allow_tensor_float;

    pub(super) fn open(ordinal: usize) -> Result<Device, OpError> {
        cuda::open(ordinal)?;
        Ok(Device::try_build(ordinal, 0)?)
    }

    pub(super) fn status() -> Result<Option<DeviceStatus>, OpError> {
        Ok(Some(cuda::status()?))
    }

    pub(super) fn synchronize() -> Result<(), OpError> {
        Ok(cuda::synchronize()?)
    }

    pub(super) fn peak_memory() -> Option<u64> {
        cuda::peak_memory().ok().flatten()
    }
}
