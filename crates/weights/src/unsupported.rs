//! Parts of other encoders that those here have not, known by their names.

use crate::Unrecognized;

/// A piece of a name, and what such a tensor is.
const PARTS: [(&str, &str); 22] = [
    (
        "relative_position_bias_table",
        "a bias of attention by relative position, as in BEiT and Swin, and `vit` has none",
    ),
    ("rel_pos_bias.", "a bias of attention by relative position, as in BEiT, and `vit` has none"),
    ("rel_pos_h", "a bias of attention by relative position, as in SAM, and `vit` has none"),
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
    ("dwconv.", "a depthwise convolution, as in ConvNeXt, whose weights of other programs are not read"),
    (
        "conv_dw.",
        "a depthwise convolution, as in ConvNeXt and MobileNet, whose weights of other programs are not read",
    ),
    ("denseblock1.", "a part of DenseNet, and there is no such encoder here"),
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
        ] {
            let told = unsupported([name].into_iter()).unwrap().to_string();
            assert!(told.starts_with(&format!("`{name}` is ")) && told.contains(expected), "{told}");
        }
        for name in
            ["layer1.0.conv1.weight", "blocks.0.ls1.gamma", "my_fc_norm.weight", "blocks.0.attn.qkv.bias"]
        {
            assert_eq!(unsupported([name].into_iter()), None, "{name}");
        }
    }
}
