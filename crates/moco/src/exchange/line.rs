//! What to write in a pipeline for the encoder in a file.

use weights::{Architecture, Block, Convention, Encoders, ResNet, ResNetStem, Vit, VitStem, shown};

use super::error::n_channels;

/// The backbone of a pipeline for the encoder in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackboneLine {
    /// The entry of `modules`: `"backbone": ("resnet", (depth: 50)),`.
    pub line: String,
    /// What the file does not tell, or tells of the views, a sentence each.
    pub notes: Vec<String>,
}

impl BackboneLine {
    /// The line for the query encoder of `encoders`, which is of this `architecture`.
    pub(super) fn of(encoders: &Encoders, architecture: &Architecture) -> Self {
        let entry = |config: &str| format!("\"backbone\": {config},");
        let mut notes = Vec::new();
        let config = match architecture {
            Architecture::ResNet(of) => format!("(\"resnet\", ({}))", resnet(of)),
            Architecture::Vit(of) => {
                let (config, of_heads) = vit(of, encoders.convention);
                if encoders.backbone.is_none() {
                    notes.extend(of_heads);
                }
                format!("(\"vit\", ({config}))")
            }
        };
        notes.push(views(encoders, architecture));
        if architecture.channels() != 3 {
            notes.push(format!("images of {}", n_channels(architecture.channels())));
        }
        if !encoders.convention.has_projection_heads() || encoders.query.head.is_empty() {
            notes.push("the file has no projection head: the pipeline's starts at random values".into());
        }
        let config = encoders.backbone.as_deref().map_or(config.into(), shown);
        Self { line: entry(&config), notes }
    }
}

/// What the file tells of the images.
fn views(encoders: &Encoders, architecture: &Architecture) -> String {
    let by_positions = match architecture {
        Architecture::Vit(vit) => vit.positions.and_then(|n| {
            // DINOv2 has no positions of registers.
            let before = [vit.n_before(), usize::from(vit.class_token), 0];
            before.into_iter().find_map(|before| {
                let n = n.checked_sub(before)?;
                let side = n.isqrt();
                (side * side == n).then_some((side * vit.patch, side * vit.patch))
            })
        }),
        Architecture::ResNet(_) => None,
    };
    match (encoders.image_size, by_positions, architecture) {
        (Some((height, width)), _, _) => format!("views of {height}x{width} pixels, as the file says"),
        (None, Some((height, width)), _) => {
            format!("views of {height}x{width} pixels, by its positions; for others they are made to fit")
        }
        (None, None, Architecture::Vit(vit)) => {
            format!("views of any size that patches of {} pixels divide: the file does not tell", vit.patch)
        }
        (None, None, Architecture::ResNet(_)) => "views of any size: the file does not tell".into(),
    }
}

fn resnet(resnet: &ResNet) -> String {
    let mut fields = match resnet.depth() {
        Some(depth) => vec![format!("depth: {depth}")],
        None => vec![format!("blocks: {:?}", resnet.blocks), format!("block: {}", name_of(resnet.block))],
    };
    if resnet.width != 64 {
        fields.push(format!("width: {}", resnet.width));
    }
    if resnet.groups != 1 {
        fields.push(format!("groups: {}", resnet.groups));
    }
    if resnet.width_per_group != 64 {
        fields.push(format!("width_per_group: {}", resnet.width_per_group));
    }
    if resnet.stem == ResNetStem::Cifar {
        fields.push("stem: Cifar".into());
    }
    fields.join(", ")
}

fn name_of(block: Block) -> &'static str {
    match block {
        Block::Basic => "Basic",
        Block::Bottleneck => "Bottleneck",
    }
}

/// The usual number of features of an attention head.
const HEAD_WIDTH: usize = 64;
/// The heads of MoCo v3's ViTs.
const HEADS_OF_V3: usize = 12;

/// The heads that timm, DeiT and DINO have for this width.
pub(super) fn usual_heads(dim: usize) -> usize {
    (1..=dim / HEAD_WIDTH).rev().find(|heads| dim.is_multiple_of(*heads)).unwrap_or(1)
}

/// The fields, and what is to be said of the heads, which no shape tells.
fn vit(vit: &Vit, convention: Convention) -> (String, Option<String>) {
    let usual = usual_heads(vit.dim);
    let (heads, why) = match vit.heads {
        Some(heads) => (heads, None),
        None if convention == Convention::MocoV3 && vit.dim.is_multiple_of(HEADS_OF_V3) => (
            HEADS_OF_V3,
            Some(format!("{HEADS_OF_V3} heads are those of MoCo v3's code: the file does not tell")),
        ),
        None => {
            let why = format!(
                "{heads} are usual for this width, and MoCo v3's small ViT has {HEADS_OF_V3}",
                heads = usual
            );
            (usual, Some(format!("the file does not tell how many heads it has: {why}")))
        }
    };
    let mut fields = vec![
        format!("patch: {}", vit.patch),
        format!("dim: {}", vit.dim),
        format!("depth: {}", vit.depth),
        format!("heads: {heads}"),
    ];
    if vit.hidden != 4 * vit.dim {
        fields.push(format!("mlp_ratio: {:?}", vit.hidden as f64 / vit.dim as f64));
    }
    match vit.positions {
        None => fields.push("position: None".into()),
        // Fixed sines and cosines.
        Some(_) if convention == Convention::MocoV3 => {}
        Some(_) => fields.push("position: Learned".into()),
    }
    if !vit.class_token {
        fields.push(format!("pool: {}", if vit.norm { "Mean" } else { "MeanWithoutNorm" }));
    }
    if vit.layer_scale {
        fields.push("layer_scale: 1e-5".into());
    }
    if vit.registers > 0 {
        fields.push(format!("registers: {}", vit.registers));
    }
    if vit.stem == VitStem::Conv {
        fields.push("stem: Conv".into());
    }
    (fields.join(", "), why)
}
