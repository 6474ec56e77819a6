//! Names of other programs that differ from those of torchvision and timm.

/// timm's names of the parts of a ViT block and torchvision's, without what follows the `.`.
const TORCHVISION_BLOCK: [(&str, &str); 6] = [
    ("norm1.", "ln_1."),
    ("attn.qkv.", "self_attention.in_proj_"),
    ("attn.proj.", "self_attention.out_proj."),
    ("norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.0."),
    ("mlp.fc2.", "mlp.3."),
];

/// Prefixes outside of blocks.
const TORCHVISION_REST: [(&str, &str); 4] = [
    ("cls_token", "class_token"),
    ("pos_embed", "encoder.pos_embedding"),
    ("patch_embed.proj.", "conv_proj."),
    ("norm.", "encoder.ln."),
];

const TORCHVISION_LAYER: &str = "encoder.layers.encoder_layer_";

/// torchvision's name of a weight of a ViT that timm calls `name`.
pub(crate) fn vit_to_torchvision(name: &str) -> Option<String> {
    if let Some((i, part)) = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) {
        return Some(format!("{TORCHVISION_LAYER}{i}.{}", swap(&TORCHVISION_BLOCK, part)?));
    }
    swap(&TORCHVISION_REST, name)
}

/// timm's name of a weight of a ViT that torchvision calls `name`.
pub(crate) fn vit_from_torchvision(name: &str) -> Option<String> {
    if let Some((i, part)) = name.strip_prefix(TORCHVISION_LAYER).and_then(|rest| rest.split_once('.')) {
        return Some(format!("blocks.{i}.{}", swap(&TORCHVISION_BLOCK.map(|(a, b)| (b, a)), part)?));
    }
    swap(&TORCHVISION_REST.map(|(a, b)| (b, a)), name)
}

/// `name` with the first matching prefix replaced.
fn swap(table: &[(&str, &str)], name: &str) -> Option<String> {
    table.iter().find_map(|(old, new)| Some(format!("{new}{}", name.strip_prefix(old)?)))
}

/// detectron2's name of a weight of a ResNet that torchvision calls `name`: `layer1.0.bn1.weight` is
/// `res2.0.conv1.norm.weight`.
pub(crate) fn resnet_to_detectron2(name: &str) -> Option<String> {
    let Some(rest) = name.strip_prefix("layer") else {
        return Some(format!("stem.{}", part_to_detectron2(name)?));
    };
    let (stage, rest) = rest.split_once('.')?;
    let (block, part) = rest.split_once('.')?;
    let stage: u32 = stage.parse().ok()?;
    Some(format!("res{}.{block}.{}", stage + 1, part_to_detectron2(part)?))
}

/// torchvision's name of a weight of a ResNet that detectron2 calls `name`.
pub(crate) fn resnet_from_detectron2(name: &str) -> Option<String> {
    if let Some(part) = name.strip_prefix("stem.") {
        return part_from_detectron2(part);
    }
    let (stage, rest) = name.strip_prefix("res")?.split_once('.')?;
    let (block, part) = rest.split_once('.')?;
    let stage: u32 = stage.parse().ok()?;
    Some(format!("layer{}.{block}.{}", stage.checked_sub(1)?, part_from_detectron2(part)?))
}

/// torchvision's name of a weight of a ResNet whose children are numbered, with its stages from `first` on: `4.0.bn1.bias` is
/// `layer1.0.bn1.bias`. The convolution and the batch norm of the stem are 0 and 1.
pub(crate) fn resnet_from_sequence(name: &str, first: usize) -> Option<String> {
    let (number, rest) = name.split_once('.')?;
    match number.parse::<usize>().ok()? {
        0 => Some(format!("conv1.{rest}")),
        1 => Some(format!("bn1.{rest}")),
        number => {
            let stage = number.checked_sub(first).filter(|stage| *stage < 4)?;
            Some(format!("layer{}.{rest}", stage + 1))
        }
    }
}

/// timm's name of a weight of a ViT that DINOv2 calls `name`.
pub(crate) fn vit_from_dinov2(name: &str) -> &str {
    match name {
        "register_tokens" => "reg_token",
        name => name,
    }
}

