//! Batch normalization.

mod backward;
mod forward;
mod groups;
mod statistics;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use dfdx::{
    shapes::HasShape,
    tensor::{PutTape, SplitTape, Tape, TensorFromVec},
};

pub(crate) use self::statistics::ChannelSums;
use self::{
    backward::{Backward, Tail},
    forward::{Coefficients, apply},
    groups::Groups,
    statistics::Statistics,
};
use crate::{
    Buffer, Device, FeatureMap, Features, Gradients, Mode, OpError, Parameter, ParameterKind,
    device::{self, DeviceError, GradientSlot, MapSlot},
    feature_map::join,
    layout::Layout,
    simd::Family,
    values::Values,
};

/// What batch normalization of `C` channels learns, remembers, and is set to (Ioffe & Szegedy 2015, arXiv:1502.03167).
#[derive(Debug)]
pub struct BatchNorm {
    /// `C`, PyTorch's `weight`; `None`: 1.
    pub scale: Option<Parameter>,
    /// `C`, PyTorch's `bias`; `None`: 0.
    pub shift: Option<Parameter>,
    /// `C`.
    pub running_mean: Buffer,
    /// `C`, unbiased.
    pub running_var: Buffer,
    /// Batches that the running statistics have seen.
    pub n_batches: u64,
    /// Share of a batch in the running statistics: `running = (1 - momentum) * running + momentum * batch`.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
    /// Groups that are normalized apart, as if each were on a machine of its own. Group `g` has the images
    /// `n ≡ g (mod splits)`; scale and shift are shared, and the running statistics are the mean of what each group
    /// would have made of them.
    pub splits: usize,
}

impl BatchNorm {
    /// Scale 1, shift 0, and PyTorch's defaults.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn new(device: &Device, n_channels: usize) -> Result<Self, OpError> {
        let vector =
            |value| Parameter::new(device, ParameterKind::Vector, &[n_channels], vec![value; n_channels]);
        Ok(Self { scale: Some(vector(1.0)?), shift: Some(vector(0.0)?), ..Self::without_affine(n_channels) })
    }

    /// Neither scale nor shift, and PyTorch's defaults.
    pub fn without_affine(n_channels: usize) -> Self {
        Self {
            scale: None,
            shift: None,
            running_mean: Buffer::filled(n_channels, 0.0),
            running_var: Buffer::filled(n_channels, 1.0),
            n_batches: 0,
            momentum: 0.1,
            eps: 1e-5,
            splits: 1,
        }
    }

    /// `C`.
    pub fn n_channels(&self) -> usize {
        self.running_mean.n_elements()
    }

    fn check(&self, layout: Layout, mode: Mode) -> Result<(), OpError> {
        const OP: &str = "batch_norm";
        let c = self.n_channels();
        if layout.c != c {
            return Err(OpError::shape(OP, "channels", c, layout.c));
        }
        if self.running_var.n_elements() != c {
            return Err(OpError::shape(
                OP,
                "length of the running variance",
                c,
                self.running_var.n_elements(),
            ));
        }
        for parameter in [&self.scale, &self.shift].into_iter().flatten() {
            if parameter.shape() != [c] {
                return Err(OpError::shape(OP, "shape of scale and shift", [c], parameter.shape()));
            }
        }
        if mode == Mode::Eval {
            return Ok(());
        }
        if self.splits == 0 || !layout.n.is_multiple_of(self.splits) {
            let got = (layout.n, self.splits);
            let must = "the first must be a multiple of the second";
            return Err(OpError::value(OP, "(images, splits)", got, must));
        }
        let n_values = layout.n_rows() / self.splits;
        if n_values < 2 {
            return Err(OpError::value(OP, "values a channel", n_values, "a variance needs at least 2"));
        }
        Ok(())
    }

    /// What normalizes this batch; in training, the running statistics move.
    fn statistics(
        &mut self,
        values: &Values,
        sums: Option<&[ChannelSums]>,
        groups: Groups,
        mode: Mode,
    ) -> Statistics {
        match mode {
            Mode::Eval => Statistics::running(&self.running_mean, &self.running_var),
            Mode::Train => {
                let statistics = match sums {
                    Some(sums) if groups.splits == 1 => Statistics::of_sums(sums, groups),
                    _ => Statistics::of(values, groups),
                };
                let (mean, var) = statistics.for_running(groups);
                move_towards(&mut self.running_mean, &mean, self.momentum);
                move_towards(&mut self.running_var, &var, self.momentum);
                self.n_batches += 1;
                statistics
            }
        }
    }
}

