//! The encoder.

use std::fmt;
use std::str::FromStr;

use pipeline::Precision;
use plugin_api::suggest;

use super::{Chosen, Method, Processor, RecipeError, Wishes};

/// An encoder by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// A ResNet of width 64 with so many layers: 18, 34 or 50.
    ResNet(usize),
    /// 192 wide, 12 blocks of 3 heads (DeiT's smallest).
    VitTiny,
    /// 384 wide, 12 blocks of 12 heads (MoCo v3's small).
    VitSmall,
    /// 768 wide, 12 blocks of 12 heads.
    VitBase,
}

/// The first layers of a ResNet, as the plugin `resnet` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// A 3x3 convolution that keeps the size.
    Cifar,
    /// A 7x7 convolution and a pool, which leave a quarter of the side.
    ImageNet,
}

/// From this size on, a ResNet starts by making images smaller.
const FIRST_IMAGENET_PX: usize = 96;

/// The least that the stems leave something of.
const fn least_px(stem: Stem) -> usize {
    match stem {
        Stem::Cifar => 8,
        Stem::ImageNet => 32,
    }
}

/// Rows of patches that a ViT should have at least.
const FEWEST_ROWS: usize = 8;

impl Backbone {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::ResNet(18), Self::ResNet(34), Self::ResNet(50), Self::VitTiny, Self::VitSmall, Self::VitBase];

    /// Whether it is a vision transformer.
    pub fn is_vit(self) -> bool {
        !matches!(self, Self::ResNet(_))
    }

    /// Whether it is as large as those of the papers, whose heads are wide.
    pub(super) fn is_large(self) -> bool {
        matches!(self, Self::ResNet(50) | Self::VitSmall | Self::VitBase)
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResNet(layers) => write!(f, "resnet{layers}"),
            Self::VitTiny => f.write_str("vit-tiny"),
            Self::VitSmall => f.write_str("vit-small"),
            Self::VitBase => f.write_str("vit-base"),
        }
    }
}

impl FromStr for Backbone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|backbone| backbone.to_string() == text).ok_or_else(|| {
            let names = Self::ALL.map(|backbone| backbone.to_string());
            format!("no encoder is named `{text}`; {}", suggest(text, &names))
        })
    }
}

impl fmt::Display for Stem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

pub(super) fn backbone(wishes: &Wishes) -> Chosen<Backbone> {
    match (wishes.backbone, wishes.processor) {
        (Some(backbone), _) => Chosen::given(backbone),
        (None, Processor::Cpu) => Chosen::new(
            Backbone::ResNet(18),
            "a ResNet-18 is what a CPU trains in hours; on a GPU it would be a ResNet-50",
        ),
        (None, Processor::Gpu) => {
            Chosen::new(Backbone::ResNet(50), "the papers' encoder, and fast enough on a GPU")
        }
    }
}

/// Runs learn as well with bfloat16 (`docs/src/kernels.md` compares them).
pub(super) fn precision(wishes: &Wishes) -> Chosen<Precision> {
    match wishes.has_bf16 {
        true => {
            Chosen::new(Precision::Bf16, "half the memory, and faster: bfloat16 is multiplied in pairs here")
        }
        false => Chosen::new(Precision::F32, "`Bf16` would take half the memory, and is not faster here"),
    }
}

pub(super) fn stem(backbone: Backbone, size: usize) -> Result<Option<Chosen<Stem>>, RecipeError> {
    if backbone.is_vit() {
        return Ok(None);
    }
    let stem = if size < FIRST_IMAGENET_PX {
        let why = format!(
            "below {FIRST_IMAGENET_PX} px the first layer keeps the size: the stem of ImageNet would leave {0} x {0} places",
            size.div_ceil(32).max(1)
        );
        Chosen::new(Stem::Cifar, why)
    } else {
        let why = format!(
            "from {FIRST_IMAGENET_PX} px on the first layers shrink the image to a quarter: at full size each layer would cost 16 times as much"
        );
        Chosen::new(Stem::ImageNet, why)
    };
    let least = least_px(stem.value);
    if size < least {
        let must = format!("at least {least} pixels for a ResNet");
        return Err(RecipeError::OutOfRange { what: "the size", value: size, must });
    }
    Ok(Some(stem))
}

/// The largest usual patch that leaves enough rows; or else the largest that divides the size at all.
pub(super) fn patch(backbone: Backbone, size: usize) -> Result<Option<Chosen<usize>>, RecipeError> {
    if !backbone.is_vit() {
        return Ok(None);
    }
    let usual = [16, 14, 8, 7, 4, 2];
    let divides = |patch: &usize| size.is_multiple_of(*patch) && size / patch >= 2;
    let fine = usual.into_iter().find(|patch| divides(patch) && size / patch >= FEWEST_ROWS);
    let Some(patch) = fine.or_else(|| usual.into_iter().rev().find(divides)) else {
        let must = "a multiple of 4 for a ViT, for instance 32, 64, 96 or 224".into();
        return Err(RecipeError::OutOfRange { what: "the size", value: size, must });
    };
    let rows = size / patch;
    Ok(Some(Chosen::new(patch, format!("{rows} x {rows} patches of an image"))))
}

/// Images that each part of a split batch should have: as many as a GPU of the paper had.
const IMAGES_OF_A_PART: usize = 32;

pub(super) fn batch_norm_splits(method: Method, is_vit: bool, batch: usize) -> Chosen<usize> {
    if method == Method::V3 || is_vit {
        return Chosen::new(1, "statistics of the whole batch");
    }
    let splits = batch / IMAGES_OF_A_PART;
    if splits < 2 || !batch.is_multiple_of(splits) {
        return Chosen::new(1, "the batch is too small to be split");
    }
    let why = format!(
        "batch norm over {splits} parts of the batch, with the keys shuffled among them: a query cannot know its key by their company"
    );
    Chosen::new(splits, why)
}
