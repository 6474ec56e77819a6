//! dfdx's gradients on the device.

#![allow(unsafe_code, reason = "dfdx's tensors are read and written by their addresses")]

use cudarc::driver::{CudaSlice, DeviceSlice};
use kernels_cuda::{Array, pointwise, zeros};

use super::OnDevice as _;
use crate::{backend::Computed, device::Stored};

/// Moves a gradient out where it is; `None` if it was taken before.
pub(super) fn take(stored: &mut Stored) -> Computed<Option<Array>> {
    if DeviceSlice::len(&**stored) == 0 {
        return Ok(None);
    }
    let taken = nothing()?;
    Ok(Some(Array::F32(std::mem::replace(&mut **stored, taken))))
}

/// Adds to a gradient of the same length.
pub(super) fn add(stored: &mut Stored, gradient: &Array) -> Computed<()> {
    let nothing = nothing()?;
    let mut sum = Array::F32(std::mem::replace(&mut **stored, nothing));
    pointwise::add(&mut sum, gradient).computed()?;
    **stored = sum.into_slice().computed()?;
    Ok(())
}

/// What is left where a gradient was: no values, in memory for one, since some drivers refuse to allocate nothing.
fn nothing() -> Computed<CudaSlice<f32>> {
    let one = zeros(1).computed()?;
    let device = one.device();
    // SAFETY: the memory is there and nobody else's, and has room for no values.
    Ok(unsafe { device.upgrade_device_ptr(one.leak(), 0) })
}
