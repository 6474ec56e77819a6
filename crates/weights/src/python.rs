//! The Python code that loads an exported file strictly.

use crate::onnx::{FEATURES, LOGITS};
use crate::{Architecture, HeadLayer, HeadLayers, ResNet, ResNetStem, Target, Vit, VitStem};

/// What the code depends on besides the architecture.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The exported file, as the code should name it.
    pub file: &'a str,
    /// Height and width of the images that the encoder was trained on, in pixels.
    pub image_size: (usize, usize),
    /// Mean of each channel, for bytes scaled to 0–1.
    pub mean: &'a [f32],
    /// Standard deviation of the same.
    pub std: &'a [f32],
    /// The head, if it was exported too, or the classifier.
    pub head: Option<&'a HeadLayers>,
    /// The names of the classes, if `head` is a classifier; otherwise there are none.
    pub classes: &'a [String],
}

/// Python code that creates `model` from the exported file, ready to compute features. For repositories with their own
/// file format, the code writes such a file and shows how to use it.
///
/// The encoder must be one that [`Target::check`] accepts.
pub fn loading_lines(target: Target, architecture: &Architecture, facts: &Facts<'_>) -> String {
    match (target, architecture) {
        (Target::Torchvision, Architecture::ResNet(resnet)) => torchvision_resnet(resnet, facts),
        (Target::Torchvision, Architecture::Vit(vit)) => torchvision_vit(vit, facts),
        (Target::Timm, Architecture::ResNet(resnet)) => timm_resnet(resnet, facts),
        (Target::Timm, Architecture::Vit(vit)) => timm_vit(vit, facts),
        (Target::Deit, _) => deit(architecture, facts),
        (Target::Detectron2, _) => detectron2(architecture, facts),
        (Target::Moco | Target::MocoV3, _) => moco(target, architecture, facts),
        (Target::Onnx, _) => onnx(facts),
    }
}

fn torchvision_resnet(resnet: &ResNet, facts: &Facts<'_>) -> String {
    let mut lines = String::from("import torch, torchvision\nfrom safetensors.torch import load_file\n\n");
    let blocks = resnet.blocks;
    let block = format!("torchvision.models.resnet.{}", block_class(resnet));
    if resnet.width == 64 {
        match resnet.published() {
            Some(name) => lines += &format!("model = torchvision.models.{name}()\n"),
            None => {
                let wide = widths(("groups", "width_per_group"), resnet);
                lines += &format!("model = torchvision.models.ResNet({block}, {blocks:?}{wide})\n");
            }
        }
    } else {
        // The first width is a constant of torchvision's constructor; stages are built by a method.
        let width = resnet.width;
        lines += &format!(
            "class ResNet(torchvision.models.ResNet):  # torchvision's width is 64, this one's is {width}\n    \
                 def _make_layer(self, block, planes, *rest, **named):\n        \
                     if planes == 64:\n            \
                         self.inplanes = {width}\n        \
                     return super()._make_layer(block, planes * {width} // 64, *rest, **named)\n\n\
             model = ResNet({block}, {blocks:?}{})\n",
            widths(("groups", "width_per_group"), resnet)
        );
        lines += &imagenet_stem(resnet);
        lines += &format!("model.bn1 = torch.nn.BatchNorm2d({width})\n");
    }
    if resnet.width == 64 && resnet.channels != 3 {
        lines += &imagenet_stem(resnet);
    }
    lines += &cifar_stem(resnet);
    lines += &format!("model.fc = {}\n", head_module(facts.head));
    lines + &load(facts)
}

