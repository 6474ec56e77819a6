//! Memory of the device, kept for the next values of its size when values are dropped.
//!
//! A step asks for the same sizes in the same order as the step before, hundreds of times. The driver's own pool takes a call to
//! give memory and a call to take it back. Here both are a look into a map, and no wait: all kernels and copies run on one
//! stream, in the order in which the host has given them, so that whoever gets memory anew works behind those who had it before.
//!
//! When the device has no room, all that is kept goes back to the driver, and the driver is asked again.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cudarc::driver::{CudaSlice, DeviceRepr, DeviceSlice, result};

use crate::{
    context::{Context, context},
    error::{Error, Result, at_most},
    sending::send,
};

/// Values of one type on the device, at least room for one.
#[derive(Debug)]
pub struct Memory<T> {
    address: u64,
    len: usize,
    /// Bytes of the memory, where it is kept for others; those that the driver gets back itself need none.
    n_bytes: Option<usize>,
    values: PhantomData<T>,
}

/// Memory that nobody uses: addresses by the number of bytes.
static KEPT: Mutex<BTreeMap<usize, Vec<u64>>> = Mutex::new(BTreeMap::new());

fn kept() -> MutexGuard<'static, BTreeMap<usize, Vec<u64>>> {
    // A panic of another thread leaves the map whole.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What sizes are multiples of. On the emulated driver, which looks for what is written behind an end, there is no room there.
const GRAIN: usize = if cfg!(feature = "emulated") { 1 } else { 512 };

impl<T: DeviceRepr> Memory<T> {
    /// Memory that a kernel or a copy is about to write whole. There is always some of it: drivers refuse to allocate nothing.
    pub(crate) fn unwritten(len: usize) -> Result<Self> {
        // Half of what can be addressed: neither the product below nor a quarter more than it wraps around.
        at_most("the number of values", len, (isize::MAX as usize - GRAIN) / size_of::<T>())?;
        let n_bytes = (len.max(1) * size_of::<T>()).next_multiple_of(GRAIN);
        let address = match take(n_bytes) {
            Some(address) => address,
            None => ask(n_bytes)?,
        };
        Ok(Self { address, len: len.max(1), n_bytes: Some(n_bytes), values: PhantomData })
    }

    /// Numbers that the host gives away: unlike an upload of borrowed ones, this does not wait for the device.
    pub(crate) fn send(values: Vec<T>) -> Result<Self>
    where
        T: Send + 'static,
    {
        let memory = Self::unwritten(values.len())?;
        if !values.is_empty() {
            // SAFETY: there is room for the values, and whoever gets the memory after this one works behind the copy.
            unsafe { send(memory.address, values) }?;
        }
        Ok(memory)
    }

    /// Numbers, to the host, which waits for them.
    pub(crate) fn fetch(&self) -> Result<Vec<T>>
    where
        T: Clone + Default,
    {
        let mut values = vec![T::default(); self.len];
        context()?.bind()?;
        // SAFETY: so many values are there, of a type for which any bits are valid.
        unsafe { result::memcpy_dtoh_sync(&mut values, self.address) }?;
        Ok(values)
    }
}

impl<T> Memory<T> {
    /// How many values there are.
    #[allow(
        clippy::len_without_is_empty,
        reason = "there is always something: drivers refuse to allocate nothing"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where they are.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Where they are, to be written.
    pub(crate) fn address_mut(&mut self) -> u64 {
        self.address
    }

    /// The memory of a slice, which goes back to the driver.
    ///
    /// # Errors
    ///
    /// When the device does not open.
    ///
    /// # Panics
    ///
    /// If the slice has no values, or is on another device than this process works on.
    pub fn of_slice(slice: CudaSlice<T>) -> Result<Self> {
        let len = DeviceSlice::len(&slice);
        assert!(len > 0, "there is always something");
        let ordinal = context()?.device().ordinal();
        assert_eq!(slice.device().ordinal(), ordinal, "kernels run on the device of this process");
        // SAFETY: the slice has given its memory away, and the device is that of this process.
        Ok(unsafe { Self::of_driver(slice.leak(), len) })
    }

