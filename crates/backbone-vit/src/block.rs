//! A block of attention and MLP.

use plugin_api::{ConfigError, Module};
use tensor_ops::{
    LayerNorm, OpError, Parameter, Tokens, attention, keep_token, layer_norm, linear_add_tokens,
    linear_gelu_tokens, linear_tokens,
};

use crate::config::Sizes;
use crate::init::Builder;

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`: layer norm comes first.
pub(crate) struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    n_heads: usize,
}

struct Linear {
    weight: Parameter,
    bias: Parameter,
}

impl Linear {
    fn new(
        builder: &Builder<'_>,
        name: &str,
        (n_inputs, n_outputs): (usize, usize),
        n_parts: usize,
    ) -> Result<Self, ConfigError> {
        let (weight, bias) = builder.linear(name, n_inputs, n_outputs, n_parts)?;
        Ok(Self { weight, bias })
    }
}

impl Block {
    /// The block called `name`.
    pub(crate) fn new(name: &str, sizes: Sizes, builder: &Builder<'_>) -> Result<Self, ConfigError> {
        let Sizes { dim, hidden, heads, .. } = sizes;
        let linear =
            |layer: &str, widths, n_parts| Linear::new(builder, &format!("{name}.{layer}"), widths, n_parts);
        Ok(Self {
            norm1: builder.layer_norm(dim)?,
            qkv: linear("attn.qkv", (dim, 3 * dim), 3)?,
            proj: linear("attn.proj", (dim, dim), 1)?,
            norm2: builder.layer_norm(dim)?,
            fc1: linear("mlp.fc1", (dim, hidden), 1)?,
            fc2: linear("mlp.fc2", (hidden, dim), 1)?,
            n_heads: heads,
        })
    }

    /// `(N, T, D)` to `(N, T, D)`.
    pub(crate) fn forward(&self, x: Tokens) -> Result<Tokens, OpError> {
        let identity = x.share();
        let x = layer_norm(x, &self.norm1)?;
        let x = linear_tokens(x, &self.qkv.weight, Some(&self.qkv.bias))?; // (N, T, D) → (N, T, 3D)
        let x = attention(x, self.n_heads)?; // → (N, T, D)
        let x = linear_add_tokens(x, &self.proj.weight, Some(&self.proj.bias), identity)?;
        self.mlp(x)
    }

    /// Token 0 of [`forward`](Self::forward), `(N, T, D)` to `(N, 1, D)`.
    ///
    /// Behind the attention of the last block, the other tokens lead nowhere: they are left out, and so is most of the
    /// block's work.
    pub(crate) fn forward_first_token(&self, x: Tokens) -> Result<Tokens, OpError> {
        let identity = keep_token(x.fork(), 0)?;
        let x = layer_norm(x, &self.norm1)?;
        let x = linear_tokens(x, &self.qkv.weight, Some(&self.qkv.bias))?; // (N, T, D) → (N, T, 3D)
        let x = keep_token(attention(x, self.n_heads)?, 0)?; // → (N, 1, D)
        let x = linear_add_tokens(x, &self.proj.weight, Some(&self.proj.bias), identity)?;
        self.mlp(x)
    }

    fn mlp(&self, x: Tokens) -> Result<Tokens, OpError> {
        let identity = x.share();
        let x = layer_norm(x, &self.norm2)?;
        let x = linear_gelu_tokens(x, &self.fc1.weight, Some(&self.fc1.bias))?; // (N, T, D) → (N, T, hidden)
        linear_add_tokens(x, &self.fc2.weight, Some(&self.fc2.bias), identity) // → (N, T, D)
    }
}

/// The order of timm's `state_dict`.
impl Module for Block {
    plugin_api::visit! { self;
        "norm1" => self.norm1,
        "attn.qkv" => self.qkv,
        "attn.proj" => self.proj,
        "norm2" => self.norm2,
        "mlp.fc1" => self.fc1,
        "mlp.fc2" => self.fc2,
    }
}

impl Module for Linear {
    plugin_api::visit! { self;
        "weight" => self.weight,
        "bias" => self.bias,
    }
}
