//! Detects the encoder that weights belong to.

use run_store::checkpoint::Stored;

use crate::unsupported::{unsupported, unsupported_layers};
use crate::{Architecture, Block, ResNet, ResNetStem, Tensors, Unrecognized, Vit, VitStem};

/// Detects the encoder that `backbone` belongs to. It must have the names of torchvision or timm and nothing else
/// in it.
///
/// Looks at only a few tensors; [`Report`](crate::Report) checks whether all of them are there.
///
/// # Errors
/// If it is not a ResNet or ViT.
pub fn detect(backbone: &Tensors) -> Result<Architecture, Unrecognized> {
    if let Some(unsupported) = unsupported(backbone.keys().map(String::as_str)) {
        return Err(unsupported);
    }
    let architecture = if backbone.contains_key("conv1.weight") {
        Architecture::ResNet(resnet(backbone)?)
    } else if backbone.keys().any(|name| name.starts_with("patch_embed.")) {
        Architecture::Vit(vit(backbone)?)
    } else {
        return Err(Unrecognized::Family { example: backbone.keys().next().cloned() });
    };
    match unsupported_layers(backbone, &architecture) {
        Some(unsupported) => Err(unsupported),
        None => Ok(architecture),
    }
}

fn resnet(tensors: &Tensors) -> Result<ResNet, Unrecognized> {
    let &[width, channels, side, _] = floats(tensors, "conv1.weight")? else {
        return Err(Unrecognized::shape("conv1.weight", tensors, "[width, channels, height, width]"));
    };
    let stem = match side {
        7 => ResNetStem::ImageNet,
        3 => ResNetStem::Cifar,
        _ => return Err(Unrecognized::shape("conv1.weight", tensors, "a kernel of 7x7 or 3x3")),
    };
    let block = if tensors.contains_key("layer1.0.conv3.weight") { Block::Bottleneck } else { Block::Basic };
    let (groups, width_per_group) = match block {
        Block::Basic => (1, 64),
        Block::Bottleneck => groups_and_width(tensors, width)?,
    };
    let blocks = [1, 2, 3, 4].map(|stage| count(tensors, &format!("layer{stage}."), ".conv1.weight"));
    if blocks.contains(&0) {
        return Err(Unrecognized::Stages { blocks });
    }
    Ok(ResNet { block, blocks, width, width_per_group, groups, stem, channels })
}

/// The groups of the first bottleneck block of a ResNet of `width`, and the inner width of each, as torchvision counts it.
fn groups_and_width(tensors: &Tensors, width: usize) -> Result<(usize, usize), Unrecognized> {
    let (first, second) = ("layer1.0.conv1.weight", "layer1.0.conv2.weight");
    let &[inner, ..] = floats(tensors, first)? else {
        return Err(Unrecognized::shape(first, tensors, "[inner width, channels, 1, 1]"));
    };
    let &[_, of_group, _, _] = floats(tensors, second)? else {
        return Err(Unrecognized::shape(second, tensors, "[inner width, inner width of a group, 3, 3]"));
    };
    if !inner.is_multiple_of(of_group) {
        return Err(Unrecognized::shape(
            second,
            tensors,
            "groups of equal width that make up the inner width",
        ));
    }
    match of_group * 64 {
        scaled if scaled.is_multiple_of(width) => Ok((inner / of_group, scaled / width)),
        _ => Err(Unrecognized::shape(first, tensors, "an inner width in 64ths of the width")),
    }
}

fn vit(tensors: &Tensors) -> Result<Vit, Unrecognized> {
    let (stem, kernel) = match tensors.contains_key("patch_embed.proj.weight") {
        true => (VitStem::Patch, "patch_embed.proj.weight"),
        false => (VitStem::Conv, "patch_embed.proj.12.weight"),
    };
    let &[dim, _, side, _] = floats(tensors, kernel)? else {
        return Err(Unrecognized::shape(kernel, tensors, "[dim, channels, height, width]"));
    };
    // The last convolution is not the first.
    let first = if stem == VitStem::Conv { "patch_embed.proj.0.weight" } else { kernel };
    let &[_, channels, _, _] = floats(tensors, first)? else {
        return Err(Unrecognized::shape(first, tensors, "[dim, channels, height, width]"));
    };
    let &[hidden, _] = floats(tensors, "blocks.0.mlp.fc1.weight")? else {
        return Err(Unrecognized::shape("blocks.0.mlp.fc1.weight", tensors, "[hidden, dim]"));
    };
    let positions = match tensors.get("pos_embed") {
        None => None,
        Some(Stored::F32 { shape, .. }) if shape.len() == 3 => Some(shape[1]),
        Some(_) => return Err(Unrecognized::shape("pos_embed", tensors, "[1, tokens, dim]")),
    };
    Ok(Vit {
        // The four layers of the convolution stem that halve the image.
        patch: if stem == VitStem::Patch { side } else { 16 },
        dim,
        depth: count(tensors, "blocks.", ".norm1.weight"),
        heads: None,
        hidden,
        class_token: tensors.contains_key("cls_token"),
        positions,
        norm: tensors.contains_key("norm.weight"),
        layer_scale: tensors.contains_key("blocks.0.ls1.gamma"),
        registers: registers(tensors)?,
        stem,
        channels,
    })
}

