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

/// What came of one part of a self-test.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Which arithmetic was tried.
    pub name: &'static str,
    /// How far the results of the device are from those of the host in single precision: the length of the difference by that
    /// of the result, the largest over an output and its gradients.
    pub error: f64,
    /// What that should be below.
    pub limit: f64,
    /// Operations a second of a large convolution, if that was asked for.
    pub rate: Option<f64>,
}

impl Check {
    /// Whether the device computes what the host does.
    pub fn is_right(&self) -> bool {
        self.error < self.limit
    }
}

/// Lets the CUDA device compute a small network, forward and back, and compares with the host; `timed` measures its speed as
/// well. Nothing to check on the CPU.
///
/// # Errors
///
/// When the device fails.
pub fn self_test(device: &Device, timed: bool) -> Result<Vec<Check>, OpError> {
    backend::self_test(device, timed)
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

/// Gives the memory that values had on the CUDA device, and that is kept for others, back to the system. Nothing to do on the
/// CPU.
///
/// # Errors
///
/// When the device has failed.
pub fn give_back_memory() -> Result<(), OpError> {
    backend::give_back_memory()
}

/// Lets matrix products and convolutions of single precision round their factors to TensorFloat-32, 10 bits of mantissa, which
/// tensor cores multiply several times as fast. Off at first. Nothing changes on the CPU.
pub fn allow_tensor_float(is_allowed: bool) {
    backend::allow_tensor_float(is_allowed);
}

/// The CUDA C of the kernels, each file with its name, as the compiler gets it when one of them is first used; none in a build
/// without the feature `cuda`. Asks for no device: for a check that they compile, on a machine without one.
pub fn kernel_sources() -> Vec<(&'static str, String)> {
    backend::kernel_sources()
}

#[cfg(not(feature = "cuda"))]
mod backend {
    use super::{Check, Device, DeviceStatus, OpError};

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

    pub(super) fn give_back_memory() -> Result<(), OpError> {
        Ok(())
    }

    pub(super) fn allow_tensor_float(_: bool) {}

    pub(super) fn kernel_sources() -> Vec<(&'static str, String)> {
        Vec::new()
    }

    pub(super) fn self_test(_: &Device, _: bool) -> Result<Vec<Check>, OpError> {
        Ok(Vec::new())
    }
}

#[cfg(feature = "cuda")]
mod backend {
    pub(super) use kernels_cuda::{allow_tensor_float, kernel_sources};

    use super::{Device, DeviceStatus, OpError};
    use crate::backend::OnDevice as _;
    pub(super) use crate::backend::cuda_self_test as self_test;

    pub(super) fn open(ordinal: usize) -> Result<Device, OpError> {
        kernels_cuda::open(ordinal).map_err(|error| OpError::Device(error.to_string()))?;
        Ok(Device::try_build(ordinal, 0)?)
    }

    pub(super) fn status() -> Result<Option<DeviceStatus>, OpError> {
        let kernels_cuda::Status {
            name,
            ordinal,
            capability,
            driver,
            compiler,
            n_multiprocessors,
            memory,
            free_memory,
        } = kernels_cuda::status().computed()?;
        Ok(Some(DeviceStatus {
            name,
            ordinal,
            capability,
            driver,
            compiler,
            n_multiprocessors,
            memory,
            free_memory,
        }))
    }

    pub(super) fn synchronize() -> Result<(), OpError> {
        Ok(kernels_cuda::synchronize().computed()?)
    }

    pub(super) fn peak_memory() -> Option<u64> {
        kernels_cuda::peak_memory().ok().flatten()
    }

    pub(super) fn give_back_memory() -> Result<(), OpError> {
        Ok(kernels_cuda::give_back_memory().computed()?)
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;

    #[test]
    fn the_device_computes_what_the_host_does() {
        let device = open_device(0).unwrap();
        let status = device_status().unwrap().unwrap();
        assert!(status.memory > 0 && !status.name.is_empty());
        for check in self_test(&device, false).unwrap() {
            assert!(check.is_right(), "{check:?}");
        }
        synchronize().unwrap();
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        assert!(matches!(open_device(99), Err(OpError::Device(told)) if told.contains("no device 99")));
    }
}