fn timm_resnet(resnet: &ResNet, facts: &Facts<'_>) -> String {
    let in_chans = in_chans(resnet.channels);
    let mut lines = String::from("import timm, torch\nfrom safetensors.torch import load_file\n\n");
    match resnet.published() {
        Some(name) => {
            lines += &format!("model = timm.create_model(\"{name}\", num_classes=0{in_chans})\n");
        }
        None => {
            lines += &format!(
                "model = timm.models.resnet.ResNet(timm.models.resnet.{}, {:?}, num_classes=0{in_chans}{})\n",
                block_class(resnet),
                resnet.blocks,
                widths(("cardinality", "base_width"), resnet)
            );
        }
    }
    lines += &cifar_stem(resnet);
    if facts.head.is_some() {
        lines += &format!("model.fc = {}\n", head_module(facts.head));
    }
    lines + &load(facts)
}

/// A constructor's arguments for groups and their width, where the inner layers of the blocks have others than usual.
fn widths((groups, width): (&str, &str), resnet: &ResNet) -> String {
    [(groups, resnet.groups, 1), (width, resnet.width_per_group, 64)]
        .into_iter()
        .filter(|(_, value, usual)| value != usual)
        .map(|(argument, value, _)| format!(", {argument}={value}"))
        .collect()
}

fn block_class(resnet: &ResNet) -> String {
    format!("{:?}", resnet.block) + if resnet.block == crate::Block::Basic { "Block" } else { "" }
}

/// The first layer, where it is not the one of torchvision's constructor.
fn imagenet_stem(resnet: &ResNet) -> String {
    match resnet.stem {
        ResNetStem::ImageNet => format!(
            "model.conv1 = torch.nn.Conv2d({}, {}, 7, 2, 3, bias=False)\n",
            resnet.channels, resnet.width
        ),
        ResNetStem::Cifar => String::new(),
    }
}

fn cifar_stem(resnet: &ResNet) -> String {
    match resnet.stem {
        ResNetStem::ImageNet => String::new(),
        ResNetStem::Cifar => format!(
            "model.conv1 = torch.nn.Conv2d({}, {}, 3, 1, 1, bias=False)  # the CIFAR stem\n\
             model.maxpool = torch.nn.Identity()\n",
            resnet.channels, resnet.width
        ),
    }
}

/// timm's argument for images of other than three channels.
fn in_chans(channels: usize) -> String {
    if channels == 3 { String::new() } else { format!(", in_chans={channels}") }
}

fn torchvision_vit(vit: &Vit, facts: &Facts<'_>) -> String {
    let (height, _) = facts.image_size;
    let mut lines = String::from("import torch, torchvision\nfrom safetensors.torch import load_file\n\n");
    lines += &format!(
        "model = torchvision.models.VisionTransformer(\n    \
             image_size={height}, patch_size={}, num_layers={}, num_heads={}, hidden_dim={}, mlp_dim={},\n)\n",
        vit.patch,
        vit.depth,
        heads(vit),
        vit.dim,
        vit.hidden
    );
    if vit.channels != 3 {
        let Vit { channels, dim, patch, .. } = vit;
        lines += &format!("model.conv_proj = torch.nn.Conv2d({channels}, {dim}, {patch}, {patch})\n");
    }
    let is_classifier = !facts.classes.is_empty() && matches!(facts.head, Some(HeadLayers::Linear(_)));
    let place = if is_classifier { "heads.head" } else { "heads" };
    lines += &format!("model.{place} = {}\n", head_module(facts.head));
    lines + &load(facts)
}

fn timm_vit(vit: &Vit, facts: &Facts<'_>) -> String {
    let (height, width) = facts.image_size;
    let mut lines = String::from(
        "from functools import partial\n\nimport torch\nfrom safetensors.torch import load_file\n\
         from timm.models.vision_transformer import VisionTransformer\n\n",
    );
    let pool = if vit.class_token {
        "class_token=True, global_pool=\"token\""
    } else {
        "class_token=False, global_pool=\"avg\""
    };
    let mut extras = String::new();
    if vit.layer_scale {
        extras += ", init_values=1.0";
    }
    if vit.registers > 0 {
        extras += &format!(", reg_tokens={}", vit.registers);
    }
    let positions = if vit.positions.is_some() { "learn" } else { "none" };
    let norm = if vit.norm { "True" } else { "False" };
    lines += &format!(
        "model = VisionTransformer(\n    \
             img_size=({height}, {width}), patch_size={}, embed_dim={}, depth={}, num_heads={}, mlp_ratio={:?},\n    \
             {pool}, pos_embed=\"{positions}\"{extras},\n    \
             final_norm={norm}, fc_norm=False, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), num_classes=0{},\n)\n",
        vit.patch,
        vit.dim,
        vit.depth,
        heads(vit),
        vit.hidden as f64 / vit.dim as f64,
        in_chans(vit.channels),
    );
    if facts.head.is_some() {
        lines += &format!("model.head = {}\n", head_module(facts.head));
    }
    lines + &load(facts)
}

