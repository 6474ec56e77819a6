//! The `config.json` by which `timm.create_model("local-dir:FOLDER", pretrained=True)` builds an exported encoder.

use serde_json::{Value, json};

use crate::{Architecture, Facts, ResNet, ResNetStem, Vit, VitStem};

/// The config of an encoder without a classifier, whose weights lie beside it as `model.safetensors`, by timm's names
/// ([`Target::Timm`](crate::Target::Timm)). `None` if no model of timm's list is this encoder: its ResNets have no CIFAR stem, for
/// instance.
///
/// `resized_to` is the length in pixels that the shorter side of an image is made, before its center is cut out: timm then prepares
/// images so.
pub fn timm_config(
    architecture: &Architecture,
    facts: &Facts<'_>,
    resized_to: Option<usize>,
) -> Option<Value> {
    let (name, arguments, is_fixed) = match architecture {
        Architecture::ResNet(resnet) => (resnet_name(resnet)?, json!({}), false),
        Architecture::Vit(vit) => vit_arguments(vit)?,
    };
    let first = match architecture {
        Architecture::ResNet(_) => "conv1",
        Architecture::Vit(_) => "patch_embed.proj",
    };
    let classifier = match architecture {
        Architecture::ResNet(_) => "fc",
        Architecture::Vit(_) => "head",
    };
    let (height, width) = facts.image_size;
    Some(json!({
        "architecture": name,
        "num_classes": 0,
        "num_features": architecture.n_features(),
        "model_args": arguments,
        "pretrained_cfg": {
            "custom_load": false,
            "num_classes": 0,
            "input_size": [architecture.channels(), height, width],
            "fixed_input_size": is_fixed,
            "interpolation": "bilinear",
            "crop_pct": resized_to.map_or(1.0, |side| crop_share(height, side)),
            "crop_mode": "center",
            "mean": decimals(facts.mean),
            "std": decimals(facts.std),
            "first_conv": first,
            "classifier": classifier,
        },
    }))
}

/// The share of `side` that a crop of `height` is, so that timm, which divides and rounds down, comes to `side` again.
fn crop_share(height: usize, side: usize) -> f64 {
    let height = height as f64;
    let share = height / side as f64;
    if (height / share).floor() == side as f64 { share } else { height / (side as f64 + 0.5) }
}

fn resnet_name(resnet: &ResNet) -> Option<&'static str> {
    let is_plain = resnet.width == 64 && resnet.stem == ResNetStem::ImageNet;
    is_plain.then(|| resnet.published()).flatten()
}

/// A model of timm's list that takes all of these arguments, and the arguments.
fn vit_arguments(vit: &Vit) -> Option<(&'static str, Value, bool)> {
    if vit.stem == VitStem::Conv {
        return None;
    }
    let mut arguments = json!({
        "patch_size": vit.patch,
        "embed_dim": vit.dim,
        "depth": vit.depth,
        "num_heads": vit.heads?,
        "mlp_ratio": vit.hidden as f64 / vit.dim as f64,
        "class_token": vit.class_token,
        "global_pool": if vit.class_token { "token" } else { "avg" },
        "pos_embed": if vit.positions.is_some() { "learn" } else { "none" },
        "final_norm": vit.norm,
        "fc_norm": false,
        "reg_tokens": vit.registers,
    });
    if vit.layer_scale {
        // The weights replace it.
        arguments["init_values"] = json!(1.0);
    }
    Some(("vit_base_patch16_224", arguments, true))
}

/// The shortest decimals that give these numbers back.
fn decimals(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| value.to_string().parse().unwrap_or(f64::from(*value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Block;

    const FACTS: Facts<'_> = Facts {
        file: "model.safetensors",
        image_size: (96, 64),
        mean: &[0.4914, 0.4822, 0.4465],
        std: &[0.247, 0.2435, 0.2616],
        head: None,
        classes: &[],
    };

    fn resnet(width: usize, stem: ResNetStem) -> Architecture {
        Architecture::ResNet(ResNet {
            block: Block::Basic,
            blocks: [2; 4],
            width,
            stem,
            groups: 1,
            width_per_group: 64,
            channels: 3,
        })
    }

    #[test]
    fn timm_comes_to_the_side_that_images_were_resized_to() {
        assert_eq!(crop_share(224, 256), 0.875);
        for (height, side) in (1..400).flat_map(|height| (height..500).map(move |side| (height, side))) {
            assert_eq!((height as f64 / crop_share(height, side)).floor(), side as f64, "{height}, {side}");
        }
    }

    #[test]
    fn only_what_timm_has_has_a_config() {
        let config = timm_config(&resnet(64, ResNetStem::ImageNet), &FACTS, None).unwrap();
        assert_eq!((&config["architecture"], &config["num_features"]), (&json!("resnet18"), &json!(512)));
        assert_eq!(config["pretrained_cfg"]["input_size"], json!([3, 96, 64]));
        assert_eq!(config["pretrained_cfg"]["crop_pct"], json!(1.0));
        assert_eq!(config["pretrained_cfg"]["mean"].to_string(), "[0.4914,0.4822,0.4465]");
        assert_eq!(timm_config(&resnet(64, ResNetStem::Cifar), &FACTS, None), None);
        assert_eq!(timm_config(&resnet(8, ResNetStem::ImageNet), &FACTS, None), None);
    }
}
