//! Parts of other encoders that those here have not, known by their names, and else by shapes or by what is nowhere.

use run_store::checkpoint::Stored;

use crate::{Architecture, Tensors, Unrecognized, layout};

/// A piece of a name, and what such a tensor is.
const PARTS: [(&str, &str); 32] = [
    (
        "relative_position_bias_table",
        "a bias of attention by relative position, as in BEiT and Swin, and `vit` has none",
    ),
    ("rel_pos_bias.", "a bias of attention by relative position, as in BEiT, and `vit` has none"),
    ("rel_pos_h", "a bias of attention by relative position, as in SAM, and `vit` has none"),
    (
        "rel_pos.",
        "a bias of attention by relative position, as in timm's ViTs called `relpos`, and `vit` has none",
    ),
    (
        "shared_rel_pos.",
        "a bias of attention by relative position, as in timm's ViTs called `relpos`, and `vit` has none",
    ),
    ("attn.logit_scale", "a scale of attention by cosines, as in Swin v2, and `vit` has none"),
    (
        "attn.gating_param",
        "a gate between attention by content and by position, as in ConViT, and `vit` has none",
    ),
    ("attn.q_bias", "a bias of queries without one of keys, as in BEiT, and `vit` has one of all three"),
    ("attn.v_bias", "a bias of values without one of keys, as in BEiT, and `vit` has one of all three"),
    (
        ".gamma_1",
        "a scale of a block's branch, as BEiT and CaiT name it, and `vit` names it as timm does, `ls1.gamma`",
    ),
    ("mlp.w12.", "a gated MLP, as of DINOv2's giant ViT, and `vit` has GELU"),
    ("mlp.w1.", "a gated MLP, as of EVA, and `vit` has GELU"),
    ("mlp.fc1_g.", "a gated MLP, as of EVA, and `vit` has GELU"),
    ("attn.q_norm.", "a norm of queries, and `vit` has none"),
    ("norm_pre.", "a norm before the first block, as in CLIP, and `vit` has none"),
    ("fc_norm.", "a norm after the mean of tokens, and `vit` has its norm before"),
    ("dist_token", "a token for distillation, as in DeiT, and `vit` has none"),
    ("transformer.resblocks.", "a part of CLIP, whose ViT has a norm before its blocks and another GELU"),
    (
        "embeddings.patch_embeddings.",
        "a name of Hugging Face's transformers; export the model under timm's names",
    ),
    (
        "patch_embed.backbone.",
        "a part of the convolutional network before the patches of a hybrid ViT, and `vit` has none",
    ),
    ("patch_embed.conv.0.", "the first of several convolutions of a stem, as of VOLO, and `vit` has another"),
    ("blocks.0.attns.", "one of several branches side by side in a block, and `vit` has one"),
    ("blocks.1.proj.", "a part of Hiera, and there is no such encoder here"),
    ("blocks.2.proj.", "a part of Hiera, and there is no such encoder here"),
    ("dwconv.", "a depthwise convolution, as in ConvNeXt, whose weights of other programs are not read"),
    (
        "conv_dw.",
        "a depthwise convolution, as in ConvNeXt and MobileNet, whose weights of other programs are not read",
    ),
    ("denseblock1.", "a part of DenseNet, and there is no such encoder here"),
    ("layer1.0.convs.", "one of several convolutions side by side, as in Res2Net, and `resnet` has one"),
    ("layer1.0.se.", "a squeeze-and-excitation, and `resnet` has none"),
    ("layer1.0.se_module.", "a squeeze-and-excitation, and `resnet` has none"),
    (
        "conv1.0.weight",
        "the first of several convolutions of a stem, as of ResNet-C and D, and `resnet` has one",
    ),
    ("layers.0.blocks.0.", "a part of Swin, and there is no such encoder here"),
];

/// What stands in the way of an encoder with these names.
pub(crate) fn unsupported<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<Unrecognized> {
    PARTS.iter().find_map(|(piece, is)| {
        let name = names.clone().find(|name| is_part(name, piece))?;
        Some(Unrecognized::Unsupported { name: name.to_owned(), is: (*is).to_owned() })
    })
}

/// What stands in the way of an encoder that has the names of `architecture`, and layers of another kind.
pub(crate) fn unsupported_layers(backbone: &Tensors, architecture: &Architecture) -> Option<Unrecognized> {
    const GATED: &str =
        "of a gated MLP, as of DINOv2's giant ViT: `fc2` takes half of what `fc1` gives; `vit` has GELU";
    const NO_STATISTICS: &str =
        "of a norm without running statistics: group norm, or batch norm that was saved without its buffers";
    let (name, is) = match architecture {
        Architecture::ResNet(_) => {
            let name = norm_without_statistics(backbone, architecture)?;
            (name, format!("{NO_STATISTICS}; `resnet` has batch norm"))
        }
        Architecture::Vit(_) => {
            let gated = || Some((gated_mlp(backbone)?, GATED.to_owned()));
            let no_bias = || {
                Some((
                    without_biases(backbone)?,
                    "of a layer without bias in each block; `vit` has biases".into(),
                ))
            };
            let no_statistics = || {
                let name = norm_without_statistics(backbone, architecture)?;
                Some((name, format!("{NO_STATISTICS}; the stem of `vit` has batch norm")))
            };
            gated().or_else(no_bias).or_else(no_statistics)?
        }
    };
    Some(Unrecognized::Unsupported { name, is })
}