fn heads(vit: &Vit) -> String {
    vit.heads.map_or_else(|| "...".into(), |heads| heads.to_string())
}

fn load(facts: &Facts<'_>) -> String {
    format!(
        "model.load_state_dict(load_file({}), strict=True)\n\
         model.eval()\n\
         # Input: {} {} scaled to 0-1, minus {:?}, divided by {:?}.\n",
        quoted(facts.file),
        size(facts),
        images(facts),
        facts.mean,
        facts.std
    ) + &classes(facts)
}

/// The names of the classes, if there are any, and how the outputs lead to them.
fn classes(facts: &Facts<'_>) -> String {
    if facts.classes.is_empty() {
        return String::new();
    }
    let names = serde_json::Value::from(facts.classes.to_vec());
    format!(
        "# Output: logits, one for each class; classes[i] for each i in model(images).argmax(1) is what it takes images for.\n\
         classes = {names}\n"
    )
}

fn images(facts: &Facts<'_>) -> String {
    match facts.mean.len() {
        3 => "RGB images".into(),
        1 => "images of 1 channel".into(),
        n => format!("images of {n} channels"),
    }
}

fn size(facts: &Facts<'_>) -> String {
    format!("{}x{}", facts.image_size.0, facts.image_size.1)
}

/// The PyTorch module that a head is.
fn head_module(head: Option<&HeadLayers>) -> String {
    match head {
        None | Some(HeadLayers::Identity) => "torch.nn.Identity()".into(),
        Some(HeadLayers::Linear(layer)) => layer_module(layer),
        Some(HeadLayers::Sequence(layers)) => {
            let layers: Vec<String> =
                layers.iter().map(|layer| format!("    {},\n", layer_module(layer))).collect();
            format!("torch.nn.Sequential(\n{})", layers.concat())
        }
    }
}

fn layer_module(layer: &HeadLayer) -> String {
    match layer {
        HeadLayer::Linear { n_inputs, n_outputs, bias: true } => {
            format!("torch.nn.Linear({n_inputs}, {n_outputs})")
        }
        HeadLayer::Linear { n_inputs, n_outputs, bias: false } => {
            format!("torch.nn.Linear({n_inputs}, {n_outputs}, bias=False)")
        }
        HeadLayer::BatchNorm { n, affine: true } => format!("torch.nn.BatchNorm1d({n})"),
        HeadLayer::BatchNorm { n, affine: false } => format!("torch.nn.BatchNorm1d({n}, affine=False)"),
        HeadLayer::Relu => "torch.nn.ReLU()".into(),
    }
}

