//! The values of dfdx's tensors, where they are.
//!
//! dfdx 0.13 lends a tensor's memory to nobody outside of it. Its `Debug` text has the address, as `cu_device_ptr: N`, and the
//! strides behind it. That is a hack, so it is in this file alone, dfdx and cudarc are pinned to the versions whose text is
//! known, and [`prove`] writes to an address and reads it back through dfdx before any is used.

#![allow(unsafe_code, reason = "dfdx's tensors are read and written by their addresses")]

use std::{
    fmt::{self, Write as _},
    rc::Rc,
    sync::OnceLock,
};

use cudarc::driver::result;
use dfdx::{
    shapes::{HasShape as _, Shape},
    tensor::{CudaError, Tensor, TensorFromVec as _, ZerosTensor as _},
};
use kernels_cuda::{Array, Lent};

use super::OnDevice as _;
use crate::{Device, Matrix, backend::Computed};

/// The values of a matrix, row after row: where they are, if they lie so.
pub(super) fn of_matrix(matrix: &Matrix) -> Computed<Array> {
    let (n, d) = *matrix.shape();
    if strides(matrix).is_none() {
        return Ok(lent(matrix, n * d));
    }
    Array::upload(matrix.as_vec()).computed()
}

/// From row to row and from column to column of a matrix that does not lie row after row: dfdx's permuted and broadcast tensors
/// share the storage of others.
pub(crate) fn strides(matrix: &Matrix) -> Option<[usize; 2]> {
    let (n, d) = *matrix.shape();
    let [_, row, column] = numbers(matrix);
    let (row, column) = (row as usize, column as usize);
    // A stride along an axis of one element says nothing.
    let is_contiguous = n * d == 0 || (n == 1 || row == d) && (d == 1 || column == 1);
    (!is_contiguous).then_some([row, column])
}

/// The `len` values of a tensor that lie one after the other, for as long as somebody reads them.
pub(super) fn lent<S: Shape>(tensor: &Tensor<S, f32, Device>, len: usize) -> Array {
    let address = address(tensor);
    // SAFETY: the tensor's storage is at the address, and dfdx writes to no storage that a tensor shares with another.
    Array::Lent(unsafe { Lent::new(address, len, Rc::new(tensor.clone())) })
}

/// A tensor of these single-precision values.
pub(super) fn with_values<S: Shape>(
    device: &Device,
    shape: S,
    values: &Array,
) -> Computed<Tensor<S, f32, Device>> {
    let tensor = kernels_cuda::with_room(|| device.try_zeros_like(&shape))?;
    let values = match values {
        Array::Bf16(_) => &Array::F32(values.duplicate().and_then(Array::into_memory).computed()?),
        single => single,
    };
    assert_eq!(values.len(), shape.num_elements().max(1), "a tensor has as many values as its shape says");
    // SAFETY: the tensor's storage is at the address, has so many values, and nobody else has seen it.
    unsafe { values.copy_to_address(address(&tensor)) }.computed()?;
    Ok(tensor)
}

/// Address of the first value.
fn address<S: Shape>(tensor: &Tensor<S, f32, Device>) -> u64 {
    static PROVEN: OnceLock<()> = OnceLock::new();
    PROVEN.get_or_init(|| {
        prove(&tensor.device().clone()).expect("the device writes and reads eight numbers");
    });
    let [address] = numbers(tensor);
    address
}

/// What stands before each number in a tensor's text: its address, and the two strides of a matrix.
const MARKS: [&str; 3] = ["cu_device_ptr: ", "strides: [", ", "];

/// The first `N` of them.
fn numbers<S: Shape, const N: usize>(tensor: &Tensor<S, f32, Device>) -> [u64; N] {
    let mut reader = Reader { numbers: [0; N], n_read: 0, matched: 0, n_digits: 0 };
    // The reader stops the writer with an error once it has the numbers.
    let _ = write!(reader, "{tensor:?}");
    assert!(reader.n_read == N, "dfdx 0.13.0 and cudarc 0.9.15 print a tensor's address and strides");
    reader.numbers
}

/// Finds the numbers behind [`MARKS`], and ends the text behind the last.
struct Reader<const N: usize> {
    numbers: [u64; N],
    n_read: usize,
    /// Bytes of the next mark that the last bytes of the text are.
    matched: usize,
    /// Digits of the number behind it.
    n_digits: usize,
}

impl<const N: usize> fmt::Write for Reader<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            let mark = MARKS[self.n_read].as_bytes();
            if self.matched == mark.len() {
                if byte.is_ascii_digit() {
                    let number = &mut self.numbers[self.n_read];
                    *number = *number * 10 + u64::from(byte - b'0');
                    self.n_digits += 1;
                    continue;
                }
                self.n_read += usize::from(self.n_digits > 0);
                (self.matched, self.n_digits) = (0, 0);
                if self.n_read == N {
                    return Err(fmt::Error);
                }
            }
            let mark = MARKS[self.n_read].as_bytes();
            self.matched =
                if byte == mark[self.matched] { self.matched + 1 } else { usize::from(byte == mark[0]) };
        }
        Ok(())
    }
}

/// Writes to a tensor by its address what dfdx then reads, and reads by it what dfdx has written.
///
/// # Panics
///
/// If the numbers are others: then the text does not say what it is taken to say, and no operation may run.
fn prove(device: &Device) -> Result<(), CudaError> {
    let written: Vec<f32> = (0..8).map(|i| 1.5 + i as f32).collect();
    let tensor = device.try_tensor_from_vec(written.clone(), (2, 4))?;
    kernels_cuda::synchronize().computed()?;
    let [at, row, column] = numbers(&tensor);
    assert!([row, column] == [4, 1], "the strides in a tensor's text must be those of its values");
    let mut read = vec![0.0_f32; written.len()];
    // SAFETY: if the address is what it is taken for, it is that of eight values; if not, the driver refuses it.
    unsafe { result::memcpy_dtoh_sync(&mut read, at) }?;
    assert!(read == written, "the address in a tensor's text must be that of its values");
    let other: Vec<f32> = written.iter().map(|value| -value).collect();
    // SAFETY: as above.
    unsafe { result::memcpy_htod_sync(at, &other) }?;
    assert!(tensor.as_vec() == other, "what is written at a tensor's address must be its values");
    Ok(())
}
