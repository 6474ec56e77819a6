//! dfdx's gradients on the device.

#![allow(unsafe_code, reason = "dfdx's tensors are read and written by their addresses")]

use cudarc::driver::{CudaSlice, DevicePtrMut, DeviceSlice};
use kernels_cuda::{Array, Memory, pointwise};

use super::OnDevice as _;
use crate::{backend::Computed, device::Stored};

/// Moves a gradient out where it is; `None` if it was taken before.
pub(super) fn take(stored: &mut Stored) -> Computed<Option<Array>> {
    if DeviceSlice::len(&**stored) == 0 {
        return Ok(None);
    }
    let taken = nothing(stored)?;
    Memory::of_slice(std::mem::replace(&mut **stored, taken)).map(Array::F32).map(Some).computed()
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

#[cfg(test)]
mod tests {
    use dfdx::tensor::{Gradients, Tensor, ZerosTensor as _};
    use kernels_cpu::testing::noise;

    use super::*;
    use crate::{Device, device};

    const LEN: usize = 300;

    /// The place of a gradient, with this one in it.
    fn with_stored<R>(gradient: Vec<f32>, work: impl FnOnce(&mut Stored) -> R) -> R {
        let tensor: Tensor<(usize,), f32, Device> = Device::default().zeros_like(&(LEN,));
        let mut gradients = Gradients::leaky();
        let stored = gradients.get_or_alloc_mut(&tensor).unwrap();
        device::put(stored, gradient).unwrap();
        work(stored)
    }

    #[test]
    fn a_gradient_is_taken_once() {
        with_stored(noise(1, LEN), |stored| {
            assert_eq!(take(stored).unwrap().unwrap().to_host().unwrap(), noise(1, LEN));
            assert!(take(stored).unwrap().is_none());
        });
        with_stored(noise(1, LEN), |stored| {
            assert_eq!(device::take(stored).unwrap(), noise(1, LEN));
            assert!(device::take(stored).unwrap().is_empty());
            assert!(take(stored).unwrap().is_none());
        });
    }
}