/// The mean of the moved copies is the move towards the mean, because the move is linear.
fn move_towards(running: &mut Buffer, batch: &[f64], momentum: f64) {
    let moved: Vec<f32> = running.with_values(|running| {
        let moved = |(&old, new): (&f32, &f64)| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
        running.iter().zip(batch).map(moved).collect()
    });
    running
        .set(&moved)
        .expect("a batch has as many statistics as there are running ones: checked by `check`");
}

/// Batch normalization of each channel over images and positions, `(N, H, W, C)`.
///
/// # Errors
///
/// When the channels differ, the images do not split, or there is one value a channel.
pub fn batch_norm(x: FeatureMap, norm: &mut BatchNorm, mode: Mode) -> Result<FeatureMap, OpError> {
    normalize(x, norm, None, Tail::Plain, mode)
}

/// [`batch_norm`], then ReLU, in one pass over memory.
///
/// # Errors
///
/// As [`batch_norm`].
pub fn batch_norm_relu(x: FeatureMap, norm: &mut BatchNorm, mode: Mode) -> Result<FeatureMap, OpError> {
    normalize(x, norm, None, Tail::Relu, mode)
}

/// [`batch_norm`], then the sum with `residual`, then ReLU, in one pass over memory: the end of a residual block.
///
/// # Errors
///
/// As [`batch_norm`], and when the shapes differ.
pub fn batch_norm_add_relu(
    x: FeatureMap,
    norm: &mut BatchNorm,
    residual: FeatureMap,
    mode: Mode,
) -> Result<FeatureMap, OpError> {
    if residual.layout != x.layout {
        return Err(OpError::shape(
            "batch_norm_add_relu",
            "shape of the residual",
            x.shape(),
            residual.shape(),
        ));
    }
    normalize(x, norm, Some(residual), Tail::Relu, mode)
}

fn normalize(
    x: FeatureMap,
    norm: &mut BatchNorm,
    residual: Option<FeatureMap>,
    tail: Tail,
    mode: Mode,
) -> Result<FeatureMap, OpError> {
    norm.check(x.layout, mode)?;
    #[cfg(feature = "cuda")]
    if x.values.on_device().is_some() {
        return crate::cuda::batch_norm(x, norm, residual, tail == Tail::Relu, mode);
    }
    let layout = x.layout;
    let splits = if mode == Mode::Train { norm.splits } else { 1 };
    let groups = Groups { layout, splits };
    let statistics = norm.statistics(&x.values, x.sums.as_ref().map(|sums| &sums[..]), groups, mode);
    let coefficients = Coefficients::new(&statistics, norm);
    let has_residual = residual.is_some();
    let residual_values = residual.as_ref().map(|residual| &*residual.values);
    let family = Family::detected();
    let values = Arc::new(apply(family, groups, &coefficients, &x.values, residual_values, tail));

    let slot = MapSlot::new(x.device(), layout.len());
    let (x, recording) = x.split_recording();
    let (residual, recording) = match residual {
        None => (None, recording),
        Some(residual) => {
            let (residual, other) = residual.split_recording();
            (Some(residual), join(recording, other))
        }
    };
    let wants = Wants {
        x: x.needs_gradient.then(|| x.slot.clone()),
        residual: residual.filter(|residual| residual.needs_gradient).map(|residual| residual.slot),
        scale: wanted(&norm.scale),
        shift: wanted(&norm.shift),
    };
    if !recording.is_on() || wants.nothing() {
        return Ok(FeatureMap { values, layout, slot, needs_gradient: false, recording, sums: None });
    }
    let backward = Backward {
        family,
        groups,
        x: Arc::clone(&x.values),
        tail,
        output: (tail == Tail::Relu && has_residual).then(|| Arc::clone(&values)),
        statistics,
        coefficients,
        mode,
    };
    drop(x);
    let backward =
        move |gradients: &mut Gradients, gradient: Values| wants.give(gradients, backward, gradient);
    Ok(FeatureMap::output(slot, layout, values, recording, Some(backward)))
}