    /// Memory of the driver, which gets it back.
    ///
    /// # Safety
    ///
    /// The address is that of so many values, on the device of this process, and nobody else frees it.
    pub(crate) unsafe fn of_driver(address: u64, len: usize) -> Self {
        Self { address, len, n_bytes: None, values: PhantomData }
    }
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        match self.n_bytes {
            Some(n_bytes) => kept().entry(n_bytes).or_default().push(self.address),
            None => {
                // There is nobody to tell: a device that fails here has failed before.
                let _ = context().and_then(|context| {
                    context.bind()?;
                    // SAFETY: the memory is the driver's, and nobody else frees it.
                    unsafe { free(context, self.address) }
                });
            }
        }
    }
}

/// Memory that is kept, of so many bytes or a quarter more.
fn take(n_bytes: usize) -> Option<u64> {
    let most = if cfg!(feature = "emulated") { n_bytes } else { n_bytes + n_bytes / 4 };
    let mut kept = kept();
    let address = kept.range_mut(n_bytes..=most).find_map(|(_, addresses)| addresses.pop())?;
    // SAFETY: what was kept is used by nobody.
    #[cfg(feature = "emulated")]
    unsafe {
        poison(address)
    };
    Some(address)
}

/// Lets the emulated driver look whether something was written beyond an end, and leave nothing of what was there.
///
/// # Safety
///
/// Nobody uses the memory.
#[cfg(feature = "emulated")]
unsafe fn poison(address: u64) {
    unsafe extern "C" {
        fn cuda_emulation_poison(address: u64);
    }
    // SAFETY: as above.
    unsafe { cuda_emulation_poison(address) };
}

/// Memory from the driver, if need be from what is kept.
fn ask(n_bytes: usize) -> Result<u64> {
    let context = context()?;
    context.bind()?;
    match allocate(context, n_bytes) {
        Err(error) if error.is_out_of_memory() => {
            give_back(context)?;
            allocate(context, n_bytes)
        }
        result => result,
    }
}

fn allocate(context: &Context, n_bytes: usize) -> Result<u64> {
    // SAFETY: the stream is there, and whoever asks for memory writes it before it is read.
    let address = unsafe {
        match context.has_pools() {
            true => result::malloc_async(context.stream(), n_bytes),
            false => result::malloc_sync(n_bytes),
        }
    };
    address.map_err(Error::from)
}

/// # Safety
///
/// Nobody uses or frees the memory.
unsafe fn free(context: &Context, address: u64) -> Result<()> {
    // SAFETY: as above.
    Ok(unsafe {
        match context.has_pools() {
            true => result::free_async(address, context.stream()),
            false => result::free_sync(address),
        }
    }?)
}

/// What `ask` gives, which takes memory from the driver itself; if it fails, all that is kept goes back and it is asked again.
///
/// # Errors
///
/// As of `ask`, the second time.
pub fn with_room<T, E>(ask: impl Fn() -> Result<T, E>) -> Result<T, E> {
    ask().or_else(|error| match context().and_then(give_back) {
        Ok(()) => ask(),
        Err(_) => Err(error),
    })
}

/// Gives all that is kept back to the driver.
pub(crate) fn give_back(context: &Context) -> Result<()> {
    for address in std::mem::take(&mut *kept()).into_values().flatten() {
        // SAFETY: nobody uses what is kept, and it is kept no longer.
        unsafe { free(context, address) }?;
    }
    Ok(())
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_out_again() {
        // A size that no other test asks for.
        const LEN: usize = 54_321;
        let first = Memory::<f32>::unwritten(LEN).unwrap();
        let address = first.address();
        drop(first);
        let again = Memory::<f32>::unwritten(LEN).unwrap();
        assert_eq!(again.address(), address);
        assert!(
            again.fetch().unwrap().iter().all(|value| value.is_nan()),
            "nothing is left of what was there"
        );
        let other = Memory::<f32>::unwritten(LEN).unwrap();
        assert_ne!(other.address(), address);
    }

    #[test]
    fn what_is_kept_can_be_given_back() {
        const LEN: usize = 65_432;
        drop(Memory::<f32>::unwritten(LEN).unwrap());
        crate::give_back_memory().unwrap();
        assert!(kept().get(&(LEN * size_of::<f32>())).is_none());
    }
}
