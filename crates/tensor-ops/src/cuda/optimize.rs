//! Update rules, moving averages, and the sizes of gradients: of all parameters in one launch.

use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DeviceSlice};
use dfdx::tensor::CudaError;

use super::{array::unwritten, context::context, launch::Launch, program::Program};
use crate::{
    DeviceUpdate, Gradients, OpError, Parameter,
    update_rule::{LayerRate, UpdateRule},
};

pub(super) static OPTIMIZE: Program = Program::new(
    "optimize",
    concat!(include_str!("kernels/reduce.cu"), include_str!("kernels/optimize.cu")),
    "",
);

/// Values that one block works on.
const SPAN: usize = 8192;
/// Numbers of a row, of any rule.
const N_NUMBERS: usize = 8;

/// What a launch works on: a row for each parameter, see `kernels/optimize.cu`.
#[derive(Default)]
struct Table {
    rows: Vec<i64>,
    /// [`N_NUMBERS`] of each row.
    numbers: Vec<f64>,
    n_rows: usize,
    n_blocks: usize,
}

impl Table {
    fn push(&mut self, addresses: [u64; 4], len: usize, numbers: &[f64]) {
        self.rows.push(self.n_blocks as i64);
        self.rows.extend(addresses.map(u64::cast_signed));
        self.rows.push(len as i64);
        self.numbers.extend(numbers);
        self.n_rows += 1;
        self.numbers.resize(self.n_rows * N_NUMBERS, 0.0);
        self.n_blocks += len.div_ceil(SPAN);
    }

    /// The rows and their numbers, on the device; neither waits for it.
    fn upload(&mut self) -> Result<(CudaSlice<i64>, CudaSlice<f64>), CudaError> {
        let device = context()?.device();
        let (rows, numbers) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.numbers));
        Ok((device.htod_copy(rows)?, device.htod_copy(numbers)?))
    }

    fn run(&self, launch: Launch) -> Result<(), CudaError> {
        launch.int(self.n_rows).int(SPAN).blocks(self.n_blocks, 1, 1)
    }
}

/// See [`update_on_device`](crate::update_on_device).
pub(crate) fn update(
    updates: &mut [&mut DeviceUpdate<'_>],
    gradients: &mut Gradients,
) -> Result<(), OpError> {
    let (mut with_momentum, mut adamw) = (Table::default(), Table::default());
    let mut has_layer_rates = false;
    let mut moved = Vec::with_capacity(updates.len());
    for DeviceUpdate { parameter, slots, rule } in updates.iter_mut() {
        let len = parameter.n_elements();
        let Some(gradient) = parameter.slot.take_slice(gradients)? else { continue };
        if len > 0 {
            let values = *parameter.own()?.on_device_mut()?.device_ptr_mut();
            let mut addresses = [values, *gradient.device_ptr(), 0, 0];
            for (address, slot) in addresses[2..].iter_mut().zip(slots.iter_mut()) {
                *address = *slot.values.on_device_mut()?.device_ptr_mut();
            }
            match *rule {
                UpdateRule::Momentum { momentum, weight_decay, lr, rate } => {
                    let (trust, kind) = match rate {
                        LayerRate::One => (0.0, 0.0),
                        LayerRate::OfWhole { trust } => (trust, 1.0),
                        LayerRate::OfSum { trust } => (trust, 2.0),
                    };
                    has_layer_rates |= kind != 0.0;
                    let numbers = [f64::from(momentum), weight_decay, f64::from(lr), trust, kind];
                    with_momentum.push(addresses, len, &numbers);
                }
                UpdateRule::AdamW {
                    shrink,
                    first_new,
                    second_kept,
                    second_new,
                    root_of_filled,
                    eps,
                    size,
                } => {
                    let numbers = [shrink, first_new, second_kept, second_new, root_of_filled, eps, size];
                    adamw.push(addresses, len, &numbers.map(f64::from));
                }
            }
        }
        moved.push((&parameter.slot, gradient));
    }
    if with_momentum.n_rows > 0 {
        let (rows, numbers) = with_momentum.upload()?;
        let mut partial = None;
        if has_layer_rates {
            let partial = partial.insert(unwritten::<f64>(2 * with_momentum.n_blocks)?);
            let launch = Launch::new(&OPTIMIZE, "squares_partial");
            with_momentum.run(launch.read(&rows).read(&numbers).write(partial))?;
        }
        let launch = Launch::new(&OPTIMIZE, "move_with_momentum");
        with_momentum.run(launch.read(&rows).read(&numbers).read_if(partial.as_ref()))?;
    }
    if adamw.n_rows > 0 {
        let (rows, numbers) = adamw.upload()?;
        adamw.run(Launch::new(&OPTIMIZE, "move_adamw").read(&rows).read(&numbers))?;
    }
    for (slot, gradient) in moved {
        slot.put_slice(gradients, gradient)?;
    }
    Ok(())
}

/// See [`blend_on_device`](crate::blend_on_device).
pub(crate) fn blend_all(own: &mut [Parameter], towards: &[Parameter], momentum: f32) -> Result<(), OpError> {
    let rest = (1.0 - f64::from(momentum)) as f32;
    let mut table = Table::default();
    for (own, towards) in own.iter_mut().zip(towards) {
        let len = own.n_elements();
        if len > 0 {
            let towards = *towards.values.on_device()?.device_ptr();
            let own = *own.own()?.on_device_mut()?.device_ptr_mut();
            table.push([own, towards, 0, 0], len, &[]);
        }
    }
    if table.n_rows > 0 {
        let (rows, _) = table.upload()?;
        table.run(Launch::new(&OPTIMIZE, "blend_all").read(&rows).float(momentum).float(rest))?;
    }
    Ok(())
}

/// The largest absolute value of each, NaN if any is; all come to the host at once.
pub(crate) fn largest_of_each(arrays: &[Option<CudaSlice<f32>>]) -> Result<Vec<Option<f32>>, CudaError> {
    let mut table = Table::default();
    for array in arrays.iter().flatten() {
        table.push([*array.device_ptr(), 0, 0, 0], array.len(), &[]);
    }
    if table.n_rows == 0 {
        return Ok(vec![None; arrays.len()]);
    }
    let (rows, _) = table.upload()?;
    let mut largest = unwritten::<i32>(table.n_blocks)?;
    table.run(Launch::new(&OPTIMIZE, "largest_partial").read(&rows).write(&mut largest))?;
    let largest = context()?.device().dtoh_sync_copy(&largest)?;
    let mut left = &largest[..];
    let of_each = arrays.iter().map(|array| {
        let (own, rest) = left.split_at(array.as_ref()?.len().div_ceil(SPAN));
        left = rest;
        own.iter().max().map(|bits| f32::from_bits(bits.cast_unsigned()))
    });
    Ok(of_each.collect())
}