/// Batch normalization of each feature over images, `(N, D)`.
///
/// # Errors
///
/// As [`batch_norm`].
pub fn batch_norm_features(x: Features, norm: &mut BatchNorm, mode: Mode) -> Result<Features, OpError> {
    let (n, c) = *x.shape();
    let layout = Layout { n, h: 1, w: 1, c };
    norm.check(layout, mode)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::is_used() {
        return crate::cuda::batch_norm_features(x, norm, mode);
    }
    let splits = if mode == Mode::Train { norm.splits } else { 1 };
    let groups = Groups { layout, splits };
    let (x, mut recording) = x.split_tape();
    let values = Arc::new(Values::F32(device::rows(&x)));
    let statistics = norm.statistics(&values, None, groups, mode);
    let coefficients = Coefficients::new(&statistics, norm);
    let family = Family::detected();
    let y = apply(family, groups, &coefficients, &values, None, Tail::Plain);
    let y = x.device().try_tensor_from_vec(y.into_whole(), (n, c))?;
    if recording.is_on() {
        let wants = Wants { x: None, residual: None, scale: wanted(&norm.scale), shift: wanted(&norm.shift) };
        let tail = Tail::Plain;
        let backward =
            Backward { family, groups, x: values, tail, output: None, statistics, coefficients, mode };
        let (x, out) = (x.ghost(), y.ghost());
        recording.add_backward_op(move |gradients| {
            let gradient = device::take(gradients.get_or_alloc_mut(&out)?)?;
            if gradient.is_empty() {
                return Ok(());
            }
            let result = backward.run(Values::F32(gradient), true, false);
            wants.give_parameters(gradients, result.scale, result.shift)?;
            match result.x {
                Some(sum) => device::add(gradients.get_or_alloc_mut(&x)?, &sum.whole()),
                None => Ok(()),
            }
        });
    }
    Ok(y.put_tape(recording))
}

pub(crate) fn wanted(parameter: &Option<Parameter>) -> Option<GradientSlot> {
    parameter.as_ref().filter(|parameter| parameter.is_trainable()).map(|parameter| parameter.slot.clone())
}

/// Whose gradients are computed.
struct Wants {
    x: Option<MapSlot>,
    residual: Option<MapSlot>,
    scale: Option<GradientSlot>,
    shift: Option<GradientSlot>,
}

impl Wants {
    fn nothing(&self) -> bool {
        self.x.is_none() && self.residual.is_none() && self.scale.is_none() && self.shift.is_none()
    }

    fn give(
        self,
        gradients: &mut Gradients,
        backward: Backward,
        gradient: Values,
    ) -> Result<(), DeviceError> {
        let result = backward.run(gradient, self.x.is_some(), self.residual.is_some());
        self.give_parameters(gradients, result.scale, result.shift)?;
        if let (Some(slot), Some(sum)) = (self.residual, result.masked) {
            slot.add(gradients, sum)?;
        }
        if let (Some(slot), Some(sum)) = (self.x, result.x) {
            slot.add(gradients, sum)?;
        }
        Ok(())
    }

    fn give_parameters(
        &self,
        gradients: &mut Gradients,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<(), DeviceError> {
        if let Some(slot) = &self.scale {
            slot.add(gradients, scale)?;
        }
        if let Some(slot) = &self.shift {
            slot.add(gradients, shift)?;
        }
        Ok(())
    }
}