/// The weight of a layer of the first block, if this layer has no bias in any block; where it has some, the file is damaged.
fn without_biases(backbone: &Tensors) -> Option<String> {
    let layers = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"];
    let has_bias = |layer: &str| {
        let end = format!(".{layer}.bias");
        backbone.keys().any(|name| name.starts_with("blocks.") && name.ends_with(&end))
    };
    let weight =
        |layer: &str| Some(format!("blocks.0.{layer}.weight")).filter(|name| backbone.contains_key(name));
    layers.into_iter().filter(|layer| !has_bias(layer)).find_map(weight)
}

/// The first layer of an MLP, if there are MLPs and each of them keeps half of it; where only some do, the file is damaged.
fn gated_mlp(backbone: &Tensors) -> Option<String> {
    let matrix = |name: &str| match backbone.get(name) {
        Some(Stored::F32 { shape, .. }) => <[usize; 2]>::try_from(shape.as_slice()).ok(),
        _ => None,
    };
    let keeps_half = |name: &String| {
        let [gives, _] = matrix(name)?;
        let [_, takes] = matrix(&name.replace(".fc1.", ".fc2."))?;
        Some(takes > 0 && gives == 2 * takes)
    };
    let mut firsts = backbone.keys().filter(|name| name.ends_with(".mlp.fc1.weight")).peekable();
    let name = (*firsts.peek()?).clone();
    firsts.all(|name| keeps_half(name) == Some(true)).then_some(name)
}

/// The scale of a norm that should have running statistics, if there are none; where there are some, the file is damaged.
fn norm_without_statistics(backbone: &Tensors, architecture: &Architecture) -> Option<String> {
    let is_statistic = |name: &String| {
        [".running_mean", ".running_var", ".num_batches_tracked"].iter().any(|end| name.ends_with(end))
    };
    if backbone.keys().any(is_statistic) {
        return None;
    }
    let scale = |name: &str| Some(format!("{}.weight", name.strip_suffix(".running_mean")?));
    let mut scales = layout(architecture).into_iter().filter_map(|(name, _)| scale(&name));
    scales.find(|scale| backbone.contains_key(scale))
}

/// Whether `name` has this piece, from the start of one of its parts on.
fn is_part(name: &str, piece: &str) -> bool {
    let piece = piece.trim_start_matches('.');
    name.match_indices(piece).any(|(at, _)| at == 0 || name[..at].ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoders_of_other_families_are_called_by_their_names() {
        for (name, expected) in [
            ("layers.0.blocks.0.attn.relative_position_bias_table", "as in BEiT and Swin"),
            ("layers.0.blocks.0.norm1.weight", "a part of Swin"),
            ("stages.0.0.dwconv.weight", "as in ConvNeXt"),
            ("stages.0.blocks.0.conv_dw.weight", "as in ConvNeXt"),
            ("visual.transformer.resblocks.0.ln_1.weight", "a part of CLIP"),
            ("vit.embeddings.patch_embeddings.projection.weight", "Hugging Face"),
            ("features.denseblock1.denselayer1.norm1.weight", "DenseNet"),
            ("blocks.0.attn.rel_pos.mlp.fc1.weight", "by relative position"),
            ("shared_rel_pos.mlp.fc1.weight", "by relative position"),
            ("blocks.0.attn.gating_param", "as in ConViT"),
            ("stages.0.blocks.0.attn.logit_scale", "as in Swin v2"),
            ("patch_embed.backbone.conv.weight", "of a hybrid ViT"),
            ("patch_embed.conv.0.weight", "as of VOLO"),
            ("blocks.0.attns.0.norm.weight", "side by side in a block"),
            ("blocks.2.proj.bias", "a part of Hiera"),
            ("layer1.0.convs.0.weight", "as in Res2Net"),
        ] {
            let told = unsupported([name].into_iter()).unwrap().to_string();
            assert!(told.starts_with(&format!("`{name}` is ")) && told.contains(expected), "{told}");
        }
        for name in [
            "layer1.0.conv1.weight",
            "blocks.0.ls1.gamma",
            "blocks.2.attn.proj.bias",
            "patch_embed.proj.0.weight",
            "my_fc_norm.weight",
            "blocks.0.attn.qkv.bias",
        ] {
            assert_eq!(unsupported([name].into_iter()), None, "{name}");
        }
    }
}
