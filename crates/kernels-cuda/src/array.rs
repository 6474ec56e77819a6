//! Values on the device.

use std::{any::Any, fmt, rc::Rc};

use cudarc::driver::result;
use kernels_cpu::Precision;

use crate::{
    context::context,
    error::Result,
    memory::Memory,
    pointwise::{narrow, widen},
};

/// Values on the device, in either precision.
#[derive(Debug)]
pub enum Array {
    /// As they are.
    F32(Memory<f32>),
    /// The upper halves of their bits.
    Bf16(Memory<u16>),
    /// As they are, in memory of something else.
    Lent(Lent),
}

/// Single-precision values that something else owns. They are read where they are, and never written.
pub struct Lent {
    address: u64,
    len: usize,
    _owner: Rc<dyn Any>,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({} values at {:#x})", self.len, self.address)
    }
}

impl Lent {
    /// Values at an address.
    ///
    /// # Safety
    ///
    /// For as long as the owner is there, `len` single-precision values are at the address, on the device of this process,
    /// and nothing writes to them.
    pub unsafe fn new(address: u64, len: usize, owner: Rc<dyn Any>) -> Self {
        Self { address, len, _owner: owner }
    }
}

impl Array {
    /// Memory that a kernel is about to write whole.
    pub(crate) fn unwritten(len: usize, precision: Precision) -> Result<Self> {
        Ok(match precision {
            Precision::F32 => Self::F32(Memory::unwritten(len)?),
            Precision::Bf16 => Self::Bf16(Memory::unwritten(len)?),
        })
    }

    /// Single-precision values, from the host. Returns before the device has them.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn upload(values: Vec<f32>) -> Result<Self> {
        Ok(Self::F32(Memory::send(values)?))
    }

    /// How many there are.
    #[allow(
        clippy::len_without_is_empty,
        reason = "there is always something: drivers refuse to allocate nothing"
    )]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(halves) => halves.len(),
            Self::Lent(lent) => lent.len,
        }
    }

    /// How they are kept.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) | Self::Lent(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
        }
    }

    /// Where they are.
    pub(crate) fn address(&self) -> u64 {
        match self {
            Self::F32(values) => values.address(),
            Self::Bf16(halves) => halves.address(),
            Self::Lent(lent) => lent.address,
        }
    }

    /// Where they are, to be written.
    ///
    /// # Panics
    ///
    /// If something else owns them: see [`into_own`](Self::into_own).
    pub(crate) fn address_mut(&mut self) -> u64 {
        match self {
            Self::F32(values) => values.address_mut(),
            Self::Bf16(halves) => halves.address_mut(),
            Self::Lent(_) => panic!("values that something else owns are not written"),
        }
    }

    /// The same values, or a copy where something else owns them.
    pub(crate) fn into_own(self) -> Result<Self> {
        match self {
            Self::Lent(_) => self.duplicate(),
            own => Ok(own),
        }
    }

    /// A copy of its own.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn duplicate(&self) -> Result<Self> {
        let mut copy = Self::unwritten(self.len(), self.precision())?;
        let size = match self.precision() {
            Precision::F32 => size_of::<f32>(),
            Precision::Bf16 => size_of::<u16>(),
        };
        // SAFETY: both have as many values.
        unsafe { copy_within_device(self.address(), copy.address_mut(), self.len() * size) }?;
        Ok(copy)
    }

    /// In single precision, as memory of its own.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn into_memory(self) -> Result<Memory<f32>> {
        match self {
            Self::F32(values) => Ok(values),
            Self::Bf16(halves) => widen(&Self::Bf16(halves)),
            Self::Lent(_) => self.duplicate()?.into_memory(),
        }
    }

    /// The same values in this precision: a copy only where that is another.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn into_precision(self, precision: Precision) -> Result<Self> {
        match (self.precision(), precision) {
            (Precision::F32, Precision::Bf16) => narrow(&self),
            (Precision::Bf16, Precision::F32) => Ok(Self::F32(widen(&self)?)),
            _ => Ok(self),
        }
    }

    /// All of them, on the host.
    ///
    /// # Errors
    ///
    /// When the device fails, now or in what it was given before.
    pub fn to_host(&self) -> Result<Vec<f32>> {
        match self {
            Self::F32(values) => download(values),
            Self::Bf16(halves) => {
                let halves = halves.fetch()?;
                Ok(halves.into_iter().map(|half| f32::from_bits(u32::from(half) << 16)).collect())
            }
            Self::Lent(lent) => {
                let mut values = vec![0.0_f32; lent.len];
                context()?.bind()?;
                // SAFETY: whoever lent the address answers for so many values there.
                unsafe { result::memcpy_dtoh_sync(&mut values, lent.address) }?;
                Ok(values)
            }
        }
    }

    /// Copies the values, which are of single precision, to memory of something else.
    ///
    /// # Safety
    ///
    /// So many single-precision values are at the address, on the device of this process, and nothing else uses them.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub unsafe fn copy_to_address(&self, address: u64) -> Result<()> {
        assert!(self.precision() == Precision::F32, "single precision is copied as it is");
        // SAFETY: the values are there, and the caller answers for the address.
        unsafe { copy_within_device(self.address(), address, self.len() * size_of::<f32>()) }
    }
}

/// Copies bytes from one address to another.
///
/// # Safety
///
/// So many bytes are at both.
pub(crate) unsafe fn copy_within_device(from: u64, to: u64, n_bytes: usize) -> Result<()> {
    let context = context()?;
    context.bind()?;
    // SAFETY: as above.
    Ok(unsafe { result::memcpy_dtod_async(to, from, n_bytes, context.stream()) }?)
}

/// Single-precision values, from the host.
///
/// # Errors
///
/// When the device fails.
pub fn upload(values: &[f32]) -> Result<Memory<f32>> {
    let memory = Memory::unwritten(values.len())?;
    let context = context()?;
    context.bind()?;
    // SAFETY: there is room for the values, and the host waits until they are there.
    unsafe { result::memcpy_htod_async(memory.address(), values, context.stream()) }?;
    context.device().synchronize()?;
    Ok(memory)
}

/// Single-precision values, to the host.
///
/// # Errors
///
/// When the device fails, now or in what it was given before.
pub fn download(values: &Memory<f32>) -> Result<Vec<f32>> {
    values.fetch()
}

/// What a kernel adds to, or memory that it writes whole, if nothing was there `before`; and whether it adds.
pub(crate) fn to_add_to(before: Option<Array>, len: usize, precision: Precision) -> Result<(Array, bool)> {
    Ok(match before {
        Some(before) => {
            assert!(before.len() == len, "a gradient has the length of what it is of");
            (before.into_precision(precision)?.into_own()?, true)
        }
        None => (Array::unwritten(len, precision)?, false),
    })
}

/// Zeros.
///
/// # Errors
///
/// When the device fails.
pub fn zeros(len: usize) -> Result<Memory<f32>> {
    let memory = Memory::unwritten(len)?;
    let context = context()?;
    context.bind()?;
    let n_bytes = memory.len() * size_of::<f32>();
    // SAFETY: there are so many bytes.
    unsafe { result::memset_d8_async(memory.address(), 0, n_bytes, context.stream()) }?;
    Ok(memory)
}

/// A copy of its own.
///
/// # Errors
///
/// When the device fails.
pub fn duplicate(values: &Memory<f32>) -> Result<Memory<f32>> {
    let mut copy = Memory::unwritten(values.len())?;
    // SAFETY: both are that long.
    unsafe { copy_within_device(values.address(), copy.address_mut(), values.len() * size_of::<f32>()) }?;
    Ok(copy)
}