fn registers(tensors: &Tensors) -> Result<usize, Unrecognized> {
    match tensors.get("reg_token") {
        None => Ok(0),
        Some(Stored::F32 { shape, .. }) if shape.len() == 3 => Ok(shape[1]),
        Some(_) => Err(Unrecognized::shape("reg_token", tensors, "[1, registers, dim]")),
    }
}

/// The shape of the floats called `name`.
fn floats<'a>(tensors: &'a Tensors, name: &str) -> Result<&'a [usize], Unrecognized> {
    match tensors.get(name) {
        Some(Stored::F32 { shape, .. }) if !shape.contains(&0) => Ok(shape),
        Some(_) => Err(Unrecognized::shape(name, tensors, "floats, at least one of them")),
        None => Err(Unrecognized::Missing { name: name.to_owned() }),
    }
}

/// The number of `prefix0suffix`, `prefix1suffix`, ... without a gap.
fn count(tensors: &Tensors, prefix: &str, suffix: &str) -> usize {
    (0..).take_while(|i| tensors.contains_key(&format!("{prefix}{i}{suffix}"))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::tensors_of;
    use crate::{Shape, layout};

    #[test]
    fn what_encoders_here_have_not_is_named() {
        let told = |extra: &str| {
            let mut tensors = tensors_of(&layout(&Architecture::Vit(vit(VitStem::Patch))));
            tensors.extend(tensors_of(&[(extra.to_owned(), Shape::Floats(vec![2]))]));
            detect(&tensors).unwrap_err().to_string()
        };
        assert_eq!(
            told("blocks.0.attn.relative_position_bias_table"),
            "`blocks.0.attn.relative_position_bias_table` is a bias of attention by relative position, as in BEiT and Swin, and \
             `vit` has none"
        );
        for extra in [
            "blocks.1.attn.q_bias",
            "blocks.0.gamma_1",
            "blocks.0.mlp.w12.weight",
            "fc_norm.weight",
            "dist_token",
        ] {
            assert!(told(extra).starts_with(&format!("`{extra}` is ")), "{}", told(extra));
        }
    }

    #[test]
    fn a_gated_mlp_is_told_by_the_second_layer_which_takes_half_of_what_the_first_gives() {
        let mut tensors = tensors_of(&layout(&Architecture::Vit(vit(VitStem::Patch))));
        let second = |tensors: &mut Tensors, block: usize, takes: usize| {
            let stored = Stored::F32 { shape: vec![16, takes], values: vec![0.0; 16 * takes] };
            tensors.insert(format!("blocks.{block}.mlp.fc2.weight"), stored);
        };
        second(&mut tensors, 0, 32);
        // One layer that does not fit is damage: its shape is compared, and told.
        assert!(matches!(detect(&tensors), Ok(Architecture::Vit(_))));
        second(&mut tensors, 1, 32);
        second(&mut tensors, 2, 32);
        assert_eq!(
            detect(&tensors).unwrap_err().to_string(),
            "`blocks.0.mlp.fc1.weight` is of a gated MLP, as of DINOv2's giant ViT: `fc2` takes half of what `fc1` gives; \
             `vit` has GELU"
        );
        (0..3).for_each(|block| second(&mut tensors, block, 16));
        assert!(matches!(detect(&tensors), Ok(Architecture::Vit(_))));
    }

    #[test]
    fn a_layer_without_bias_in_each_block_is_named() {
        for layer in ["norm1", "attn.qkv", "mlp.fc2"] {
            let mut tensors = tensors_of(&layout(&Architecture::Vit(vit(VitStem::Patch))));
            for block in 0..3 {
                // Where some blocks have it, the file is damaged, and what is missing is listed.
                assert!(matches!(detect(&tensors), Ok(Architecture::Vit(_))), "{layer}");
                tensors.remove(&format!("blocks.{block}.{layer}.bias"));
            }
            assert_eq!(
                detect(&tensors).unwrap_err().to_string(),
                format!(
                    "`blocks.0.{layer}.weight` is of a layer without bias in each block; `vit` has biases"
                )
            );
        }
    }

    #[test]
    fn norms_without_any_running_statistics_are_no_batch_norms() {
        let is_statistic = |name: &str| name.contains(".running_") || name.ends_with(".num_batches_tracked");
        for (architecture, first, module) in [
            (resnet(Block::Basic, [1; 4], 4, ResNetStem::Cifar), "bn1", "`resnet`"),
            (resnet(Block::Bottleneck, [1; 4], 4, ResNetStem::ImageNet), "bn1", "`resnet`"),
            (Architecture::Vit(vit(VitStem::Conv)), "patch_embed.proj.1", "the stem of `vit`"),
        ] {
            let whole = tensors_of(&layout(&architecture));
            let mut without = whole.clone();
            without.retain(|name, _| !is_statistic(name));
            assert_eq!(
                detect(&without).unwrap_err().to_string(),
                format!(
                    "`{first}.weight` is of a norm without running statistics: group norm, or batch norm that was saved \
                     without its buffers; {module} has batch norm"
                )
            );
            // A file that has lost all but one of them is damaged.
            for left in [format!("{first}.running_var"), format!("{first}.num_batches_tracked")] {
                let mut damaged = without.clone();
                damaged.insert(left.clone(), whole[&left].clone());
                assert_eq!(detect(&damaged).unwrap(), architecture);
            }
        }
    }

    #[test]
    fn groups_of_a_convolution_are_told_by_its_shape() {
        let of = |groups, width_per_group, width| {
            Architecture::ResNet(ResNet {
                block: Block::Bottleneck,
                blocks: [1; 4],
                width,
                width_per_group,
                groups,
                stem: ResNetStem::ImageNet,
                channels: 3,
            })
        };
        for (groups, width_per_group, width) in
            [(32, 4, 64), (64, 4, 64), (32, 8, 64), (4, 64, 8), (2, 128, 8), (64, 8, 8)]
        {
            let resnext = of(groups, width_per_group, width);
            assert_eq!(detect(&tensors_of(&layout(&resnext))).unwrap(), resnext);
        }
        let mut tensors = tensors_of(&layout(&of(1, 64, 64)));
        let misshapen = Stored::F32 { shape: vec![64, 5, 3, 3], values: vec![0.0; 64 * 45] };
        tensors.insert("layer1.0.conv2.weight".into(), misshapen);
        assert_eq!(
            detect(&tensors).unwrap_err().to_string(),
            "`layer1.0.conv2.weight` is [64, 5, 3, 3], expected groups of equal width that make up the inner width"
        );
    }

    fn resnet(block: Block, blocks: [usize; 4], width: usize, stem: ResNetStem) -> Architecture {
        Architecture::ResNet(ResNet {
            block,
            blocks,
            width,
            stem,
            width_per_group: 64,
            groups: 1,
            channels: 3,
        })
    }

    fn vit(stem: VitStem) -> Vit {
        Vit {
            patch: 16,
            dim: 16,
            depth: 3,
            heads: None,
            hidden: 64,
            class_token: true,
            positions: Some(5),
            norm: true,
            stem,
            layer_scale: false,
            registers: 0,
            channels: 3,
        }
    }

    #[test]
    fn an_encoder_is_recognized_by_its_own_layout() {
        for architecture in [
            resnet(Block::Basic, [2, 2, 2, 2], 64, ResNetStem::ImageNet),
            resnet(Block::Bottleneck, [1, 2, 1, 1], 4, ResNetStem::Cifar),
            Architecture::ResNet(ResNet {
                block: Block::Bottleneck,
                blocks: [1; 4],
                width: 8,
                width_per_group: 128,
                groups: 1,
                stem: ResNetStem::ImageNet,
                channels: 3,
            }),
            Architecture::Vit(vit(VitStem::Patch)),
            Architecture::Vit(vit(VitStem::Conv)),
            Architecture::Vit(Vit { layer_scale: true, registers: 4, ..vit(VitStem::Patch) }),
            Architecture::ResNet(ResNet {
                block: Block::Basic,
                blocks: [1; 4],
                width: 8,
                stem: ResNetStem::Cifar,
                width_per_group: 64,
                groups: 1,
                channels: 5,
            }),
            Architecture::Vit(Vit { channels: 4, ..vit(VitStem::Patch) }),
            Architecture::Vit(Vit { channels: 1, ..vit(VitStem::Conv) }),
            Architecture::Vit(Vit {
                class_token: false,
                positions: None,
                norm: false,
                patch: 4,
                ..vit(VitStem::Patch)
            }),
        ] {
            assert_eq!(detect(&tensors_of(&layout(&architecture))).unwrap(), architecture);
        }
    }

    #[test]
    fn what_is_no_encoder_is_told_by_what_it_lacks() {
        let told = |tensors: &Tensors| detect(tensors).unwrap_err().to_string();
        assert_eq!(told(&Tensors::new()), "there are no weights");
        let mut tensors = tensors_of(&layout(&resnet(Block::Basic, [1; 4], 4, ResNetStem::Cifar)));
        tensors.remove("layer3.0.conv1.weight");
        assert_eq!(
            told(&tensors),
            "a ResNet has blocks in each of four stages, but this one has [1, 1, 0, 1]"
        );
        tensors
            .insert("conv1.weight".into(), Stored::F32 { shape: vec![4, 3, 5, 5], values: vec![0.0; 300] });
        assert_eq!(told(&tensors), "`conv1.weight` is [4, 3, 5, 5], expected a kernel of 7x7 or 3x3");
        let mut tensors = tensors_of(&layout(&Architecture::Vit(vit(VitStem::Patch))));
        tensors.remove("blocks.0.mlp.fc1.weight");
        assert_eq!(told(&tensors), "`blocks.0.mlp.fc1.weight` is missing");
        let one = tensors_of(&[("visual.proj".into(), Shape::Floats(vec![2]))]);
        assert!(told(&one).starts_with("`visual.proj` belongs to no known ResNet"), "{}", told(&one));
    }
}
