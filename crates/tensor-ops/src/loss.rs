//! From losses to gradients.

use dfdx::{
    tensor::{AsArray, Merge, PutTape, SplitTape, Tape, TensorFromVec},
    tensor_ops::Backward,
};

use crate::{Gradients, OpError, Recording, Scalar, device};

/// The sum of losses, each weighing the same.
///
/// # Errors
///
/// When there is no loss.
pub fn sum_losses(losses: Vec<Scalar>) -> Result<Scalar, OpError> {
    let Some(first) = losses.first() else {
        return Err(OpError::value("sum_losses", "number of losses", 0, "there must be at least one"));
    };
    let device = first.device().clone();
    let mut recording = Recording::Off;
    let mut terms = Vec::with_capacity(losses.len());
    for loss in losses {
        let (term, own) = loss.split_tape();
        recording = recording.merge(own);
        terms.push(term);
    }
    let sum = device.try_tensor_from_vec(vec![terms.iter().map(|term| term.array()).sum()], ())?;
    let (terms, out): (Vec<_>, _) = (terms.iter().map(|term| term.ghost()).collect(), sum.ghost());
    recording.add_backward_op(move |gradients| {
        let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
        for term in &terms {
            device::add(gradients.get_or_alloc_mut(term)?, &gradient)?;
        }
        Ok(())
    });
    Ok(sum.put_tape(recording))
}

/// Runs what was recorded backward, from the loss to the parameters.
///
/// # Errors
///
/// When nothing was recorded, or the device fails.
pub fn backward(loss: Scalar) -> Result<Gradients, OpError> {
    let (loss, recording) = loss.split_tape();
    match recording {
        Recording::Off => Err(OpError::NotRecorded { op: "backward" }),
        Recording::On(tape) => Ok(loss.put_tape(tape).try_backward()?),
    }
}
