//! The parts of a transformer block.

use tensor_ops::{
    LayerNorm, OpError, Parameter, ParameterKind, Tokens, attention, layer_norm, linear_gelu_tokens,
    linear_tokens,
};

use super::{
    case::{Case, Pass, Work, time},
    operands::{Input, parameter, tokens},
    stopwatch::backward_time,
};

/// MoCo v3 on 32 px with patches of 4, and its ViT-S on 224 px with patches of 16; both have a class token.
pub(super) fn cases() -> Vec<Case> {
    let small = Block { n: 64, t: 65, d: 192, heads: 3 };
    let vit_s = Block { n: 16, t: 197, d: 384, heads: 12 };
    [small, vit_s].into_iter().flat_map(Block::cases).collect()
}

#[derive(Clone, Copy)]
struct Block {
    /// Images.
    n: usize,
    /// Tokens of each.
    t: usize,
    /// Width of a token.
    d: usize,
    heads: usize,
}

/// An operation of a layer.
type Layer = fn(Tokens, &Parameter, Option<&Parameter>) -> Result<Tokens, OpError>;

impl Block {
    fn cases(self) -> Vec<Case> {
        let d = self.d;
        vec![
            self.layer_norm(),
            self.linear("linear", linear_tokens, d, 3 * d),
            self.attention(),
            self.linear("linear", linear_tokens, d, d),
            self.linear("linear+GELU", linear_gelu_tokens, d, 4 * d),
            self.linear("linear", linear_tokens, 4 * d, d),
        ]
    }

    /// `192 65t b64`: the end of all names.
    fn sizes(self, widths: &str) -> String {
        format!("{widths} {}t b{}", self.t, self.n)
    }

    fn linear(self, name: &str, layer: Layer, n_in: usize, n_out: usize) -> Case {
        let Self { n, t, .. } = self;
        let work = Work::Flops(2 * n * t * n_in * n_out);
        let backward = move |name, input, is_trainable| {
            Pass::new(name, work, move |place| {
                let x = tokens(place, [n, t, n_in], input)?;
                let weight = parameter(&place.device, ParameterKind::Matrix, &[n_in, n_out], is_trainable)?;
                let bias = parameter(&place.device, ParameterKind::Vector, &[n_out], is_trainable)?;
                Ok(move || backward_time(x.share(), |x| layer(x, &weight, Some(&bias))))
            })
        };
        let forward = Pass::new("forward", work, move |place| {
            let x = tokens(place, [n, t, n_in], Input::Plain)?;
            let weight = parameter(&place.device, ParameterKind::Matrix, &[n_in, n_out], true)?;
            let bias = parameter(&place.device, ParameterKind::Vector, &[n_out], true)?;
            Ok(move || time(|| layer(x.share(), &weight, Some(&bias))))
        });
        Case {
            name: format!("{name} {}", self.sizes(&format!("{n_in}-{n_out}"))),
            passes: vec![
                forward,
                backward("data", Input::Differentiated, false),
                backward("weights", Input::Plain, true),
            ],
        }
    }

    fn attention(self) -> Case {
        let Self { n, t, d, heads } = self;
        let shape = [n, t, 3 * d];
        // Queries times keys, and weights times values.
        let n_flops = 4 * n * t * t * d;
        Case {
            name: format!("attention {}", self.sizes(&d.to_string())),
            passes: vec![
                Pass::new("forward", Work::Flops(n_flops), move |place| {
                    let qkv = tokens(place, shape, Input::Plain)?;
                    Ok(move || time(|| attention(qkv.share(), heads)))
                }),
                // Two products for each one of the forward pass, and queries times keys again, because they are not
                // stored.
                Pass::new("backward", Work::Flops(n_flops * 5 / 2), move |place| {
                    let qkv = tokens(place, shape, Input::Differentiated)?;
                    Ok(move || backward_time(qkv.share(), |qkv| attention(qkv, heads)))
                }),
            ],
        }
    }

    fn layer_norm(self) -> Case {
        let Self { n, t, d, .. } = self;
        let values =
            |kept, gradients| Work::Values { kept: kept * n * t * d, gradients: gradients * n * t * d };
        Case {
            name: format!("layer norm {}", self.sizes(&d.to_string())),
            passes: vec![
                Pass::new("forward", values(2, 0), move |place| {
                    let (x, norm) =
                        (tokens(place, [n, t, d], Input::Plain)?, LayerNorm::new(&place.device, d, 1e-6)?);
                    Ok(move || time(|| layer_norm(x.share(), &norm)))
                }),
                Pass::new("backward", values(1, 2), move |place| {
                    let x = tokens(place, [n, t, d], Input::Differentiated)?;
                    let norm = LayerNorm::new(&place.device, d, 1e-6)?;
                    Ok(move || backward_time(x.share(), |x| layer_norm(x, &norm)))
                }),
            ],
        }
    }
}
