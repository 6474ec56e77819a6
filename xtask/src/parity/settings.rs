//! The model in a golden file's settings.

use super::golden::{Golden, Kind};
use pipeline::Precision;

use crate::reference_pipeline::{Block, Depth, Encoder, Method, Moco, Rule, Stem, VitStem};
use moco_cli::Failure;

/// MoCo v1, v2 or v3, depending on the file's kind.
pub(super) fn read(golden: &Golden, kind: Kind) -> Result<Moco, Failure> {
    let (encoder, method, rule) = match kind {
        Kind::MocoV3 => {
            let encoder = encoder_v3(golden)?;
            let is_vit = matches!(encoder, Encoder::Vit { .. });
            let method = Method::InBatch {
                projector_layers: if is_vit { 3 } else { 2 },
                hidden: golden.setting("mlp_dim")?,
                predictor_last_norm: is_vit,
            };
            let rule = choice(golden, "optimizer", [("lars", Rule::Lars), ("adamw", Rule::AdamW)])?;
            (encoder, method, rule)
        }
        Kind::Moco | Kind::Augmentations | Kind::Loss => {
            let head = if truth(golden, "mlp")? { "mlp" } else { "linear" };
            let len: usize = golden.setting("queue")?;
            if len > golden.n_bytes() {
                return Err(golden
                    .wrong(format!("its setting `queue` is {len}, and it has no room for so many keys")));
            }
            let method = Method::Queue { head, len };
            (resnet(golden)?, method, Rule::Sgd(golden.setting("sgd_momentum")?))
        }
    };
    let momentum = if kind == Kind::MocoV3 { "momentum0" } else { "momentum" };
    Ok(Moco {
        encoder,
        method,
        dim: golden.setting("dim")?,
        temperature: golden.setting("temperature")?,
        momentum: golden.setting(momentum)?,
        rule,
        lr: golden.setting("lr")?,
        weight_decay: golden.setting("weight_decay")?,
        batch: golden.setting("batch")?,
        size: golden.setting("size")?,
        seed: 0,
        precision: Precision::F32,
    })
}

/// The ResNet of v1 or v2.
fn resnet(golden: &Golden) -> Result<Encoder, Failure> {
    let block = choice(golden, "block", [("BasicBlock", Block::Basic), ("Bottleneck", Block::Bottleneck)])?;
    let layers = golden.setting_text("layers")?;
    let blocks: Option<Vec<usize>> = layers
        .strip_prefix('[')
        .and_then(|list| list.strip_suffix(']'))
        .and_then(|list| list.split(',').map(|n| n.trim().parse().ok()).collect());
    let blocks = blocks
        .ok_or_else(|| golden.wrong(format!("its setting `layers` has the invalid value `{layers}`")))?;
    let stem = choice(golden, "stem", [("cifar", Stem::Cifar), ("imagenet", Stem::ImageNet)])?;
    Ok(Encoder::ResNet { depth: Depth::Blocks(blocks, block), width: golden.setting("width")?, stem })
}

fn encoder_v3(golden: &Golden) -> Result<Encoder, Failure> {
    let is_vit = choice(golden, "backbone", [("vit", true), ("resnet", false)])?;
    if !is_vit {
        return resnet_of_shapes(golden);
    }
    Ok(Encoder::Vit {
        patch: golden.setting("patch")?,
        dim: golden.setting("embed")?,
        depth: golden.setting("depth")?,
        heads: golden.setting("heads")?,
        stem: if truth(golden, "conv_stem")? { VitStem::Conv } else { VitStem::Patch },
        freeze_patch_projection: truth(golden, "stop_grad_conv1")?,
    })
}

/// The ResNet of v3, which is derived from its tensors, because the settings do not describe it.
fn resnet_of_shapes(golden: &Golden) -> Result<Encoder, Failure> {
    const PREFIX: &str = "init/base_encoder.";
    let (shape, _) = golden.floats(&format!("{PREFIX}conv1.weight"))?;
    let &[width, 3, side, _] = shape else {
        return Err(
            golden.wrong(format!("`{PREFIX}conv1.weight` is {shape:?}, which is not the kernel of a stem"))
        );
    };
    let has = |name: &str| golden.under(PREFIX).any(|(found, _)| found == name);
    let n_blocks =
        |stage: usize| (0..).take_while(|i| has(&format!("layer{stage}.{i}.conv1.weight"))).count();
    let block = if has("layer1.0.conv3.weight") { Block::Bottleneck } else { Block::Basic };
    let depth = Depth::Blocks((1..=4).map(n_blocks).collect(), block);
    Ok(Encoder::ResNet { depth, width, stem: if side == 3 { Stem::Cifar } else { Stem::ImageNet } })
}

fn truth(golden: &Golden, setting: &str) -> Result<bool, Failure> {
    choice(golden, setting, [("True", true), ("False", false)])
}

fn choice<T>(golden: &Golden, setting: &str, known: [(&str, T); 2]) -> Result<T, Failure> {
    let found = golden.setting_text(setting)?;
    let names = known.each_ref().map(|(name, _)| *name);
    let value = known.into_iter().find(|(name, _)| *name == found);
    value.map(|(_, value)| value).ok_or_else(|| {
        let [one, other] = names;
        golden.wrong(format!("its setting `{setting}` is `{found}`, but only {one} and {other} are known"))
    })
}
