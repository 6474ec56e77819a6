//! Update rules, and the sizes of gradients.

use cudarc::driver::{CudaSlice, DeviceSlice};
use dfdx::tensor::CudaError;

use super::{
    array::unwritten, context::context, launch::Launch, loss::n_partial, program::Program,
};
use crate::{
    Buffer,
    resident::Resident,
    update_rule::{LayerRate, UpdateRule},
};

static OPTIMISE: Program = Program::new(
    "optimise",
    concat!(include_str!("kernels/reduce.cu"), include_str!("kernels/optimise.cu")),
    "",
);

/// Moves values by their gradient. There are as many slots as the rule has, each of the length of the values.
pub(crate) fn update(
    values: &mut Resident,
    gradient: &CudaSlice<f32>,
    slots: &mut [Buffer],
    rule: &UpdateRule,
) -> Result<(), CudaError> {
    let n = values.len();
    assert!(
        gradient.len() == n && slots.iter().all(|slot| slot.n_elements() == n),
        "the gradient and the slots of a parameter have its length"
    );
    if n == 0 {
        return Ok(());
    }
    let values = values.on_device_mut()?;
    match (*rule, slots) {
        (UpdateRule::Momentum { momentum, weight_decay, lr, rate }, [velocity]) => {
            let layer = match rate {
                LayerRate::One => None,
                LayerRate::OfWhole { trust } => {
                    Some((squares(values, gradient, weight_decay as f32)?, trust, false))
                }
                LayerRate::OfSum { trust } => Some((squares(values, gradient, 0.0)?, trust, true)),
            };
            let (partial, trust, lengths_add) = match &layer {
                Some((partial, trust, lengths_add)) => (Some(partial), *trust, *lengths_add),
                None => (None, 0.0, false),
            };
            Launch::new(&OPTIMISE, "move_with_momentum")
                .write(values)
                .read(gradient)
                .write(velocity.values.on_device_mut()?)
                .read_if(partial)
                .int(n_partial(n))
                .int(usize::from(lengths_add))
                .double(trust)
                .double(weight_decay)
                .float(momentum)
                .float(lr)
                .long(n)
                .over(n)
        }
        (
            UpdateRule::AdamW { shrink, first_new, second_kept, second_new, root_of_filled, eps, size },
            [first, second],
        ) => {
            let launch = Launch::new(&OPTIMISE, "move_adamw")
                .write(values)
                .read(gradient)
                .write(first.values.on_device_mut()?)
                .write(second.values.on_device_mut()?);
            let numbers = [shrink, first_new, second_kept, second_new, root_of_filled, eps, size];
            numbers.into_iter().fold(launch, Launch::float).long(n).over(n)
        }
        _ => panic!("a parameter has the slots of its rule"),
    }
}

/// The sums of `p²` and `(g + decay p)²`, in parts.
fn squares(
    values: &CudaSlice<f32>,
    gradient: &CudaSlice<f32>,
    decay: f32,
) -> Result<CudaSlice<f64>, CudaError> {
    let n = values.len();
    let n_partial = n_partial(n);
    let mut partial = unwritten(2 * n_partial)?;
    Launch::new(&OPTIMISE, "squares_partial")
        .read(values)
        .read(gradient)
        .write(&mut partial)
        .float(decay)
        .long(n)
        .blocks(n_partial, 1, 1)?;
    Ok(partial)
}

/// The largest absolute value of each, NaN if any is; all come to the host at once.
pub(crate) fn largest_of_each(arrays: &[Option<CudaSlice<f32>>]) -> Result<Vec<Option<f32>>, CudaError> {
    let n_blocks: Vec<usize> =
        arrays.iter().map(|array| array.as_ref().map_or(0, |array| n_partial(array.len()))).collect();
    let mut largest = unwritten::<i32>(n_blocks.iter().sum())?;
    let mut place = 0;
    for (array, &n_blocks) in arrays.iter().zip(&n_blocks) {
        let Some(array) = array else { continue };
        Launch::new(&OPTIMISE, "largest_partial")
            .read(array)
            .write(&mut largest)
            .int(place)
            .long(array.len())
            .blocks(n_blocks, 1, 1)?;
        place += n_blocks;
    }
    if place == 0 {
        return Ok(vec![None; arrays.len()]);
    }
    let largest = context()?.device().dtoh_sync_copy(&largest)?;
    let mut left = &largest[..];
    let of_each = n_blocks.iter().map(|&n_blocks| {
        let (own, rest) = left.split_at(n_blocks);
        left = rest;
        own.iter().max().map(|bits| f32::from_bits(bits.cast_unsigned()))
    });
    Ok(of_each.collect())
}
