//! dfdx's gradients on the device.

#![allow(unsafe_code, reason = "dfdx's tensors are read and written by their addresses")]

use cudarc::driver::{CudaSlice, DevicePtrMut, DeviceSlice};
use kernels_cuda::{Array, pointwise};

use super::OnDevice as _;
use crate::{backend::Computed, device::Stored};

/// Moves a gradient out where it is; `None` if it was taken before.
pub(super) fn take(stored: &mut Stored) -> Computed<Option<Array>> {
    if DeviceSlice::len(&**stored) == 0 {
        return Ok(None);
    }
    let taken = nothing(stored)?;
    Ok(Some(Array::F32(std::mem::replace(&mut **stored, taken).into())))
}

/// Adds to a gradient of the same length.
pub(super) fn add(stored: &mut Stored, gradient: &Array) -> Computed<()> {
    assert_eq!(DeviceSlice::len(&**stored), gradient.len(), "terms have one length");
    // SAFETY: the gradient is there, has that length, and is borrowed here alone.
    unsafe { pointwise::add_at(*stored.device_ptr_mut(), gradient) }.computed()
}

/// What is left where a gradient was: no values, in memory for one, since some drivers refuse to allocate nothing.
fn nothing(stored: &Stored) -> Computed<CudaSlice<f32>> {
    let device = stored.device();
    let one = device.alloc_zeros::<f32>(1)?;
    // SAFETY: the memory is there and nobody else's, and has room for no values.
    Ok(unsafe { device.upgrade_device_ptr(one.leak(), 0) })
}
