//! Tokens, image after image.

use std::sync::Arc;

use kernels_cpu::{
    Precision, Values,
    tokens::{
        attention::{self, Normalizer, Sizes},
        layer_norm::LayerNorm,
        rows,
    },
};

use super::Host;
use crate::{
    backend::{AttentionSpec, Computed, LayerNormGradients, LayerNormWanted, Storage as _, Tokens},
    values::{AnyValues, Resident},
};

/// What an attention keeps.
pub(crate) struct KeptAttention {
    qkv: Arc<AnyValues>,
    normalizers: Vec<Normalizer>,
}

impl AttentionSpec {
    fn sizes(self) -> Sizes {
        Sizes { t: self.t, heads: self.heads, dh: self.dh }
    }
}

impl Tokens for Host {
    type Attention = KeptAttention;
    type LayerNorm = ();

    fn attention(
        self,
        spec: AttentionSpec,
        qkv: Arc<AnyValues>,
        is_kept: bool,
    ) -> Computed<(Values, Option<KeptAttention>)> {
        let (y, normalizers) = attention::forward(self.family, spec.sizes(), Self::of(&qkv));
        Ok((y, is_kept.then_some(KeptAttention { qkv, normalizers })))
    }

    fn attention_backward(
        self,
        spec: AttentionSpec,
        kept: KeptAttention,
        gradient: Values,
    ) -> Computed<Values> {
        let KeptAttention { qkv, normalizers } = kept;
        Ok(attention::backward(self.family, spec.sizes(), Self::of(&qkv), &normalizers, &gradient))
    }

    fn layer_norm(
        self,
        x: &Values,
        scale: &Resident,
        shift: &Resident,
        eps: f32,
        is_kept: bool,
    ) -> Computed<(Values, Option<()>)> {
        Ok((LayerNorm { scale, eps }.forward(self.family, x, shift), is_kept.then_some(())))
    }

    fn layer_norm_backward(
        self,
        (): &(),
        x: &Values,
        scale: &Resident,
        eps: f32,
        gradient: Values,
        wanted: LayerNormWanted<Values>,
    ) -> Computed<LayerNormGradients<Values>> {
        let result = LayerNorm { scale, eps }.backward(self.family, x, gradient, wanted.before);
        Ok(LayerNormGradients {
            x: wanted.x.then_some(result.x),
            scale: wanted.scale.then_some(Values::F32(result.scale)),
            shift: wanted.shift.then_some(Values::F32(result.shift)),
        })
    }

    fn prepend(self, x: &Values, tokens: &Resident, _: usize, shape: [usize; 3]) -> Computed<Values> {
        Ok(rows::prepend(x, tokens, shape))
    }

    fn take_tokens(self, x: &Values, shape: [usize; 3], first: usize, count: usize) -> Computed<Values> {
        Ok(rows::take(x, shape, first, count))
    }

    fn mean_tokens(self, x: &Values, shape: [usize; 3], first: usize, count: usize) -> Computed<Values> {
        Ok(Values::F32(rows::mean(self.family, x, shape, first, count)))
    }

    fn spread_tokens(
        self,
        gradient: &Values,
        shape: [usize; 3],
        first: usize,
        count: usize,
        precision: Precision,
    ) -> Computed<Values> {
        Ok(rows::spread_mean(&gradient.whole(), shape, first, count, precision))
    }

    fn scale_features(self, x: &Values, factors: &Resident, _: usize) -> Computed<Values> {
        Ok(rows::scale_features(x, factors))
    }

    fn products(self, a: &Values, b: &Values) -> Computed<Values> {
        Ok(Values::F32(rows::products(a, b)))
    }

    fn scale_images(self, x: &Values, factors: &[f32]) -> Computed<Values> {
        Ok(rows::scale_images(x, factors))
    }
}
