//! Tokens.

use std::{ops::Deref, sync::Arc};

use kernels_cpu::Precision;
use kernels_cuda::{
    Array,
    tokens::{attention, layer_norm, rows},
};

use super::{Cuda, OnDevice as _};
use crate::{
    backend::{AttentionSpec, Computed, LayerNormGradients, LayerNormWanted, Storage as _, Tokens},
    values::{AnyValues, Resident},
};

impl Tokens for Cuda {
    type Attention = attention::Kept;
    type LayerNorm = layer_norm::Statistics;

    fn attention(
        self,
        spec: AttentionSpec,
        qkv: Arc<AnyValues>,
        is_kept: bool,
    ) -> Computed<(Array, Option<Self::Attention>)> {
        attention::forward(spec.on_device(), Held(qkv), is_kept).computed()
    }

    fn attention_backward(self, _: AttentionSpec, kept: Self::Attention, gradient: Array) -> Computed<Array> {
        attention::backward(kept, gradient).computed()
    }

    fn layer_norm(
        self,
        x: &Array,
        scale: &Resident,
        shift: &Resident,
        eps: f32,
        is_kept: bool,
    ) -> Computed<(Array, Option<Self::LayerNorm>)> {
        let (scale, shift) = (scale.on_device()?, shift.on_device()?);
        layer_norm::forward(x, scale, shift, eps, is_kept).computed()
    }

    fn layer_norm_backward(
        self,
        kept: &Self::LayerNorm,
        x: &Array,
        scale: &Resident,
        _: f32,
        gradient: Array,
        LayerNormWanted { x: wants_x, before, scale: wants_scale, shift }: LayerNormWanted<Array>,
    ) -> Computed<LayerNormGradients<Array>> {
        let wanted = layer_norm::Wanted { x: wants_x, before, scale: wants_scale, shift };
        let layer_norm::Gradients { x, scale, shift } =
            layer_norm::backward(kept, x, scale.on_device()?, gradient, wanted).computed()?;
        Ok(LayerNormGradients { x, scale, shift })
    }

    fn prepend(self, x: &Array, tokens: &Resident, count: usize, shape: [usize; 3]) -> Computed<Array> {
        rows::prepend(x, tokens.on_device()?, count, shape).computed()
    }

    fn take_tokens(self, x: &Array, shape: [usize; 3], first: usize, count: usize) -> Computed<Array> {
        rows::take(x, shape, first, count).computed()
    }

    fn mean_tokens(self, x: &Array, shape: [usize; 3], first: usize, count: usize) -> Computed<Array> {
        rows::mean(x, shape, first, count).computed()
    }

    fn spread_tokens(
        self,
        gradient: &Array,
        shape: [usize; 3],
        first: usize,
        count: usize,
        precision: Precision,
    ) -> Computed<Array> {
        rows::spread(gradient, shape, first, count, precision).computed()
    }

    fn scale_features(self, x: &Array, factors: &Resident, width: usize) -> Computed<Array> {
        rows::scale_features(x, factors.on_device()?, width).computed()
    }

    fn products(self, a: &Array, b: &Array) -> Computed<Array> {
        rows::products(a, b).computed()
    }

    fn scale_images(self, x: &Array, factors: &[f32]) -> Computed<Array> {
        rows::scale_images(x, &self.upload(factors.to_vec())?).computed()
    }
}

/// Values that are shared, as those that a kernel reads.
struct Held(Arc<AnyValues>);

impl Deref for Held {
    type Target = Array;

    fn deref(&self) -> &Array {
        Cuda::of(&self.0)
    }
}