fn deit(architecture: &Architecture, facts: &Facts<'_>) -> String {
    let made = with_extension(facts.file, "pth");
    let mut lines = format!(
        "import torch\nfrom safetensors.torch import load_file\n\n\
         torch.save({{\"model\": load_file({})}}, {made})\n\
         # Then, in facebookresearch/deit: python main.py --finetune {made} --input-size {} ...\n",
        quoted(facts.file),
        facts.image_size.0,
    );
    if let Architecture::Vit(vit) = architecture {
        lines += &format!(
            "# Its model must be a VisionTransformer(patch_size={}, embed_dim={}, depth={}, num_heads={}, mlp_ratio={:?}).\n",
            vit.patch,
            vit.dim,
            vit.depth,
            heads(vit),
            vit.hidden as f64 / vit.dim as f64,
        );
        if !facts.classes.is_empty() {
            lines += &format!(
                "# For a dataset of {} classes, its --resume {made} --eval takes the classifier too.\n",
                facts.classes.len()
            );
            lines += &format!("classes = {}\n", serde_json::Value::from(facts.classes.to_vec()));
        }
        if vit.dim == 384 && vit.heads == Some(12) {
            lines += "# Its deit_small_patch16_224 has 6 heads: set num_heads=12 in its models.py, because shapes do not show it.\n";
        }
    }
    lines
}

fn detectron2(architecture: &Architecture, facts: &Facts<'_>) -> String {
    let made = with_extension(facts.file, "pkl");
    let in_bytes = |values: &[f32]| -> Vec<f64> {
        values.iter().map(|value| (f64::from(*value) * 255.0 * 1000.0).round() / 1000.0).collect()
    };
    let mut lines = format!(
        "import pickle\n\nfrom safetensors.numpy import load_file\n\n\
         with open({made}, \"wb\") as file:\n    \
             pickle.dump({{\"model\": load_file({}), \"__author__\": \"moco-rs\", \"matching_heuristics\": True}}, file)\n\
         # Then, in detectron2's config: MODEL.WEIGHTS {made}, INPUT.FORMAT \"RGB\", MODEL.RESNETS.STRIDE_IN_1X1 False,\n\
         # MODEL.PIXEL_MEAN {:?}, MODEL.PIXEL_STD {:?}",
        quoted(facts.file),
        in_bytes(facts.mean),
        in_bytes(facts.std),
    );
    if let Architecture::ResNet(resnet) = architecture {
        if let Some(layers) = resnet.depth() {
            lines += &format!(",\n# MODEL.RESNETS.DEPTH {layers}");
        }
        if resnet.groups != 1 {
            lines += &format!(", MODEL.RESNETS.NUM_GROUPS {}", resnet.groups);
        }
        if resnet.width_per_group != 64 {
            let of_group = resnet.inner_width(0) / resnet.groups;
            lines += &format!(", MODEL.RESNETS.WIDTH_PER_GROUP {of_group}");
        }
        if resnet.width != 64 || resnet.block == crate::Block::Basic {
            let res2 = resnet.width * resnet.block.expansion();
            lines += &format!(
                ", MODEL.RESNETS.STEM_OUT_CHANNELS {}, MODEL.RESNETS.RES2_OUT_CHANNELS {res2}",
                resnet.width
            );
        }
    }
    lines + ".\n"
}

/// torchvision's name of it, if it has one.
fn torchvision_name(resnet: &ResNet) -> Option<&'static str> {
    if resnet.width != 64 || resnet.stem != ResNetStem::ImageNet || resnet.channels != 3 {
        return None;
    }
    resnet.published()
}

fn moco(target: Target, architecture: &Architecture, facts: &Facts<'_>) -> String {
    let made = with_extension(facts.file, "pth.tar");
    let name = match architecture {
        Architecture::ResNet(resnet) => torchvision_name(resnet),
        Architecture::Vit(vit) => moco_v3_name(vit),
    };
    let repository = if target == Target::Moco { "moco" } else { "moco-v3" };
    let arch = name.map(|name| format!("\"arch\": \"{name}\", ")).unwrap_or_default();
    let then = match name {
        Some(name) => format!(
            "# Then, in facebookresearch/{repository}: python main_lincls.py -a {name} --pretrained {made} ...\n"
        ),
        None => format!(
            "# facebookresearch/{repository} has no constructor for this encoder ({}): its scripts need one before they can\n\
             # load this.\n",
            architecture.describe()
        ),
    };
    format!(
        "import torch\nfrom safetensors.torch import load_file\n\n\
         torch.save({{{arch}\"state_dict\": load_file({})}}, {made})\n{then}",
        quoted(facts.file)
    )
}

