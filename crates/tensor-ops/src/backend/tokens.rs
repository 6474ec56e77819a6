//! Tokens, `(N, T, D)`.

use std::sync::Arc;

use kernels_cpu::Precision;

use super::{AttentionSpec, Computed, LayerNormGradients, LayerNormWanted, Storage};
use crate::values::{AnyValues, Resident};

/// What computes on the tokens of a transformer.
pub(crate) trait Tokens: Storage {
    /// What an attention keeps.
    type Attention: 'static;
    /// What a layer norm keeps, beside its input.
    type LayerNorm: 'static;

    /// `(N, T, 3 D)` to `(N, T, D)`, and what the gradient needs if `is_kept` asks for it.
    fn attention(
        self,
        spec: AttentionSpec,
        qkv: Arc<AnyValues>,
        is_kept: bool,
    ) -> Computed<(Self::Values, Option<Self::Attention>)>;
    /// The gradient of the input of [`attention`](Self::attention), `(N, T, 3 D)`.
    fn attention_backward(
        self,
        spec: AttentionSpec,
        kept: Self::Attention,
        gradient: Self::Values,
    ) -> Computed<Self::Values>;
    /// Each token normalized, times scale, plus shift, and what the gradients need if `is_kept` asks for it.
    fn layer_norm(
        self,
        x: &Self::Values,
        scale: &Resident,
        shift: &Resident,
        eps: f32,
        is_kept: bool,
    ) -> Computed<(Self::Values, Option<Self::LayerNorm>)>;
    /// The gradients of [`layer_norm`](Self::layer_norm) that are wanted.
    fn layer_norm_backward(
        self,
        kept: &Self::LayerNorm,
        x: &Self::Values,
        scale: &Resident,
        eps: f32,
        gradient: Self::Values,
        wanted: LayerNormWanted<Self::Values>,
    ) -> Computed<LayerNormGradients<Self::Values>>;
    /// `(N, count + T, D)`, with as many `tokens` first.
    fn prepend(
        self,
        x: &Self::Values,
        tokens: &Resident,
        count: usize,
        shape: [usize; 3],
    ) -> Computed<Self::Values>;
    /// `count` tokens from `first` on, `(N, count, D)`.
    fn take_tokens(
        self,
        x: &Self::Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
    ) -> Computed<Self::Values>;
    /// The mean of `count` tokens from `first` on, `(N, D)`, in single precision.
    fn mean_tokens(
        self,
        x: &Self::Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
    ) -> Computed<Self::Values>;
    /// The gradient of the input of [`mean_tokens`](Self::mean_tokens), and, of one token, of
    /// [`take_tokens`](Self::take_tokens); `precision` is that of the input.
    fn spread_tokens(
        self,
        gradient: &Self::Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
        precision: Precision,
    ) -> Computed<Self::Values>;
    /// Every row of `width` values times `factors`, value by value, in the precision of `x`.
    fn scale_features(self, x: &Self::Values, factors: &Resident, width: usize) -> Computed<Self::Values>;
    /// Value times value, in single precision.
    fn products(self, a: &Self::Values, b: &Self::Values) -> Computed<Self::Values>;
    /// All values of each image times its own of `factors`, in the precision of `x`.
    fn scale_images(self, x: &Self::Values, factors: &[f32]) -> Computed<Self::Values>;
}
