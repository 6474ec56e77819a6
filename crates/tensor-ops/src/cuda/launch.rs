//! One call of a kernel.

use std::ffi::c_void;

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DeviceSlice, result};
use dfdx::tensor::CudaError;

use super::{array::Array, context::context, program::Program};

/// Threads of a block, everywhere.
pub(super) const BLOCK: u32 = 256;

/// One call of a kernel, as its arguments are put together, in the order of its parameters.
///
/// This is where the compiler's knowledge ends: whoever builds one answers for arrays that are as long as the kernel
/// reads and writes them. What goes wrong on the device shows when the host next waits for it.
pub(super) struct Launch {
    program: &'static Program,
    kernel: &'static str,
    /// Each argument, in its first bytes.
    arguments: Vec<Argument>,
    shared_bytes: u32,
}

enum Argument {
    Word(u64),
    Struct(Box<[i32]>),
}

impl Launch {
    pub(super) fn new(program: &'static Program, kernel: &'static str) -> Self {
        Self { program, kernel, arguments: Vec::with_capacity(16), shared_bytes: 0 }
    }

    fn word(mut self, word: u64) -> Self {
        self.arguments.push(Argument::Word(word));
        self
    }

    /// An array that the kernel reads.
    pub(super) fn read<T>(self, values: &CudaSlice<T>) -> Self {
        debug_assert!(values.len() > 0, "an array has at least one element");
        self.word(*values.device_ptr())
    }

    /// An array from its element `first` on, that the kernel reads or writes.
    pub(super) fn part(self, values: &CudaSlice<f32>, first: usize) -> Self {
        debug_assert!(first < values.len(), "a part starts within its array");
        self.word(*values.device_ptr() + (first * size_of::<f32>()) as u64)
    }

    /// An array that the kernel reads, if there is one; the kernel gets a null pointer otherwise.
    pub(super) fn read_if<T>(self, values: Option<&CudaSlice<T>>) -> Self {
        self.word(values.map_or(0, |values| *values.device_ptr()))
    }

    /// An array that the kernel writes.
    pub(super) fn write<T>(self, values: &mut CudaSlice<T>) -> Self {
        self.word(*values.device_ptr_mut())
    }

    /// An array that the kernel writes, if there is one.
    pub(super) fn write_if<T>(self, values: Option<&mut CudaSlice<T>>) -> Self {
        self.word(values.map_or(0, |values| *values.device_ptr_mut()))
    }

    /// Values of the precision that the kernel is for.
    pub(super) fn read_array(self, array: &Array) -> Self {
        self.word(array.pointer())
    }

    /// Values of the precision that the kernel is for, if there are any.
    pub(super) fn read_array_if(self, array: Option<&Array>) -> Self {
        self.word(array.map_or(0, Array::pointer))
    }

    /// Values of the precision that the kernel is for, which it writes.
    pub(super) fn write_array(self, array: &mut Array) -> Self {
        self.word(array.pointer_mut())
    }

    /// Memory that something else owns, such as a tensor of dfdx.
    pub(super) fn pointer(self, pointer: u64) -> Self {
        self.word(pointer)
    }

    /// An `int`.
    pub(super) fn int(self, value: usize) -> Self {
        let value = i32::try_from(value).expect("sizes that kernels take as `int` are checked before");
        self.word(u64::from(value.cast_unsigned()))
    }

    /// A `long long`.
    pub(super) fn long(self, value: usize) -> Self {
        self.word(value as u64)
    }

    /// A `float`.
    pub(super) fn float(self, value: f32) -> Self {
        self.word(u64::from(value.to_bits()))
    }

    /// A `double`.
    pub(super) fn double(self, value: f64) -> Self {
        self.word(value.to_bits())
    }

    /// A struct of `int`s.
    pub(super) fn ints(mut self, values: &[i32]) -> Self {
        self.arguments.push(Argument::Struct(values.into()));
        self
    }

    /// Dynamic shared memory; a kernel always asks for the same.
    pub(super) fn shared(mut self, bytes: u32) -> Self {
        self.shared_bytes = bytes;
        self
    }

    /// As many blocks as give each of `n` elements a thread of its own, up to what keeps a large device busy: kernels that
    /// are launched so go on in strides.
    pub(super) fn over(self, n: usize) -> Result<(), CudaError> {
        const MOST: usize = 132 * 16;
        let blocks = n.div_ceil(BLOCK as usize).clamp(1, MOST);
        self.blocks(blocks, 1, 1)
    }

    /// A warp for each of `n` rows.
    pub(super) fn warps(self, n: usize) -> Result<(), CudaError> {
        self.blocks(n.div_ceil(BLOCK as usize / 32).max(1), 1, 1)
    }

    /// A grid of blocks.
    pub(super) fn blocks(self, x: usize, y: usize, z: usize) -> Result<(), CudaError> {
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
        let size = |n: usize| u32::try_from(n).expect("grids are far smaller than this");
        // SAFETY: the function is loaded, and the arguments are those of its parameters, see the type.
        unsafe {
            result::launch_kernel(
                function.0,
                (size(x), size(y), size(z)),
                (BLOCK, 1, 1),
                self.shared_bytes,
                *context.device().cu_stream(),
                &mut parameters,
            )
        }?;
        Ok(())
    }
}