fn onnx(facts: &Facts<'_>) -> String {
    let output = if facts.classes.is_empty() { FEATURES } else { LOGITS };
    format!(
        "import onnxruntime\n\n\
         session = onnxruntime.InferenceSession({})\n\
         model = lambda images: session.run([\"{output}\"], {{\"images\": images}})[0]\n\
         # Input: a float32 array (N, {}, {}, {}) of {} scaled to 0-1, minus {:?}, divided by {:?}.\n",
        quoted(facts.file),
        facts.mean.len(),
        facts.image_size.0,
        facts.image_size.1,
        images(facts),
        facts.mean,
        facts.std
    ) + &classes(facts)
}

/// The `-a` argument of facebookresearch/moco-v3 for this ViT.
fn moco_v3_name(vit: &Vit) -> Option<&'static str> {
    let is = |dim, depth| {
        let sizes = (vit.dim, vit.depth, vit.hidden, vit.heads, vit.patch, vit.channels);
        sizes == (dim, depth, 4 * dim, Some(12), 16, 3)
    };
    match vit.stem {
        VitStem::Patch if is(384, 12) => Some("vit_small"),
        VitStem::Patch if is(768, 12) => Some("vit_base"),
        VitStem::Conv if is(384, 11) => Some("vit_conv_small"),
        VitStem::Conv if is(768, 11) => Some("vit_conv_base"),
        _ => None,
    }
}

/// A Python string of `file` with another extension instead of `.safetensors`.
fn with_extension(file: &str, extension: &str) -> String {
    quoted(&format!("{}.{extension}", file.strip_suffix(".safetensors").unwrap_or(file)))
}

