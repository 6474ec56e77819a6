//! Where the values of dfdx's tensors are.
//!
//! dfdx 0.13 lends a tensor's memory to nobody outside of it. Its `Debug` text has the address, as `cu_device_ptr: N`. That is
//! a hack, so it is in this file alone, dfdx and cudarc are pinned to the versions whose text is known, and [`prove`] writes
//! to an address and reads it back through dfdx before any is used.

use std::fmt::{self, Write as _};
use std::sync::OnceLock;

use cudarc::driver::result;
use dfdx::{
    shapes::Shape,
    tensor::{CudaError, Tensor, TensorFromVec as _, ZerosTensor as _},
};

use super::context::context;
use crate::{Device, Matrix};

/// Address of the first value. Rows of features are never permuted or broadcast, so the rest follow it in order.
pub(super) fn address<S: Shape, T: fmt::Debug>(tensor: &Tensor<S, f32, Device, T>) -> u64 {
    static PROVEN: OnceLock<()> = OnceLock::new();
    PROVEN.get_or_init(|| {
        prove(&tensor.device().clone()).expect("the device writes and reads eight numbers");
    });
    read_address(tensor)
}

/// A matrix of zeros to write to, and where.
pub(super) fn matrix(device: &Device, shape: (usize, usize)) -> Result<(Matrix, u64), CudaError> {
    let matrix = device.try_zeros_like(&shape)?;
    let at = address(&matrix);
    Ok((matrix, at))
}

fn read_address<S: Shape, T: fmt::Debug>(tensor: &Tensor<S, f32, Device, T>) -> u64 {
    let mut reader = AddressReader { matched: 0, address: None, is_done: false };
    // The reader stops the writer with an error once it has the number.
    let _ = write!(reader, "{tensor:?}");
    reader.address.expect("dfdx 0.13.0 and cudarc 0.9.15 print a tensor's address")
}

/// Finds the number behind [`MARK`], and ends the text there.
struct AddressReader {
    /// Bytes of the mark that the last bytes of the text are.
    matched: usize,
    address: Option<u64>,
    is_done: bool,
}

const MARK: &[u8] = b"cu_device_ptr: ";

impl fmt::Write for AddressReader {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.matched == MARK.len() {
                if !byte.is_ascii_digit() {
                    // Pretty text may break the line before the number.
                    if self.address.is_none() && byte.is_ascii_whitespace() {
                        continue;
                    }
                    self.is_done = true;
                    return Err(fmt::Error);
                }
                self.address = Some(self.address.unwrap_or(0) * 10 + u64::from(byte - b'0'));
            } else if byte == MARK[self.matched] {
                self.matched += 1;
            } else {
                self.matched = usize::from(byte == MARK[0]);
            }
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
    context()?.device().synchronize()?;
    let at = read_address(&tensor);
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
