//! A transformer block: attention and MLP.

use nn::{Builder, Init, LayerNormConfig, Linear, LinearConfig};
use plugin_api::{ConfigError, Module};
use tensor_ops::{
    LayerNorm, OpError, Parameter, ParameterKind, Tokens, add_scaled_images, attention, keep_token,
    layer_norm, scale_features,
};

use crate::config::Sizes;

/// For the two residual branches of a block, what each image's is multiplied by; `None`: all count as they are.
pub(crate) type Factors = Option<[Vec<f32>; 2]>;

/// Added to the variance, in every layer norm of a ViT.
pub(crate) const LAYER_NORM_EPS: f32 = 1e-6;

/// `x + attention(norm(x))`, then `x + mlp(norm(x))` (pre-norm).
pub(crate) struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    /// The scale of the attention's branch, `D`, if there is one.
    scale1: Option<Parameter>,
    /// That of the MLP's.
    scale2: Option<Parameter>,
    n_heads: usize,
}

impl Block {
    /// The block that `builder` is for. Weights have Xavier's bound, biases are 0 (MoCo v3).
    /// Scales of its branches start at `layer_scale`, if there are any.
    pub(crate) fn new(
        sizes: Sizes,
        layer_scale: Option<f64>,
        builder: &Builder<'_>,
    ) -> Result<Self, ConfigError> {
        let Sizes { dim, hidden, heads, .. } = sizes;
        let scale = |name: &str| {
            let of = |start: f64| {
                builder.parameter(name, ParameterKind::Vector, &[dim], Init::Constant(start as f32))
            };
            layer_scale.map(of).transpose()
        };
        // Of the outputs, `n_parts` equal parts are layers of their own for the bound.
        let linear = |name: &str, n_inputs: usize, n_outputs: usize, n_parts: usize| {
            let weight = Init::xavier(n_inputs, n_outputs / n_parts);
            let config = LinearConfig { n_inputs, n_outputs, weight, bias: Some(Init::ZEROS) };
            config.build(&builder.part(name))
        };
        let norm = LayerNormConfig { dim, eps: LAYER_NORM_EPS };
        Ok(Self {
            norm1: norm.build(builder)?,
            // Queries, keys and values.
            qkv: linear("attn.qkv", dim, 3 * dim, 3)?,
            proj: linear("attn.proj", dim, dim, 1)?,
            norm2: norm.build(builder)?,
            fc1: linear("mlp.fc1", dim, hidden, 1)?,
            fc2: linear("mlp.fc2", hidden, dim, 1)?,
            scale1: scale("ls1.gamma")?,
            scale2: scale("ls2.gamma")?,
            n_heads: heads,
        })
    }

    /// `(N, T, D)` to `(N, T, D)`; `factors` are those of its branches.
    pub(crate) fn forward(&self, x: Tokens, factors: Factors) -> Result<Tokens, OpError> {
        let [of_attention, of_mlp] = split(factors);
        let identity = x.share();
        let x = layer_norm(x, &self.norm1)?;
        let x = self.qkv.forward_tokens(x)?; // (N, T, D) → (N, T, 3D)
        let x = attention(x, self.n_heads)?; // → (N, T, D)
        let x = add(&self.proj, self.scale1.as_ref(), x, identity, of_attention)?;
        self.mlp(x, of_mlp)
    }

    /// Token 0 of [`forward`](Self::forward), `(N, T, D)` to `(N, 1, D)`.
    ///
    /// After the attention of the last block, the other tokens are not used. Skipping them saves most of the block's
    /// work.
    pub(crate) fn forward_first_token(&self, x: Tokens, factors: Factors) -> Result<Tokens, OpError> {
        let [of_attention, of_mlp] = split(factors);
        let identity = keep_token(x.fork(), 0)?;
        let x = layer_norm(x, &self.norm1)?;
        let x = self.qkv.forward_tokens(x)?; // (N, T, D) → (N, T, 3D)
        let x = keep_token(attention(x, self.n_heads)?, 0)?; // → (N, 1, D)
        let x = add(&self.proj, self.scale1.as_ref(), x, identity, of_attention)?;
        self.mlp(x, of_mlp)
    }

    /// Queries, keys and values of its attention, `(N, T, D)` to `(N, T, 3D)`.
    pub(crate) fn queries_keys_values(&self, x: Tokens) -> Result<Tokens, OpError> {
        self.qkv.forward_tokens(layer_norm(x, &self.norm1)?)
    }

    /// The number of heads of its attention.
    pub(crate) fn n_heads(&self) -> usize {
        self.n_heads
    }

    fn mlp(&self, x: Tokens, factors: Option<Vec<f32>>) -> Result<Tokens, OpError> {
        let identity = x.share();
        let x = layer_norm(x, &self.norm2)?;
        let x = self.fc1.forward_gelu(x)?; // (N, T, D) → (N, T, hidden)
        add(&self.fc2, self.scale2.as_ref(), x, identity, factors) // → (N, T, D)
    }
}

fn split(factors: Factors) -> [Option<Vec<f32>>; 2] {
    factors.map_or([None, None], |of_branches| of_branches.map(Some))
}

/// The end of a residual branch: `layer` of `x`, times the scale of each feature and each image's factor, on `identity`.
fn add(
    layer: &Linear,
    scale: Option<&Parameter>,
    x: Tokens,
    identity: Tokens,
    factors: Option<Vec<f32>>,
) -> Result<Tokens, OpError> {
    if scale.is_none() && factors.is_none() {
        return layer.forward_add(x, identity);
    }
    let mut branch = layer.forward_tokens(x)?;
    if let Some(scale) = scale {
        branch = scale_features(branch, scale)?;
    }
    let factors = factors.unwrap_or_else(|| vec![1.0; branch.n()]);
    add_scaled_images(branch, factors, identity)
}

/// The order of timm's `state_dict`.
impl Module for Block {
    plugin_api::visit! { self;
        "norm1" => self.norm1,
        "attn.qkv" => self.qkv,
        "attn.proj" => self.proj,
        "ls1.gamma" => self.scale1,
        "norm2" => self.norm2,
        "mlp.fc1" => self.fc1,
        "mlp.fc2" => self.fc2,
        "ls2.gamma" => self.scale2,
    }
}
