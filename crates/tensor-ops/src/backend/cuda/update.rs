//! Update rules, moving averages and the sizes of gradients on the CUDA device: of all parameters in one launch.

use kernels_cuda::{
    Array, Memory,
    optimize::{self, AdamW, Blends, Lion, Momentum, Moves, Rate},
};

use super::OnDevice as _;
use crate::{
    DeviceUpdate, Gradients, LayerRate, OpError, Parameter, UpdateRule,
    backend::{Cuda, Storage as _},
    values::AnyValues,
};

/// See [`update_on_device`](crate::update_on_device).
pub(crate) fn update(
    updates: &mut [&mut DeviceUpdate<'_>],
    gradients: &mut Gradients,
) -> Result<(), OpError> {
    let mut moved = Vec::with_capacity(updates.len());
    for update in updates.iter() {
        moved.push(take(&update.parameter, gradients)?);
    }
    let mut moves = Moves::default();
    for (DeviceUpdate { parameter, slots, rule }, gradient) in
        updates.iter_mut().map(|update| &mut **update).zip(&moved)
    {
        let Some(gradient) = gradient else { continue };
        let values = parameter.own()?.moving()?;
        let mut slots = slots.iter_mut().map(|slot| slot.values.on_device_mut());
        let mut slot = || slots.next().expect("the caller has looked whether there is a slot for each");
        match *rule {
            UpdateRule::Momentum { momentum, weight_decay, lr, rate } => {
                let rate = match rate {
                    LayerRate::One => Rate::One,
                    LayerRate::OfWhole { trust } => Rate::OfWhole { trust },
                    LayerRate::OfSum { trust } => Rate::OfSum { trust },
                };
                moves.push_momentum(values, gradient, slot()?, Momentum { momentum, weight_decay, lr, rate });
            }
            UpdateRule::AdamW { shrink, first_new, second_kept, second_new, root_of_filled, eps, size } => {
                let numbers = AdamW { shrink, first_new, second_kept, second_new, root_of_filled, eps, size };
                moves.push_adamw(values, gradient, [slot()?, slot()?], numbers);
            }
            UpdateRule::Lion { shrink, blend_kept, blend_new, kept, new, size } => {
                let numbers = Lion { shrink, blend_kept, blend_new, kept, new, size };
                moves.push_lion(values, gradient, slot()?, numbers);
            }
        }
    }
    moves.run().computed()?;
    let parameters = updates.iter().map(|update| &update.parameter);
    for (parameter, gradient) in parameters.zip(moved) {
        put(parameter, gradients, gradient);
    }
    Ok(())
}

/// See [`blend_on_device`](crate::blend_on_device).
pub(crate) fn blend_all(own: &mut [Parameter], towards: &[Parameter], momentum: f32) -> Result<(), OpError> {
    let mut blends = Blends::default();
    for (own, towards) in own.iter_mut().zip(towards) {
        blends.push(own.own()?.moving()?, towards.values.on_device()?);
    }
    Ok(blends.run(momentum).computed()?)
}

/// See [`largest_gradients`](crate::largest_gradients).
pub(crate) fn largest_of_each(
    parameters: &[&Parameter],
    gradients: &mut Gradients,
) -> Result<Vec<Option<f32>>, OpError> {
    let mut taken = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        taken.push(take(parameter, gradients)?);
    }
    let arrays: Vec<_> = taken.iter().map(Option::as_ref).collect();
    let largest = optimize::largest_of_each(&arrays).computed()?;
    for (parameter, gradient) in parameters.iter().zip(taken) {
        put(parameter, gradients, gradient);
    }
    Ok(largest)
}

/// See [`clip_gradients`](crate::clip_gradients).
pub(crate) fn sum_of_squares(parameters: &[&Parameter], gradients: &mut Gradients) -> Result<f64, OpError> {
    let mut taken = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        taken.push(take(parameter, gradients)?);
    }
    let arrays: Vec<_> = taken.iter().flatten().collect();
    let sum = optimize::sum_of_squares(&arrays).computed()?;
    for (parameter, gradient) in parameters.iter().zip(taken) {
        put(parameter, gradients, gradient);
    }
    Ok(sum)
}

/// See [`clip_gradients`](crate::clip_gradients).
pub(crate) fn scale(
    parameters: &[&Parameter],
    gradients: &mut Gradients,
    factor: f32,
) -> Result<(), OpError> {
    let mut taken = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        taken.push(take(parameter, gradients)?);
    }
    let mut arrays: Vec<_> = taken.iter_mut().flatten().collect();
    optimize::scale_all(&mut arrays, factor).computed()?;
    for (parameter, gradient) in parameters.iter().zip(taken) {
        put(parameter, gradients, gradient);
    }
    Ok(())
}

/// Moves the gradient of a parameter out, if one has arrived.
fn take(parameter: &Parameter, gradients: &mut Gradients) -> Result<Option<Memory<f32>>, OpError> {
    let gradient = match parameter.slot.take_any(&mut gradients.by_slot) {
        None => return Ok(None),
        Some(AnyValues::Cuda(gradient)) => gradient,
        Some(AnyValues::Host(gradient)) => Cuda.upload(gradient.into_whole())?,
    };
    Ok(Some(gradient.into_memory().computed()?))
}

/// Moves a gradient back, as it was taken.
fn put(parameter: &Parameter, gradients: &mut Gradients, gradient: Option<Memory<f32>>) {
    if let Some(gradient) = gradient {
        parameter.slot.put_any(&mut gradients.by_slot, AnyValues::Cuda(Array::F32(gradient)));
    }
}
