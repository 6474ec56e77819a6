//! What computes.

use rayon::ThreadPool;
use tensor_ops::Device;

/// A device that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the GPU cannot be used: {reason}")]
pub struct DeviceError {
    /// What the driver said.
    pub reason: String,
}

impl DeviceError {
    /// What the reader can do about it.
    pub fn hint(&self) -> &'static str {
        "check the driver with `nvidia-smi`, or build without `--features cuda`"
    }
}

/// The processor, or GPU 0 of a build with the feature `cuda`.
///
/// # Errors
/// If the GPU cannot be used.
#[cfg(not(feature = "cuda"))]
pub fn device() -> Result<Device, DeviceError> {
    Ok(Device::default())
}

/// The processor, or GPU 0 of a build with the feature `cuda`.
///
/// # Errors
/// If the GPU cannot be used.
#[cfg(feature = "cuda")]
pub fn device() -> Result<Device, DeviceError> {
    Device::try_build(0, 0).map_err(|error| DeviceError { reason: format!("{error:?}") })
}

/// Computes with the threads of `pool`, if there is one.
#[cfg(not(feature = "cuda"))]
pub(crate) fn within<R: Send>(pool: Option<&ThreadPool>, compute: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(compute),
        None => compute(),
    }
}

/// Computes on the thread that asks: dfdx's CUDA tensors cannot go to another.
#[cfg(feature = "cuda")]
pub(crate) fn within<R>(_: Option<&ThreadPool>, compute: impl FnOnce() -> R) -> R {
    compute()
}
