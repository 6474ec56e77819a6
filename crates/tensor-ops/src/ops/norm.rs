//! Batch normalization.

mod exchange;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kernels_cpu::Layout;
use processes::Processes;

use self::exchange::{statistics_of_all, with_sums_of_all};

use crate::{
    Buffer, Device, FeatureMap, Features, Mode, OpError, Parameter, ParameterKind, Rows as _,
    backend::{Backend, Computed, NormMoments, NormSpec, NormWanted, on},
    tape::{NamedRows, Pass, Slot, join},
    values::Place,
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
    /// Processes that each have a part of a batch: in training the statistics are those of the whole batch, with `splits` 1,
    /// and every forward and backward pass is an exchange between all of them. Each process gets its own part of the gradients
    /// of scale and shift, which add up to those of the batch, as the gradients of all other parameters do. `None`, or one
    /// process: what is normalized is the batch.
    pub processes: Option<Arc<dyn Processes>>,
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
            processes: None,
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
        let n_processes = self.among(mode).map_or(1, |processes| processes.n());
        if n_processes > 1 && self.splits != 1 {
            let must =
                "statistics over the parts of several processes are those of whole batches: it must be 1";
            return Err(OpError::value(OP, "splits", self.splits, must));
        }
        let n_values = layout.n_rows() / self.splits;
        if n_values * n_processes < 2 {
            return Err(OpError::value(OP, "values a channel", n_values, "a variance needs at least 2"));
        }
        Ok(())
    }

    fn spec(&self, layout: Layout, with_relu: bool, mode: Mode) -> NormSpec {
        let splits = if mode == Mode::Train { self.splits } else { 1 };
        NormSpec { layout, splits, mode, with_relu }
    }

    /// The processes that what is normalized is spread over, if there are several.
    fn among(&self, mode: Mode) -> Option<Arc<dyn Processes>> {
        let processes = self.processes.as_ref().filter(|processes| mode == Mode::Train && processes.n() > 1);
        processes.map(Arc::clone)
    }

    /// Moves the running statistics towards those of a batch. The mean of the moved copies of several groups is the move
    /// towards the mean, because the move is linear.
    pub(crate) fn move_running(&mut self, mean: &[f64], var: &[f64]) {
        let momentum = self.momentum;
        for (running, batch) in [(&mut self.running_mean, mean), (&mut self.running_var, var)] {
            for (running, new) in running.values.host_mut().iter_mut().zip(batch) {
                *running = ((1.0 - momentum) * f64::from(*running) + momentum * new) as f32;
            }
        }
        self.n_batches += 1;
    }
}

/// Batch normalization of each channel over images and positions, `(N, H, W, C)`.
///
/// # Errors
///
/// When the channels differ, the images do not split, there is one value a channel, or processes cannot exchange statistics.
pub fn batch_norm(x: FeatureMap, norm: &mut BatchNorm, mode: Mode) -> Result<FeatureMap, OpError> {
    on!(x.values.place(), |backend| normalize(backend, x, norm, None, false, mode))
}

/// [`batch_norm`], then ReLU, in one pass over memory.
///
/// # Errors
///
/// As [`batch_norm`].
pub fn batch_norm_relu(x: FeatureMap, norm: &mut BatchNorm, mode: Mode) -> Result<FeatureMap, OpError> {
    on!(x.values.place(), |backend| normalize(backend, x, norm, None, true, mode))
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
    on!(x.values.place(), |backend| normalize(backend, x, norm, Some(residual), true, mode))
}

