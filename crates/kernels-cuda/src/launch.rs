//! One call of a kernel.

use std::ffi::c_void;

use cudarc::driver::result;

use crate::{
    array::Array,
    context::context,
    error::{Error, Result, at_most},
    memory::Memory,
    program::Program,
};

/// Threads of a block, everywhere.
pub(crate) const BLOCK: u32 = 256;

/// Blocks of a launch that goes on in strides, for each multiprocessor: twice what one has room for.
const BLOCKS_OF_MULTIPROCESSOR: usize = 16;

/// What a grid has at most across its second and third side.
pub(crate) const MOST_ACROSS: usize = 65535;

/// Blocks that keep the device busy.
pub(crate) fn busy_blocks() -> Result<usize> {
    Ok(context()?.n_multiprocessors() * BLOCKS_OF_MULTIPROCESSOR)
}

/// One call of a kernel, as its arguments are put together, in the order of its parameters.
///
/// This is where the compiler's knowledge ends: whoever runs one answers for the arguments, see [`blocks`](Self::blocks).
/// What goes wrong on the device shows when the host next waits for it.
pub(crate) struct Launch {
    program: &'static Program,
    kernel: &'static str,
    /// Each argument, in its first bytes.
    arguments: Vec<Argument>,
    shared_bytes: u32,
    /// A size that no `int` holds.
    too_large: Option<usize>,
}

enum Argument {
    Word(u64),
    Struct(Box<[i32]>),
}

impl Launch {
    pub(crate) fn new(program: &'static Program, kernel: &'static str) -> Self {
        Self { program, kernel, arguments: Vec::with_capacity(16), shared_bytes: 0, too_large: None }
    }

    fn word(mut self, word: u64) -> Self {
        self.arguments.push(Argument::Word(word));
        self
    }

    /// No array, where a kernel can do without.
    pub(crate) fn null(self) -> Self {
        self.word(0)
    }

    /// An array that the kernel reads.
    pub(crate) fn read<T>(self, values: &Memory<T>) -> Self {
        self.word(values.address())
    }

    /// An array from its element `first` on, that the kernel reads.
    pub(crate) fn read_from<T>(self, values: &Memory<T>, first: usize) -> Self {
        assert!(first < values.len(), "a part starts within its array");
        self.word(values.address() + (first * size_of::<T>()) as u64)
    }

    /// An array that the kernel reads, if there is one; the kernel gets a null pointer otherwise.
    pub(crate) fn read_if<T>(self, values: Option<&Memory<T>>) -> Self {
        self.word(values.map_or(0, Memory::address))
    }

    /// An array that the kernel writes.
    pub(crate) fn write<T>(self, values: &mut Memory<T>) -> Self {
        self.word(values.address_mut())
    }

    /// An array from its element `first` on, that the kernel writes.
    pub(crate) fn write_from<T>(self, values: &mut Memory<T>, first: usize) -> Self {
        assert!(first < values.len(), "a part starts within its array");
        self.word(values.address_mut() + (first * size_of::<T>()) as u64)
    }

    /// An array that the kernel writes, if there is one.
    pub(crate) fn write_if<T>(self, values: Option<&mut Memory<T>>) -> Self {
        self.word(values.map_or(0, Memory::address_mut))
    }

    /// Values of the precision that the kernel is for.
    pub(crate) fn read_array(self, array: &Array) -> Self {
        self.word(array.address())
    }

    /// Values of the precision that the kernel is for, if there are any.
    pub(crate) fn read_array_if(self, array: Option<&Array>) -> Self {
        self.word(array.map_or(0, Array::address))
    }

    /// Values of the precision that the kernel is for, which it writes.
    pub(crate) fn write_array(self, array: &mut Array) -> Self {
        self.word(array.address_mut())
    }

    /// Values of the precision that the kernel is for, which it writes, if there are any.
    pub(crate) fn write_array_if(self, array: Option<&mut Array>) -> Self {
        self.word(array.map_or(0, Array::address_mut))
    }

