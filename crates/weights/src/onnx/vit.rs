//! A vision transformer as a graph.

use super::graph::{Graph, With};
use crate::{Vit, VitStem};

/// The epsilon of layer norm in timm and MoCo v3.
const LAYER_NORM_EPSILON: f32 = 1e-6;

/// Adds `vit` on the images called `x`, and returns its features.
pub(super) fn add(graph: &mut Graph<'_>, vit: &Vit, x: &str) -> Result<String, String> {
    let heads = vit.heads.ok_or("its number of attention heads is unknown")?;
    let dim = vit.dim as i64;
    let map = stem(graph, vit, x)?; // (N, D, H/P, W/P)
    let shape = graph.ints(&[0, dim, -1]);
    let columns = graph.node("Reshape", &[&map, &shape], []);
    let mut x = graph.node("Transpose", &[&columns], [With::Ints("perm", vec![0, 2, 1])]); // (N, T, D)
    for (name, n) in [("reg_token", vit.registers), ("cls_token", usize::from(vit.class_token))] {
        if n > 0 {
            x = prepend(graph, name, [n as i64, dim], &x)?;
        }
    }
    if vit.positions.is_some() {
        let table = graph.weight("pos_embed")?;
        x = graph.node("Add", &[&x, &table], []);
    }
    for i in 0..vit.depth {
        x = block(graph, &format!("blocks.{i}"), (vit.dim, heads), vit.layer_scale, &x)?;
    }
    if vit.norm {
        x = layer_norm(graph, &x, "norm")?;
    }
    if vit.class_token {
        let first = graph.int(0);
        return Ok(graph.node("Gather", &[&x, &first], [With::Int("axis", 1)]));
    }
    Ok(graph.node("ReduceMean", &[&x], [With::Ints("axes", vec![1]), With::Int("keepdims", 0)]))
}

/// The tokens called `name`, `(1, R, D)`, before those of every image.
fn prepend(graph: &mut Graph<'_>, name: &str, shape: [i64; 2], x: &str) -> Result<String, String> {
    let tokens = graph.weight(name)?;
    let n = graph.node("Shape", &[x], [With::Int("start", 0), With::Int("end", 1)]);
    let rest = graph.ints(&shape);
    let shape = graph.node("Concat", &[&n, &rest], [With::Int("axis", 0)]);
    let tokens = graph.node("Expand", &[&tokens, &shape], []);
    Ok(graph.node("Concat", &[&tokens, x], [With::Int("axis", 1)]))
}

fn stem(graph: &mut Graph<'_>, vit: &Vit, x: &str) -> Result<String, String> {
    match vit.stem {
        VitStem::Patch => graph.convolution(x, "patch_embed.proj", (vit.patch, 0), true),
        VitStem::Conv => {
            let mut x = x.to_owned();
            for i in 0..4 {
                x = graph.convolution(&x, &format!("patch_embed.proj.{}", 3 * i), (2, 1), false)?;
                x = graph.batch_norm(&x, &format!("patch_embed.proj.{}", 3 * i + 1))?;
                x = graph.node("Relu", &[&x], []);
            }
            graph.convolution(&x, "patch_embed.proj.12", (1, 0), true)
        }
    }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
fn block(
    graph: &mut Graph<'_>,
    name: &str,
    sizes: (usize, usize),
    has_scales: bool,
    x: &str,
) -> Result<String, String> {
    let scaled = |graph: &mut Graph<'_>, branch: String, scale: &str| match has_scales {
        true => {
            let scale = graph.weight(&format!("{name}.{scale}.gamma"))?;
            Ok::<String, String>(graph.node("Mul", &[&branch, &scale], []))
        }
        false => Ok(branch),
    };
    let normed = layer_norm(graph, x, &format!("{name}.norm1"))?;
    let attended = attention(graph, &format!("{name}.attn"), sizes, &normed)?;
    let attended = scaled(graph, attended, "ls1")?;
    let x = graph.node("Add", &[x, &attended], []);
    let normed = layer_norm(graph, &x, &format!("{name}.norm2"))?;
    let hidden = graph.linear(&normed, &format!("{name}.mlp.fc1"))?;
    let hidden = gelu(graph, &hidden);
    let out = graph.linear(&hidden, &format!("{name}.mlp.fc2"))?;
    let out = scaled(graph, out, "ls2")?;
    Ok(graph.node("Add", &[&x, &out], []))
}

fn attention(
    graph: &mut Graph<'_>,
    name: &str,
    (dim, heads): (usize, usize),
    x: &str,
) -> Result<String, String> {
    let width = dim / heads;
    let all = graph.linear(x, &format!("{name}.qkv"))?; // (N, T, 3D)
    let shape = graph.ints(&[0, 0, 3, heads as i64, width as i64]);
    let all = graph.node("Reshape", &[&all, &shape], []);
    let all = graph.node("Transpose", &[&all], [With::Ints("perm", vec![2, 0, 3, 1, 4])]); // (3, N, heads, T, D/heads)
    let mut part = |i: i64| {
        let i = graph.int(i);
        graph.node("Gather", &[&all, &i], [With::Int("axis", 0)])
    };
    let (queries, keys, values) = (part(0), part(1), part(2));
    let keys = graph.node("Transpose", &[&keys], [With::Ints("perm", vec![0, 1, 3, 2])]);
    let products = graph.node("MatMul", &[&queries, &keys], []);
    let scale = graph.number(1.0 / (width as f32).sqrt());
    let scaled = graph.node("Mul", &[&products, &scale], []);
    let shares = graph.node("Softmax", &[&scaled], [With::Int("axis", -1)]); // (N, heads, T, T)
    let mixed = graph.node("MatMul", &[&shares, &values], []);
    let mixed = graph.node("Transpose", &[&mixed], [With::Ints("perm", vec![0, 2, 1, 3])]);
    let shape = graph.ints(&[0, 0, dim as i64]);
    let mixed = graph.node("Reshape", &[&mixed, &shape], []); // (N, T, D)
    graph.linear(&mixed, &format!("{name}.proj"))
}

fn layer_norm(graph: &mut Graph<'_>, x: &str, name: &str) -> Result<String, String> {
    let (scale, shift) = (graph.weight(&format!("{name}.weight"))?, graph.weight(&format!("{name}.bias"))?);
    let with = [With::Int("axis", -1), With::Float("epsilon", LAYER_NORM_EPSILON)];
    Ok(graph.node("LayerNormalization", &[x, &scale, &shift], with))
}

/// `x / 2 · (1 + erf(x / √2))`.
fn gelu(graph: &mut Graph<'_>, x: &str) -> String {
    let (root, one, half) =
        (graph.number(std::f32::consts::FRAC_1_SQRT_2), graph.number(1.0), graph.number(0.5));
    let scaled = graph.node("Mul", &[x, &root], []);
    let erf = graph.node("Erf", &[&scaled], []);
    let sum = graph.node("Add", &[&erf, &one], []);
    let product = graph.node("Mul", &[x, &sum], []);
    graph.node("Mul", &[&product, &half], [])
}
