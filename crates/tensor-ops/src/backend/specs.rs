//! What a backend is asked for, and what it gives.

use kernels_cpu::{
    ConvGeometry, Layout, Precision,
    norm::{GradientSums, Statistics},
};

use super::Computed;
use crate::{ConvAlgorithm, Mode, values::Resident};

/// A convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvSpec {
    pub(crate) algorithm: ConvAlgorithm,
    pub(crate) geometry: ConvGeometry,
    /// Groups of channels that are convolved apart.
    pub(crate) groups: usize,
    pub(crate) precision: Precision,
    pub(crate) from: Layout,
    pub(crate) to: Layout,
}

/// A batch normalization.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormSpec {
    pub(crate) layout: Layout,
    /// Groups that are normalized apart.
    pub(crate) splits: usize,
    pub(crate) mode: Mode,
    /// Whether ReLU follows, behind the sum with a residual if there is one.
    pub(crate) with_relu: bool,
}

/// Where a batch norm in training has its statistics from.
pub(crate) enum NormMoments<'a, S> {
    /// What it normalizes, which a convolution may have summed up.
    Own(Option<&'a S>),
    /// They are those of more than what it normalizes, and given, `C` each.
    Given(Statistics),
}

/// What is computed of a batch norm's gradients beside those of scale and shift.
pub(crate) struct NormWanted<'a, V> {
    pub(crate) x: bool,
    /// What has reached `x` before.
    pub(crate) before: Option<V>,
    /// The gradient behind the mask of ReLU: that of the residual.
    pub(crate) masked: bool,
    /// Where statistics were given, this turns the sums of what was normalized into those of all that they are of. It is asked if
    /// `x` is wanted.
    pub(crate) of_all: Option<SumsOfAll<'a>>,
}

/// See [`NormWanted::of_all`].
pub(crate) type SumsOfAll<'a> = &'a mut dyn FnMut(GradientSums) -> Computed<GradientSums>;

/// The gradients of a batch norm.
#[derive(Debug)]
pub(crate) struct NormGradients<V> {
    pub(crate) scale: V,
    pub(crate) shift: V,
    pub(crate) masked: Option<V>,
    pub(crate) x: Option<V>,
}

/// A pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) geometry: ConvGeometry,
    pub(crate) from: Layout,
    pub(crate) to: Layout,
}

/// A linear layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinearSpec {
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "the host sees it by the number of values")
    )]
    pub(crate) n_rows: usize,
    pub(crate) n_in: usize,
    pub(crate) n_out: usize,
    pub(crate) precision: Precision,
    /// Whether rows are features, one an image, in single precision: few of them, with nothing behind the product.
    pub(crate) is_of_features: bool,
}

/// What follows a linear layer's product.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tail<'a, V> {
    Nothing,
    /// GELU; kept for a backward pass or not.
    Gelu {
        is_kept: bool,
    },
    /// The sum with a residual.
    Add(&'a V),
}

/// What is computed of a linear layer's gradients.
#[derive(Debug)]
pub(crate) struct LinearWanted<V> {
    pub(crate) x: bool,
    pub(crate) x_before: Option<V>,
    pub(crate) weight: bool,
    pub(crate) weight_before: Option<V>,
    pub(crate) bias: bool,
    /// The gradient that came, which is that of the residual.
    pub(crate) residual: bool,
}

/// The gradients of a linear layer.
#[derive(Debug)]
pub(crate) struct LinearGradients<V> {
    pub(crate) x: Option<V>,
    pub(crate) weight: Option<V>,
    pub(crate) bias: Option<V>,
    pub(crate) residual: Option<V>,
}

/// An attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionSpec {
    /// Images.
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "the host sees it by the number of values")
    )]
    pub(crate) n: usize,
    /// Tokens.
    pub(crate) t: usize,
    pub(crate) heads: usize,
    /// Features of a head.
    pub(crate) dh: usize,
}

/// What is computed of a layer norm's gradients.
#[derive(Debug)]
pub(crate) struct LayerNormWanted<V> {
    pub(crate) x: bool,
    pub(crate) before: Option<V>,
    pub(crate) scale: bool,
    pub(crate) shift: bool,
}

/// The gradients of a layer norm.
#[derive(Debug)]
pub(crate) struct LayerNormGradients<V> {
    pub(crate) x: Option<V>,
    pub(crate) scale: Option<V>,
    pub(crate) shift: Option<V>,
}

/// What queries are told apart from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Candidates<'a, V> {
    /// Negatives, and a positive of its own for each query.
    Queue { positives: &'a V, queue: &'a Resident },
    /// Keys, of which number `first` is the positive of the first query, and so on.
    Keys { keys: &'a V, first: usize },
}

/// What is asked of a contrastive loss.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContrastSpec {
    pub(crate) temperature: f32,
    /// What the mean key under the softmax, less the positive, is multiplied by; `None`: no gradient.
    pub(crate) gradient_factor: Option<f64>,
    pub(crate) keeps_logits: bool,
}

/// What comes of a comparison.
#[derive(Debug)]
pub(crate) struct Contrast<V> {
    /// The mean over the queries, in nats.
    pub(crate) cross_entropy: f64,
    /// Queries that are nearest to their own key.
    pub(crate) n_right: usize,
    /// `(N, C)`.
    pub(crate) gradient: Option<V>,
    /// Against a queue `(N, 1 + K)`, the positive first; in a batch `(N, M)`.
    pub(crate) logits: Option<Vec<f32>>,
}