    /// An array that something else owns.
    ///
    /// # Safety
    ///
    /// An array that the kernel may use as it does is at the address, on the device of this process.
    pub(crate) unsafe fn address(self, address: u64) -> Self {
        self.word(address)
    }

    /// An `int`.
    pub(crate) fn int(mut self, value: usize) -> Self {
        if value > i32::MAX as usize {
            self.too_large = Some(value);
        }
        self.word(value as u64)
    }

    /// An `int` that says yes or no.
    pub(crate) fn flag(self, value: bool) -> Self {
        self.word(u64::from(value))
    }

    /// A `long long`.
    pub(crate) fn long(self, value: usize) -> Self {
        self.word(value as u64)
    }

    /// A `float`.
    pub(crate) fn float(self, value: f32) -> Self {
        self.word(u64::from(value.to_bits()))
    }

    /// A `double`.
    pub(crate) fn double(self, value: f64) -> Self {
        self.word(value.to_bits())
    }

    /// A struct of `int`s.
    pub(crate) fn ints(mut self, values: &[i32]) -> Self {
        self.arguments.push(Argument::Struct(values.into()));
        self
    }

    /// Dynamic shared memory; a kernel always asks for the same.
    pub(crate) fn shared(mut self, bytes: u32) -> Self {
        self.shared_bytes = bytes;
        self
    }

    /// As many blocks as give each of `n` elements a thread of its own, up to what keeps the device busy: kernels that are
    /// launched so go on in strides.
    ///
    /// # Safety
    ///
    /// As of [`blocks`](Self::blocks).
    pub(crate) unsafe fn over(self, n: usize) -> Result<()> {
        let blocks = n.div_ceil(BLOCK as usize).clamp(1, busy_blocks()?);
        // SAFETY: the caller answers for it.
        unsafe { self.blocks(blocks, 1, 1) }
    }

    /// A warp for each of `n` rows.
    ///
    /// # Safety
    ///
    /// As of [`blocks`](Self::blocks).
    pub(crate) unsafe fn warps(self, n: usize) -> Result<()> {
        // SAFETY: the caller answers for it.
        unsafe { self.blocks(n.div_ceil(BLOCK as usize / 32).max(1), 1, 1) }
    }

    /// As many blocks as give each of `len` elements of an image a thread, for each of `n` images, or fewer: kernels that are
    /// launched so go on in strides.
    ///
    /// # Safety
    ///
    /// As of [`blocks`](Self::blocks).
    pub(crate) unsafe fn over_images(self, len: usize, n: usize) -> Result<()> {
        at_most("the number of values of an image", len, 1 << 30)?;
        // SAFETY: the caller answers for it.
        unsafe { self.blocks(len.div_ceil(BLOCK as usize).max(1), n.clamp(1, MOST_ACROSS), 1) }
    }

    /// A grid of blocks.
    ///
    /// # Safety
    ///
    /// The arguments are those of the kernel's parameters, in their order, and each array is as long as the kernel reads or
    /// writes it with these sizes and this grid.
    pub(crate) unsafe fn blocks(self, x: usize, y: usize, z: usize) -> Result<()> {
        if let Some(got) = self.too_large {
            return Err(Error::Size { what: "a side", got, most: i32::MAX as usize });
        }
        at_most("the number of blocks", x, i32::MAX as usize)?;
        at_most("the number of blocks across", y.max(z), MOST_ACROSS)?;
        let context = context()?;
        let function = self.program.function(self.kernel, self.shared_bytes)?;
        let mut parameters: Vec<*mut c_void> = self
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Word(word) => std::ptr::from_ref(word).cast_mut().cast(),
                Argument::Struct(ints) => ints.as_ptr().cast_mut().cast(),
            })
            .collect();
        // SAFETY: the function is loaded, and the caller answers for the arguments.
        unsafe {
            result::launch_kernel(
                function.0,
                (x as u32, y as u32, z as u32),
                (BLOCK, 1, 1),
                self.shared_bytes,
                context.stream(),
                &mut parameters,
            )
        }?;
        Ok(())
    }
}