fn part_to_detectron2(part: &str) -> Option<String> {
    let (layer, rest) = part.split_once('.')?;
    match layer.strip_prefix("bn") {
        Some(number) => Some(format!("conv{number}.norm.{rest}")),
        None if layer == "downsample" => match rest.split_once('.')? {
            ("0", rest) => Some(format!("shortcut.{rest}")),
            ("1", rest) => Some(format!("shortcut.norm.{rest}")),
            _ => None,
        },
        None => Some(part.to_owned()),
    }
}

fn part_from_detectron2(part: &str) -> Option<String> {
    let (layer, rest) = part.split_once('.')?;
    let norm = rest.strip_prefix("norm.");
    match (layer, norm) {
        ("shortcut", Some(rest)) => Some(format!("downsample.1.{rest}")),
        ("shortcut", None) => Some(format!("downsample.0.{rest}")),
        (_, Some(rest)) => Some(format!("bn{}.{rest}", layer.strip_prefix("conv")?)),
        (_, None) => Some(part.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Block, ResNet, ResNetStem, Vit, VitStem, layout};

    #[test]
    fn detectron2_has_other_names_for_stages_norms_and_shortcuts() {
        for (torchvision, detectron2) in [
            ("conv1.weight", "stem.conv1.weight"),
            ("bn1.running_var", "stem.conv1.norm.running_var"),
            ("layer1.0.conv3.weight", "res2.0.conv3.weight"),
            ("layer4.2.bn3.bias", "res5.2.conv3.norm.bias"),
            ("layer2.0.downsample.0.weight", "res3.0.shortcut.weight"),
            ("layer2.0.downsample.1.num_batches_tracked", "res3.0.shortcut.norm.num_batches_tracked"),
        ] {
            assert_eq!(resnet_to_detectron2(torchvision).as_deref(), Some(detectron2));
            assert_eq!(resnet_from_detectron2(detectron2).as_deref(), Some(torchvision));
        }
    }

    #[test]
    fn numbers_of_a_sequence_are_layers() {
        for (number, name) in [
            ("0.weight", Some("conv1.weight")),
            ("1.running_mean", Some("bn1.running_mean")),
            ("4.1.bn2.bias", Some("layer1.1.bn2.bias")),
            ("7.0.downsample.0.weight", Some("layer4.0.downsample.0.weight")),
            ("8.weight", None),
            ("2.weight", None),
            ("fc.weight", None),
        ] {
            assert_eq!(resnet_from_sequence(number, 4).as_deref(), name);
        }
        assert_eq!(resnet_from_sequence("2.0.conv1.weight", 2).as_deref(), Some("layer1.0.conv1.weight"));
    }

    #[test]
    fn every_name_comes_back() {
        let resnet = Architecture::ResNet(ResNet {
            block: Block::Bottleneck,
            blocks: [3, 4, 6, 3],
            width: 64,
            stem: ResNetStem::ImageNet,
            width_per_group: 64,
            groups: 1,
            channels: 3,
        });
        for (name, _) in layout(&resnet) {
            let other = resnet_to_detectron2(&name).unwrap();
            assert_eq!(resnet_from_detectron2(&other), Some(name));
        }
        let vit = Architecture::Vit(Vit {
            patch: 16,
            dim: 16,
            depth: 12,
            heads: Some(2),
            hidden: 64,
            class_token: true,
            positions: Some(197),
            norm: true,
            stem: VitStem::Patch,
            layer_scale: false,
            registers: 0,
            channels: 3,
        });
        for (name, _) in layout(&vit) {
            let other = vit_to_torchvision(&name).unwrap();
            assert_eq!(vit_from_torchvision(&other), Some(name));
        }
        assert_eq!(
            vit_to_torchvision("blocks.11.attn.qkv.weight").unwrap(),
            "encoder.layers.encoder_layer_11.self_attention.in_proj_weight"
        );
        assert_eq!(vit_to_torchvision("head.weight"), None);
    }
}
