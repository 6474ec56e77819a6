//! Rows of values.

use kernels_cpu::{Precision, unit_rows::MIN_LENGTH};

use crate::{
    array::{Array, copy_within_device},
    error::{Error, Result},
    launch::{BLOCK, Launch, MOST_ACROSS, busy_blocks},
    memory::Memory,
    pointwise::{in_precision, typed},
    program::Program,
};

pub(crate) static ROWS: Program =
    Program::new("rows", include_str!("kernels/rows.cu"), include_str!("kernels/rows_typed.cu"));

/// Row `i` of the result is row `order[i]`, of `width` values.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If there is no such row, or the values are no whole rows.
pub fn gather_rows(values: &Array, width: usize, order: &[usize]) -> Result<Array> {
    let (n, n_rows) = (order.len() * width, values.len() / width);
    assert!(values.len().is_multiple_of(width), "values are whole rows");
    assert!(order.iter().all(|&row| row < n_rows), "every row of the order is there");
    let row = |&row: &usize| {
        i32::try_from(row).map_err(|_| Error::Size {
            what: "a row's number",
            got: row,
            most: i32::MAX as usize,
        })
    };
    let order = Memory::send(order.iter().map(row).collect::<Result<Vec<i32>>>()?)?;
    let mut to = Array::unwritten(n, values.precision())?;
    // SAFETY: each row of the order is there, and the result has a row for each.
    unsafe {
        Launch::new(&ROWS, typed!(values.precision(), "gather_rows"))
            .read_array(values)
            .write_array(&mut to)
            .read(&order)
            .long(width)
            .long(n)
            .over(n)
    }?;
    Ok(to)
}

/// One after the other, in single precision.
///
/// # Errors
///
/// When the device fails.
pub fn concat(parts: &[Array]) -> Result<Array> {
    let mut whole = Memory::<f32>::unwritten(parts.iter().map(Array::len).sum())?;
    let start = whole.address_mut();
    let mut n_before = 0;
    for part in parts {
        let part = in_precision(part, Precision::F32)?;
        let part = part.get();
        let to = start + (n_before * size_of::<f32>()) as u64;
        // SAFETY: the whole has room for all parts, of which these are the values after those before.
        unsafe { copy_within_device(part.address(), to, part.len() * size_of::<f32>()) }?;
        n_before += part.len();
    }
    Ok(Array::F32(whole))
}

/// Adds `row` to every row, where the values are.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the values are no multiple of the row.
pub fn add_row(x: Array, row: &Memory<f32>) -> Result<Array> {
    let mut y = x.into_own()?;
    let launch =
        Launch::new(&ROWS, typed!(y.precision(), "add_row")).read_array(&y).read(row).write_array(&mut y);
    // SAFETY: the arguments are those above, and the two arrays are the same.
    unsafe { run_add_row(launch, y.len(), row.len()) }?;
    Ok(y)
}

/// [`add_row`], to memory of its own.
///
/// # Errors
///
/// As of [`add_row`].
///
/// # Panics
///
/// As of [`add_row`].
pub fn add_row_to(x: &Array, row: &Memory<f32>) -> Result<Array> {
    let mut y = Array::unwritten(x.len(), x.precision())?;
    let launch =
        Launch::new(&ROWS, typed!(x.precision(), "add_row")).read_array(x).read(row).write_array(&mut y);
    // SAFETY: the arguments are those above, and both arrays are that long.
    unsafe { run_add_row(launch, x.len(), row.len()) }?;
    Ok(y)
}

/// # Safety
///
/// The launch has values, row and result, the first and last of `n` values, the row of `width`.
unsafe fn run_add_row(launch: Launch, n: usize, width: usize) -> Result<()> {
    assert!(n.is_multiple_of(width), "values are whole rows");
    let n_rows = n / width;
    let n_blocks = width.div_ceil(BLOCK as usize);
    let across = n_rows.min((busy_blocks()? / n_blocks).max(1)).min(MOST_ACROSS);
    // SAFETY: as above.
    unsafe { launch.long(n_rows).int(width).blocks(n_blocks, across, 1) }
}

/// Each row of `width` single-precision values divided by its length, and the lengths. A row with what is not a number becomes
/// that, as in PyTorch.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the values are no whole rows.
pub fn unit_rows(x: &Array, width: usize) -> Result<(Array, Array)> {
    assert!(x.len().is_multiple_of(width), "values are whole rows");
    let x = in_precision(x, Precision::F32)?;
    let x = x.get();
    let n = x.len() / width;
    let (mut y, mut lengths) = (Memory::<f32>::unwritten(x.len())?, Memory::<f32>::unwritten(n)?);
    // SAFETY: all have as many rows.
    unsafe {
        Launch::new(&ROWS, "unit_rows")
            .read_array(x)
            .write(&mut y)
            .write(&mut lengths)
            .float(MIN_LENGTH)
            .int(width)
            .int(n)
            .warps(n)
    }?;
    Ok((Array::F32(y), Array::F32(lengths)))
}

/// From the gradient of [`unit_rows`]'s output to that of its input.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If the lengths do not fit together, or the output and its lengths are not of single precision.
pub fn unit_rows_backward(gradient: Array, output: &Array, lengths: &Array, width: usize) -> Result<Array> {
    let n = lengths.len();
    assert!(gradient.len() == output.len() && output.len() == n * width, "rows have lengths");
    assert!(
        output.precision() == Precision::F32 && lengths.precision() == Precision::F32,
        "rows of features are of single precision"
    );
    let mut gradient = gradient.into_precision(Precision::F32)?.into_own()?;
    // SAFETY: all have as many rows, of single precision.
    unsafe {
        Launch::new(&ROWS, "unit_rows_backward")
            .write_array(&mut gradient)
            .read_array(output)
            .read_array(lengths)
            .float(MIN_LENGTH)
            .int(width)
            .int(n)
            .warps(n)
    }?;
    Ok(gradient)
}

/// Writes values to a buffer from value number `first` on, going on at the start.
///
/// # Errors
///
/// When the device fails.
///
/// # Panics
///
/// If there is no such value, or the buffer is smaller than what is written.
pub fn write_around(to: &mut Memory<f32>, values: &Array, first: usize) -> Result<()> {
    let (len, n) = (to.len(), values.len());
    assert!(first < len && n <= len, "rows fit where they are written");
    let values = in_precision(values, Precision::F32)?;
    // SAFETY: the kernel stays within `len` values of the buffer.
    unsafe {
        Launch::new(&ROWS, "write_around")
            .write(to)
            .read_array(values.get())
            .long(first)
            .long(len)
            .long(n)
            .over(n)
    }
}
