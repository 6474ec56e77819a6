//! From what operations say to what kernels take.

use kernels_cpu::norm::Statistics;
use kernels_cuda::{Array, contrast, conv::Convolution, linear::Layer, norm, pool, tokens::attention};

use super::OnDevice as _;
use crate::{
    BatchNorm, Mode, Parameter,
    backend::{
        AttentionSpec, Candidates, Computed, Contrast, ContrastSpec, ConvSpec, LinearSpec, NormSpec, Window,
    },
};

impl ConvSpec {
    pub(super) fn convolution(self) -> Convolution {
        Convolution { geometry: self.geometry, groups: self.groups, from: self.from, to: self.to }
    }
}

impl NormSpec {
    pub(super) fn over(self) -> norm::Over {
        norm::Over { layout: self.layout, n_groups: self.splits }
    }
}

impl Window {
    pub(super) fn on_device(self) -> pool::Window {
        pool::Window { geometry: self.geometry, from: self.from, to: self.to }
    }
}

impl LinearSpec {
    pub(super) fn layer(self) -> Layer {
        Layer { n_rows: self.n_rows, n_in: self.n_in, n_out: self.n_out, precision: self.precision }
    }
}

impl AttentionSpec {
    pub(super) fn on_device(self) -> attention::Sizes {
        attention::Sizes { n: self.n, t: self.t, heads: self.heads, dh: self.dh }
    }
}

/// Coefficients of the statistics that are given, or else of this batch, in training, when the running statistics move; or of
/// those.
pub(super) fn coefficients(
    spec: NormSpec,
    norm: &mut BatchNorm,
    x: &Array,
    given: Option<&Statistics>,
) -> Computed<norm::Coefficients> {
    let on_device =
        |values: &'_ Option<Parameter>| values.as_ref().map(|values| std::sync::Arc::clone(&values.values));
    let (scale, shift) = (on_device(&norm.scale), on_device(&norm.shift));
    let learned = norm::Learned {
        scale: scale.as_ref().map(|scale| scale.on_device()).transpose()?,
        shift: shift.as_ref().map(|shift| shift.on_device()).transpose()?,
        eps: norm.eps,
    };
    if spec.mode == Mode::Eval {
        let (mean, var) = (norm.running_mean.values.on_device()?, norm.running_var.values.on_device()?);
        return norm::Coefficients::of_running(spec.layout.c, mean, var, learned).computed();
    }
    let running = norm::Running {
        mean: norm.running_mean.values.on_device_mut()?,
        var: norm.running_var.values.on_device_mut()?,
        momentum: norm.momentum,
    };
    let coefficients = match given {
        Some(Statistics { mean, var, n_values }) => {
            let n = n_values.unwrap_or_else(|| spec.over().n_values());
            norm::Coefficients::of_statistics(mean, var, n, learned, running)
        }
        None => norm::Moments::of(spec.over(), x)
            .and_then(|moments| norm::Coefficients::of_batch(spec.over(), &moments, learned, running)),
    };
    let coefficients = coefficients.computed()?;
    norm.n_batches += 1;
    Ok(coefficients)
}

/// Compares queries with candidates.
pub(super) fn contrast(
    (queries, width): (&Array, usize),
    candidates: Candidates<'_, Array>,
    ContrastSpec { temperature, gradient_factor, keeps_logits }: ContrastSpec,
) -> Computed<Contrast<Array>> {
    let candidates = match candidates {
        Candidates::Queue { positives, queue } => {
            contrast::Candidates::Queue { positives, queue: queue.on_device()? }
        }
        Candidates::Keys { keys, first } => contrast::Candidates::Keys { keys, first },
    };
    let asked = contrast::Asked { temperature, gradient_factor, keeps_logits };
    let contrast::Contrast { cross_entropy, n_right, gradient, logits } =
        contrast::contrast(queries, width, candidates, asked).computed()?;
    Ok(Contrast { cross_entropy, n_right, gradient, logits })
}