/// A Python string.
fn quoted(text: &str) -> String {
    // JSON escapes are valid in Python, except for characters beyond 16 bits, which JSON does not need to escape.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Block;

    fn facts<'a>(head: Option<&'a HeadLayers>) -> Facts<'a> {
        let (mean, std) = (&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]);
        Facts { file: "a/\"e\".safetensors", image_size: (32, 32), mean, std, head, classes: &[] }
    }

    #[test]
    fn published_encoders_have_short_constructors_and_others_long_ones() {
        let resnet = |width, stem| {
            Architecture::ResNet(ResNet {
                block: Block::Basic,
                blocks: [2; 4],
                width,
                stem,
                width_per_group: 64,
                groups: 1,
                channels: 3,
            })
        };
        let lines = loading_lines(Target::Torchvision, &resnet(64, ResNetStem::ImageNet), &facts(None));
        let expected = "import torch, torchvision
from safetensors.torch import load_file

model = torchvision.models.resnet18()
model.fc = torch.nn.Identity()
model.load_state_dict(load_file(\"a/\\\"e\\\".safetensors\"), strict=True)
model.eval()
# Input: 32x32 RGB images scaled to 0-1, minus [0.485, 0.456, 0.406], divided by [0.229, 0.224, 0.225].
";
        assert_eq!(lines, expected);
        let lines = loading_lines(Target::Torchvision, &resnet(4, ResNetStem::Cifar), &facts(None));
        assert!(lines.contains("planes * 4 // 64") && lines.contains("Conv2d(3, 4, 3, 1, 1"), "{lines}");
        let lines = loading_lines(Target::Moco, &resnet(4, ResNetStem::Cifar), &facts(None));
        assert!(lines.contains("has no constructor for this encoder (resnet18, width 4"), "{lines}");
        assert!(lines.contains("\"a/\\\"e\\\".pth.tar\""), "{lines}");
        let lines = loading_lines(Target::Detectron2, &resnet(64, ResNetStem::ImageNet), &facts(None));
        assert!(lines.contains("PIXEL_MEAN [123.675, 116.28, 103.53]"), "{lines}");
        assert!(lines.contains("DEPTH 18, MODEL.RESNETS.STEM_OUT_CHANNELS 64"), "{lines}");
    }

    #[test]
    fn wide_resnets_have_their_own_names_or_say_how_wide_they_are() {
        let wide = |width, width_per_group, blocks| {
            let (block, stem) = (Block::Bottleneck, ResNetStem::ImageNet);
            Architecture::ResNet(ResNet {
                block,
                blocks,
                width,
                width_per_group,
                groups: 1,
                stem,
                channels: 3,
            })
        };
        let has = |target, architecture: &Architecture, piece: &str| {
            let lines = loading_lines(target, architecture, &facts(None));
            assert!(lines.contains(piece), "{piece} is not in\n{lines}");
        };
        let published = wide(64, 128, [3, 4, 6, 3]);
        has(Target::Torchvision, &published, "torchvision.models.wide_resnet50_2()");
        has(Target::Timm, &published, "timm.create_model(\"wide_resnet50_2\", num_classes=0)");
        has(Target::Moco, &published, "main_lincls.py -a wide_resnet50_2");
        has(Target::Detectron2, &published, "DEPTH 50, MODEL.RESNETS.WIDTH_PER_GROUP 128");
        let other = wide(64, 96, [1, 1, 1, 1]);
        has(
            Target::Torchvision,
            &other,
            "ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], width_per_group=96)",
        );
        has(Target::Timm, &other, "[1, 1, 1, 1], num_classes=0, base_width=96)");
        has(
            Target::Torchvision,
            &wide(8, 128, [1, 1, 1, 1]),
            "model = ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], width_per_group=128)",
        );
    }

    #[test]
    fn resnexts_have_their_own_names_or_say_their_groups() {
        let resnext = |blocks, (groups, width_per_group), width| {
            let (block, stem) = (Block::Bottleneck, ResNetStem::ImageNet);
            Architecture::ResNet(ResNet { block, blocks, width, width_per_group, groups, stem, channels: 3 })
        };
        let has = |target, architecture: &Architecture, piece: &str| {
            let lines = loading_lines(target, architecture, &facts(None));
            assert!(lines.contains(piece), "{piece} is not in\n{lines}");
        };
        for (blocks, widths, name) in [
            ([3, 4, 6, 3], (32, 4), "resnext50_32x4d"),
            ([3, 4, 23, 3], (32, 8), "resnext101_32x8d"),
            ([3, 4, 23, 3], (64, 4), "resnext101_64x4d"),
        ] {
            let published = resnext(blocks, widths, 64);
            has(Target::Torchvision, &published, &format!("torchvision.models.{name}()"));
            has(Target::Timm, &published, &format!("timm.create_model(\"{name}\", num_classes=0)"));
            has(Target::Moco, &published, &format!("main_lincls.py -a {name}"));
        }
        let x101 = resnext([3, 4, 23, 3], (32, 8), 64);
        has(
            Target::Detectron2,
            &x101,
            "DEPTH 101, MODEL.RESNETS.NUM_GROUPS 32, MODEL.RESNETS.WIDTH_PER_GROUP 8",
        );
        let other = resnext([1, 1, 1, 1], (16, 8), 64);
        has(Target::Torchvision, &other, "Bottleneck, [1, 1, 1, 1], groups=16, width_per_group=8)");
        has(Target::Timm, &other, "[1, 1, 1, 1], num_classes=0, cardinality=16, base_width=8)");
        has(
            Target::Torchvision,
            &resnext([1, 1, 1, 1], (4, 64), 8),
            "model = ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], groups=4)",
        );
        let narrow = resnext([3, 4, 6, 3], (4, 16), 8);
        has(Target::Detectron2, &narrow, "NUM_GROUPS 4, MODEL.RESNETS.WIDTH_PER_GROUP 2, ");
    }

    #[test]
    fn encoders_of_other_images_than_rgb_get_a_first_layer_of_their_channels() {
        let (mean, std) = (&[0.5; 4], &[0.25; 4]);
        let facts =
            Facts { file: "e.safetensors", image_size: (96, 64), mean, std, head: None, classes: &[] };
        let resnet = |width, stem| {
            Architecture::ResNet(ResNet {
                block: Block::Basic,
                blocks: [2; 4],
                width,
                stem,
                width_per_group: 64,
                groups: 1,
                channels: 4,
            })
        };
        let has = |target, architecture: &Architecture, piece: &str| {
            let lines = loading_lines(target, architecture, &facts);
            assert!(lines.contains(piece), "{piece} is not in\n{lines}");
        };
        let (wide, narrow) = (resnet(64, ResNetStem::ImageNet), resnet(8, ResNetStem::Cifar));
        has(Target::Torchvision, &wide, "model.conv1 = torch.nn.Conv2d(4, 64, 7, 2, 3, bias=False)\n");
        has(Target::Torchvision, &narrow, "model.conv1 = torch.nn.Conv2d(4, 8, 3, 1, 1, bias=False)");
        has(
            Target::Torchvision,
            &wide,
            "# Input: 96x64 images of 4 channels scaled to 0-1, minus [0.5, 0.5, 0.5, 0.5]",
        );
        has(Target::Timm, &wide, "timm.create_model(\"resnet18\", num_classes=0, in_chans=4)");
        has(Target::Onnx, &wide, "(N, 4, 96, 64) of images of 4 channels");
        has(Target::Moco, &wide, "has no constructor for this encoder (resnet18, images of 4 channels)");
        let vit = Architecture::Vit(Vit {
            patch: 8,
            dim: 16,
            depth: 1,
            heads: Some(2),
            hidden: 64,
            class_token: true,
            positions: Some(97),
            norm: true,
            stem: VitStem::Patch,
            layer_scale: false,
            registers: 0,
            channels: 4,
        });
        has(Target::Timm, &vit, "num_classes=0, in_chans=4,\n)");
        has(Target::Torchvision, &vit, "model.conv_proj = torch.nn.Conv2d(4, 16, 8, 8)\n");
    }

    #[test]
    fn a_classifier_comes_with_the_names_of_its_classes() {
        let layers = HeadLayers::Linear(HeadLayer::Linear { n_inputs: 16, n_outputs: 2, bias: true });
        let names = ["ant".to_owned(), "\"bee\"".to_owned()];
        let facts = Facts { classes: &names, ..facts(Some(&layers)) };
        let vit = Architecture::Vit(Vit {
            patch: 8,
            dim: 16,
            depth: 1,
            heads: Some(2),
            hidden: 64,
            class_token: true,
            positions: Some(17),
            norm: true,
            stem: VitStem::Patch,
            layer_scale: false,
            registers: 0,
            channels: 3,
        });
        let has = |target, piece: &str| {
            let lines = loading_lines(target, &vit, &facts);
            assert!(lines.contains(piece), "{piece} is not in\n{lines}");
            assert!(lines.contains("classes = [\"ant\",\"\\\"bee\\\"\"]\n"), "{lines}");
        };
        has(Target::Torchvision, "model.heads.head = torch.nn.Linear(16, 2)\n");
        has(Target::Timm, "model.head = torch.nn.Linear(16, 2)\n");
        has(Target::Onnx, "session.run([\"logits\"], ");
        has(Target::Deit, "For a dataset of 2 classes");
    }

    #[test]
    fn deit_is_told_of_the_heads_of_the_small_vit() {
        let vit = Architecture::Vit(Vit {
            patch: 16,
            dim: 384,
            depth: 12,
            heads: Some(12),
            hidden: 1536,
            class_token: true,
            positions: Some(197),
            norm: true,
            stem: VitStem::Patch,
            layer_scale: false,
            registers: 0,
            channels: 3,
        });
        assert!(loading_lines(Target::Deit, &vit, &facts(None)).contains("set num_heads=12"));
        assert!(loading_lines(Target::MocoV3, &vit, &facts(None)).contains("-a vit_small"));
    }
}
