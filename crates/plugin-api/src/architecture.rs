//! What other programs know of an encoder: its family and its sizes, as plain data.
//!
//! A backbone says it of itself ([`Backbone::architecture`](crate::Backbone::architecture)); whatever writes weights for
//! other programs works from it.

/// An encoder of a family that other programs have too.
///
/// A backbone that gives one promises the names, the shapes and the orders of torchvision (ResNet) or timm (ViT) for its
/// parameters and statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Named as in torchvision.
    ResNet(ResNet),
    /// Named as in timm.
    Vit(Vit),
}

/// A ResNet (He et al. 2016, arXiv:1512.03385).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNet {
    /// The kind of its blocks.
    pub block: Block,
    /// Blocks of each stage.
    pub blocks: [usize; 4],
    /// Channels of the first stage; torchvision: 64.
    pub width: usize,
    /// Channels of the first 3x3 convolution of a bottleneck block, in each of its groups, where `width` is 64; elsewhere in
    /// proportion. torchvision: 64, 128 of its wide ResNets, and 4 or 8 of ResNeXt. Basic blocks: 64.
    pub width_per_group: usize,
    /// Groups of the 3x3 convolution of a bottleneck block: 32 or 64 of ResNeXt (Xie et al. 2017, arXiv:1611.05431), and 1
    /// elsewhere.
    pub groups: usize,
    /// The stem.
    pub stem: ResNetStem,
    /// Channels of the images: 3 for RGB.
    pub channels: usize,
}

/// The two residual blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions, the last one 4 times as wide.
    Bottleneck,
}

/// The stem of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResNetStem {
    /// A 7x7 convolution with stride 2 and a max-pool.
    ImageNet,
    /// A 3x3 convolution with stride 1.
    Cifar,
}

/// A vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vit {
    /// Pixels of a patch, in height and width.
    pub patch: usize,
    /// The width of a token.
    pub dim: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of each attention; `None` of an encoder that is known by its weights alone, which do not tell.
    pub heads: Option<usize>,
    /// The width of an MLP's hidden layer.
    pub hidden: usize,
    /// Whether there is a class token before the patches.
    pub class_token: bool,
    /// Tokens in the position embedding, including the class token; `None` without one.
    pub positions: Option<usize>,
    /// Whether there is a layer norm after the last block.
    pub norm: bool,
    /// Whether each branch of a block is scaled, feature by feature, before it is added.
    pub layer_scale: bool,
    /// Tokens between the class token and those of the patches, which are not read.
    pub registers: usize,
    /// The stem.
    pub stem: VitStem,
    /// Channels of the images: 3 for RGB.
    pub channels: usize,
}

/// The stem of a ViT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VitStem {
    /// One linear projection of each patch.
    Patch,
    /// Four 3x3 convolutions with stride 2, each with batch norm and ReLU, and a 1x1 convolution (MoCo v3).
    Conv,
}

impl Block {
    /// Output channels of a block, per channel of its 3x3 convolutions.
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

impl Architecture {
    /// The number of features.
    pub fn n_features(&self) -> usize {
        match self {
            Self::ResNet(resnet) => 8 * resnet.width * resnet.block.expansion(),
            Self::Vit(vit) => vit.dim,
        }
    }

    /// Channels of the images.
    pub fn channels(&self) -> usize {
        match self {
            Self::ResNet(resnet) => resnet.channels,
            Self::Vit(vit) => vit.channels,
        }
    }

    /// The name of the weight that sees the images: kernels of [`channels`](Self::channels).
    pub fn first_weight(&self) -> &'static str {
        match self {
            Self::ResNet(_) => "conv1.weight",
            Self::Vit(Vit { stem: VitStem::Patch, .. }) => "patch_embed.proj.weight",
            Self::Vit(Vit { stem: VitStem::Conv, .. }) => "patch_embed.proj.0.weight",
        }
    }

    /// A short description: `resnet50`, `vit, 384 wide, 12 blocks`.
    pub fn describe(&self) -> String {
        match self {
            Self::ResNet(resnet) => resnet.describe(),
            Self::Vit(vit) => vit.describe(),
        }
    }
}

impl ResNet {
    /// The name of the published ResNet with these blocks, in torchvision and timm.
    pub fn published(&self) -> Option<&'static str> {
        match (self.depth()?, self.groups, self.width_per_group) {
            (18, 1, 64) => Some("resnet18"),
            (34, 1, 64) => Some("resnet34"),
            (50, 1, 64) => Some("resnet50"),
            (101, 1, 64) => Some("resnet101"),
            (152, 1, 64) => Some("resnet152"),
            (50, 1, 128) => Some("wide_resnet50_2"),
            (101, 1, 128) => Some("wide_resnet101_2"),
            (50, 32, 4) => Some("resnext50_32x4d"),
            (101, 32, 8) => Some("resnext101_32x8d"),
            (101, 64, 4) => Some("resnext101_64x4d"),
            _ => None,
        }
    }

    /// The published depth with these blocks, however wide they are.
    pub fn depth(&self) -> Option<usize> {
        match (self.block, self.blocks) {
            (Block::Basic, [2, 2, 2, 2]) => Some(18),
            (Block::Basic, [3, 4, 6, 3]) => Some(34),
            (Block::Bottleneck, [3, 4, 6, 3]) => Some(50),
            (Block::Bottleneck, [3, 4, 23, 3]) => Some(101),
            (Block::Bottleneck, [3, 8, 36, 3]) => Some(152),
            _ => None,
        }
    }

    /// Channels of the inner convolutions of the blocks of a stage, counted from 0.
    pub fn inner_width(&self, stage: usize) -> usize {
        (self.width << stage) * self.width_per_group / 64 * self.groups
    }

    fn describe(&self) -> String {
        let mut text = match self.published() {
            Some(name) => name.to_owned(),
            None => format!("resnet of {:?} {:?} blocks", self.blocks, self.block),
        };
        if self.width != 64 {
            text += &format!(", width {}", self.width);
        }
        if self.width_per_group != 64 && self.published().is_none() {
            text += &format!(", width per group {}", self.width_per_group);
        }
        if self.groups != 1 && self.published().is_none() {
            text += &format!(", {} groups", self.groups);
        }
        if self.stem == ResNetStem::Cifar {
            text += ", CIFAR stem";
        }
        text + &of_channels(self.channels)
    }
}

/// What a description adds where images are not RGB.
fn of_channels(n: usize) -> String {
    match n {
        3 => String::new(),
        1 => ", images of 1 channel".into(),
        n => format!(", images of {n} channels"),
    }
}

impl Vit {
    /// Tokens before those of the patches.
    pub fn n_before(&self) -> usize {
        usize::from(self.class_token) + self.registers
    }

    fn describe(&self) -> String {
        let heads = self.heads.map(|heads| format!(" of {heads} heads")).unwrap_or_default();
        let mut text =
            format!("vit, {} wide, {} blocks{heads}, patches of {} pixels", self.dim, self.depth, self.patch);
        if self.stem == VitStem::Conv {
            text += ", convolution stem";
        }
        if !self.class_token {
            text += ", mean of tokens";
        }
        if self.layer_scale {
            text += ", layer scale";
        }
        match self.registers {
            0 => {}
            1 => text += ", 1 register",
            n => text += &format!(", {n} registers"),
        }
        text + &of_channels(self.channels)
    }
}