pub(crate) fn normalize<B: Backend>(
    backend: B,
    x: FeatureMap,
    norm: &mut BatchNorm,
    residual: Option<FeatureMap>,
    with_relu: bool,
    mode: Mode,
) -> Result<FeatureMap, OpError> {
    norm.check(x.layout, mode)?;
    let spec = norm.spec(x.layout, with_relu, mode);
    let sums = x.sums.as_ref().and_then(|sums| sums.downcast_ref::<B::Sums>());
    let residual_values = residual.as_ref().map(|residual| B::of(&residual.values));
    let processes = norm.among(mode);
    let moments = moments(backend, spec, processes.as_deref(), B::of(&x.values), sums)?;
    let (y, kept) = backend.normalize(spec, norm, B::of(&x.values), moments, residual_values)?;
    let y = Arc::new(B::any(y));

    let device = x.device().clone();
    let (x, recording) = x.split_recording();
    let (residual, recording) = match residual {
        None => (None, recording),
        Some(residual) => {
            let (residual, other) = residual.split_recording();
            (Some(residual), join(recording, other))
        }
    };
    let has_residual = residual.is_some();
    let wants_x = x.needs_gradient.then(|| x.slot.clone());
    let wants_residual = residual.filter(|residual| residual.needs_gradient).map(|residual| residual.slot);
    let parameters = Wanted::of(norm);
    let is_wanted = parameters.any() || wants_x.is_some() || wants_residual.is_some();
    let backward = is_wanted.then(|| {
        let x = x.values;
        // Where there is no residual, the input says as much about what ReLU has let through.
        let output = (with_relu && has_residual).then(|| Arc::clone(&y));
        move |pass: &mut Pass<'_>, gradient: B::Values| {
            let before = wants_x.as_ref().and_then(|slot| slot.take::<B>(pass.by_slot));
            let output = output.as_ref().map(|output| B::of(output));
            let result = with_sums_of_all(processes.as_deref(), pass, |of_all| {
                let (x_is_wanted, masked) = (wants_x.is_some(), wants_residual.is_some());
                let wanted = NormWanted { x: x_is_wanted, before, masked, of_all };
                backend.normalize_backward(spec, &kept, B::of(&x), output, gradient, wanted)
            })?;
            parameters.give(backend, pass, result.scale, result.shift)?;
            if let (Some(slot), Some(by_x)) = (wants_x, result.x) {
                slot.put::<B>(pass.by_slot, by_x);
            }
            // After the other, since an input may be its own residual.
            match (wants_residual, result.masked) {
                (Some(slot), Some(masked)) => slot.add(backend, pass.by_slot, masked),
                _ => Ok(()),
            }
        }
    });
    Ok(FeatureMap::output(backend, &device, spec.layout, y, recording, backward))
}

/// Batch normalization of each feature over images, `(N, D)`.
///
/// # Errors
///
/// As [`batch_norm`].
pub fn batch_norm_features(x: Features, norm: &mut BatchNorm, mode: Mode) -> Result<Features, OpError> {
    on!(Place::of_process(), |backend| normalize_features(backend, x, norm, mode))
}

fn normalize_features<B: Backend>(
    backend: B,
    x: Features,
    norm: &mut BatchNorm,
    mode: Mode,
) -> Result<Features, OpError> {
    let (n, c) = (x.n(), x.d());
    let layout = Layout { n, h: 1, w: 1, c };
    norm.check(layout, mode)?;
    let spec = norm.spec(layout, false, mode);
    let (x, name, recording) = NamedRows::split(backend, x)?;
    let processes = norm.among(mode);
    let moments = moments(backend, spec, processes.as_deref(), &x, None)?;
    let (y, kept) = backend.normalize(spec, norm, &x, moments, None)?;
    let parameters = Wanted::of(norm);
    let device = name.device().clone();
    let backward = move |pass: &mut Pass<'_>, gradient: B::Values| {
        let result = with_sums_of_all(processes.as_deref(), pass, |of_all| {
            let wanted = NormWanted { x: true, before: None, masked: false, of_all };
            backend.normalize_backward(spec, &kept, &x, None, gradient, wanted)
        })?;
        parameters.give(backend, pass, result.scale, result.shift)?;
        match result.x {
            Some(by_x) => name.add(backend, pass, &by_x),
            None => Ok(()),
        }
    };
    Ok(NamedRows::output(backend, &device, (n, c), y, recording, Some(backward))?)
}

/// Where the statistics of a batch are from: from what is normalized, or from all processes.
fn moments<'a, B: Backend>(
    backend: B,
    spec: NormSpec,
    processes: Option<&dyn Processes>,
    x: &B::Values,
    sums: Option<&'a B::Sums>,
) -> Result<NormMoments<'a, B::Sums>, OpError> {
    let Some(processes) = processes else { return Ok(NormMoments::Own(sums)) };
    let own = backend.statistics(spec, x, sums)?;
    Ok(NormMoments::Given(statistics_of_all(processes, &own)?))
}

/// Which parameters' gradients are computed.
struct Wanted {
    scale: Option<Slot>,
    shift: Option<Slot>,
}

impl Wanted {
    fn of(norm: &BatchNorm) -> Self {
        let wanted = |parameter: &Option<Parameter>| {
            let trainable = parameter.as_ref().filter(|parameter| parameter.is_trainable());
            trainable.map(|parameter| parameter.slot.clone())
        };
        Self { scale: wanted(&norm.scale), shift: wanted(&norm.shift) }
    }

    fn any(&self) -> bool {
        self.scale.is_some() || self.shift.is_some()
    }

    fn give<B: Backend>(
        self,
        backend: B,
        pass: &mut Pass<'_>,
        scale: B::Values,
        shift: B::Values,
    ) -> Computed<()> {
        if let Some(slot) = self.scale {
            slot.add(backend, pass.by_slot, scale)?;
        }
        if let Some(slot) = self.shift {
            slot.add(backend, pass.by_slot, shift)?;
        }
        Ok(())
    }
}
