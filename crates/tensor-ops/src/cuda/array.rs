//! Values on the device.

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DeviceRepr, DeviceSlice};
use dfdx::tensor::CudaError;

use super::context::context;
use crate::Precision;

/// Values on the device, in either precision.
#[derive(Debug)]
pub(crate) enum Array {
    /// As they are.
    F32(CudaSlice<f32>),
    /// The upper halves of their bits.
    Bf16(CudaSlice<u16>),
}

impl Array {
    /// Memory that a kernel is about to write whole.
    pub(crate) fn unwritten(len: usize, precision: Precision) -> Result<Self, CudaError> {
        Ok(match precision {
            Precision::F32 => Self::F32(unwritten(len)?),
            Precision::Bf16 => Self::Bf16(unwritten(len)?),
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(halves) => halves.len(),
        }
    }

    /// How they are kept.
    pub(crate) fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    /// Where they are.
    pub(super) fn pointer(&self) -> u64 {
        match self {
            Self::F32(values) => *values.device_ptr(),
            Self::Bf16(halves) => *halves.device_ptr(),
        }
    }

    /// Where they are, to be written.
    pub(super) fn pointer_mut(&mut self) -> u64 {
        match self {
            Self::F32(values) => *values.device_ptr_mut(),
            Self::Bf16(halves) => *halves.device_ptr_mut(),
        }
    }

    /// All of them, on the host.
    pub(crate) fn to_host(&self) -> Result<Vec<f32>, CudaError> {
        match self {
            Self::F32(values) => download(values),
            Self::Bf16(halves) => {
                let halves = context()?.device().dtoh_sync_copy(halves)?;
                Ok(halves.into_iter().map(|half| f32::from_bits(u32::from(half) << 16)).collect())
            }
        }
    }
}

/// Single-precision values, from the host.
pub(crate) fn upload(values: &[f32]) -> Result<CudaSlice<f32>, CudaError> {
    let mut slice = unwritten(values.len())?;
    if !values.is_empty() {
        context()?.device().htod_sync_copy_into(values, &mut slice)?;
    }
    Ok(slice)
}

/// Single-precision values, to the host.
pub(crate) fn download(values: &CudaSlice<f32>) -> Result<Vec<f32>, CudaError> {
    if values.len() == 0 {
        return Ok(Vec::new());
    }
    Ok(context()?.device().dtoh_sync_copy(values)?)
}

/// Memory that a kernel or a copy is about to write whole. There is always some of it: drivers refuse to allocate nothing.
pub(crate) fn unwritten<T: DeviceRepr>(len: usize) -> Result<CudaSlice<T>, CudaError> {
    // SAFETY: numbers of any bits are valid, and whoever asks for memory writes it before it is read.
    Ok(unsafe { context()?.device().alloc(len.max(1)) }?)
}

/// What a kernel adds to, or memory that it writes whole, if nothing was there `before`; and whether it adds.
pub(super) fn to_add_to(
    before: Option<CudaSlice<f32>>,
    len: usize,
) -> Result<(CudaSlice<f32>, bool), CudaError> {
    Ok(match before {
        Some(before) => (before, true),
        None => (unwritten(len)?, false),
    })
}

/// Zeros.
pub(crate) fn zeros(len: usize) -> Result<CudaSlice<f32>, CudaError> {
    Ok(context()?.device().alloc_zeros(len.max(1))?)
}

/// A copy of its own.
pub(crate) fn duplicate(values: &CudaSlice<f32>) -> Result<CudaSlice<f32>, CudaError> {
    let mut copy = unwritten(values.len())?;
    context()?.device().dtod_copy(values, &mut copy)?;
    Ok(copy)
}
