//! Update rules that the CUDA device knows.

use crate::{Buffer, Gradients, OpError, Parameter, values::Place};

/// The numbers of one step of one parameter, for a rule that has a kernel.
///
/// `p` is a value, `g` its gradient. An optimizer's own code says the same for the host; a rule that has no kernel is computed
/// there always.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UpdateRule {
    /// `v ← momentum v + rate (g + weight_decay p)`, then `p ← p − lr v`. One slot, `v`.
    Momentum {
        /// The share of the last step that this one keeps.
        momentum: f32,
        /// The L2 penalty.
        weight_decay: f64,
        /// The learning rate.
        lr: f32,
        /// What the layer's gradient is multiplied by.
        rate: LayerRate,
    },
    /// `m ← m + first_new (g − m)`, `v ← second_kept v + second_new g²`, then
    /// `p ← shrink p − size m / (√v / root_of_filled + eps)`. Two slots, `m` and `v`.
    AdamW {
        /// What a value keeps of itself.
        shrink: f32,
        /// What the mean of gradients takes in.
        first_new: f32,
        /// What the mean of their squares keeps.
        second_kept: f32,
        /// What the mean of their squares takes in.
        second_new: f32,
        /// The root of the share of the mean of squares that the steps so far have filled.
        root_of_filled: f32,
        /// Keeps the step finite where there were no gradients.
        eps: f32,
        /// The size of a step, corrected for the share of the mean that is filled.
        size: f32,
    },
    /// `c = blend_kept m + blend_new g`, `m ← kept m + new g`, then `p ← shrink p − size sign(c)`, where the sign of 0 is 0 and
    /// that of NaN is NaN. One slot, `m`.
    Lion {
        /// What a value keeps of itself.
        shrink: f32,
        /// What the mean of gradients has in the direction of a step.
        blend_kept: f32,
        /// What the gradient has in it.
        blend_new: f32,
        /// What the mean keeps of itself.
        kept: f32,
        /// What the mean takes in.
        new: f32,
        /// The size of a step.
        size: f32,
    },
}

/// A rate that follows from the lengths of a whole parameter and its gradient; where these leave it undefined, it is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerRate {
    /// 1.
    One,
    /// `trust ‖p‖ / ‖g + weight_decay p‖`.
    OfWhole {
        /// How far a parameter moves, as a share of its length.
        trust: f64,
    },
    /// `trust ‖p‖ / (‖g‖ + weight_decay ‖p‖ + 1e-8)`; where it is undefined, there is no decay either.
    OfSum {
        /// How far a parameter moves, as a share of its length.
        trust: f64,
    },
}

impl UpdateRule {
    /// How many values it keeps for each element.
    pub fn n_slots(&self) -> usize {
        match self {
            Self::Momentum { .. } | Self::Lion { .. } => 1,
            Self::AdamW { .. } => 2,
        }
    }
}

/// One parameter at one step.
#[derive(Debug)]
pub struct DeviceUpdate<'a> {
    /// What moves by its gradient.
    pub parameter: Parameter,
    /// The slots of the rule, each of the parameter's length.
    pub slots: &'a mut [Buffer],
    /// How it moves.
    pub rule: UpdateRule,
}

/// Moves parameters by their gradients, all together and without waiting for the device; those that no gradient reached stay.
///
/// # Errors
///
/// When values do not live on the device, see [`is_on_device`](crate::is_on_device), or slots are not those of the rule.
pub fn update_on_device(
    updates: &mut [&mut DeviceUpdate<'_>],
    gradients: &mut Gradients,
) -> Result<(), OpError> {
    const OP: &str = "update_on_device";
    for DeviceUpdate { parameter, slots, rule } in &*updates {
        if slots.len() != rule.n_slots() {
            return Err(OpError::shape(OP, "number of slots", rule.n_slots(), slots.len()));
        }
        if let Some(slot) = slots.iter().find(|slot| slot.n_elements() != parameter.n_elements()) {
            return Err(OpError::shape(OP, "values of a slot", parameter.n_elements(), slot.n_elements()));
        }
    }
    match Place::of_process() {
        Place::Host => {
            let _ = gradients;
            Err(not_there(OP))
        }
        #[cfg(feature = "cuda")]
        Place::Cuda => crate::backend::cuda_update::update(updates, gradients),
    }
}

/// [`Parameter::blend`] of each parameter towards the one at its place, all together.
///
/// # Errors
///
/// When values do not live on the device, see [`is_on_device`](crate::is_on_device), or shapes differ.
pub fn blend_on_device(own: &mut [Parameter], towards: &[Parameter], momentum: f32) -> Result<(), OpError> {
    const OP: &str = "blend_on_device";
    if own.len() != towards.len() {
        return Err(OpError::shape(OP, "number of parameters", own.len(), towards.len()));
    }
    if let Some((own, towards)) =
        own.iter().zip(towards).find(|(own, towards)| own.shape() != towards.shape())
    {
        return Err(OpError::shape(OP, "shape", own.shape(), towards.shape()));
    }
    match Place::of_process() {
        Place::Host => {
            let _ = momentum;
            Err(not_there(OP))
        }
        #[cfg(feature = "cuda")]
        Place::Cuda => crate::backend::cuda_update::blend_all(own, towards, momentum),
    }
}

fn not_there(op: &'static str) -> OpError {
    OpError::value(op, "where values are", "the host", "they must be on the device")
}
